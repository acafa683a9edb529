//! Contribution: what one connection adds to a group, in half a cache line, and the sums over many of these.
//!
//! A row takes sums over a run of connections, not each: lanes as wide as a run needs are added at once by any processor.
//! That a run gives what its connections give one by one is for a test to say.

use super::totals::{FlagTotals, Impacts, Totals};
use crate::record::{Cause, Closing, Connection, Impact, Opening, ResetBy};

/// See the module.
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(align(32))]
pub(super) struct Contribution {
    /// Which of the sums that a connection raises by one at most it does raise, a [`Lane`] each; above these, its impact and
    /// its cause.
    ones: u64,
    /// SYN, SYN-ACK, FIN and RST, of the client and of the server: [`FLAG_BITS`] each.
    flags: u64,
    ip_bytes: u32,
    packets: u32,
    /// Microseconds.
    duration: u32,
    rst_of_completed: u32,
}

const _: () = assert!(size_of::<Contribution>() == 32);

/// Sums that a connection raises by one at most: a few bits each in one word, so that one addition raises them all.
#[derive(Clone, Copy)]
enum Lane {
    Connections,
    Attempts,
    Completed,
    Refused,
    NeverAnswered,
    WithRst,
    ByClient,
    ByServer,
    ByMiddle,
    ByUnknown,
    OneSided,
}

const LANES: usize = Lane::OneSided as usize + 1;
const LANE_BITS: usize = 5;
/// So many ones fit a lane.
const LANE_MOST: usize = (1 << LANE_BITS) - 1;
/// Where the lanes end.
const CAUSE_SHIFT: usize = LANES * LANE_BITS;
const IMPACT_BITS: usize = 3;
/// A count of each impact in one word while it is counted.
const IMPACT_LANE_BITS: usize = 8;
const _: () = assert!(LANE_MOST < 1 << IMPACT_LANE_BITS && IMPACT_LANE_BITS << IMPACT_BITS == u64::BITS as usize);
const _: () = assert!(Impact::ALL.len() <= 1 << IMPACT_BITS);
const _: () = assert!(Cause::ALL.len() << IMPACT_BITS <= 1 << (u64::BITS as usize - CAUSE_SHIFT));

/// By impact: whether anything was lost.
const IS_LOSS: [bool; 1 << IMPACT_BITS] = {
    let mut is_loss = [false; 1 << IMPACT_BITS];
    let mut at = 0;
    while at < Impact::ALL.len() {
        is_loss[at] = Impact::ALL[at].is_loss();
        at += 1;
    }
    is_loss
};

const FLAG_BITS: usize = 8;
/// More flags of a kind are rare, and not for a fact.
const FLAGS_MOST: u64 = 7;
const _: () = assert!(FLAGS_MOST as usize * LANE_MOST < 1 << FLAG_BITS);

impl Lane {
    const fn one(self) -> u64 {
        1 << (self as usize * LANE_BITS)
    }
}

impl Contribution {
    /// False for what is so long or large that a fact does not hold it, and for what had an idle gap: few have one, so a
    /// fact has no place for it.
    #[inline]
    pub(super) fn fits(connection: &Connection) -> bool {
        let (orig, resp) = (&connection.from_orig, &connection.from_resp);
        let counts = counts(connection).into_iter().fold(0, |all, count| all | count);
        // Half of what the sum may be, so that the sum of two is as well.
        let halves = orig.packets | resp.packets | orig.ip_bytes | resp.ip_bytes;
        let is_large = counts & !FLAGS_MOST | halves >> (u32::BITS - 1) | duration_us(connection) >> u32::BITS;
        is_large == 0 && connection.idle_gap_ns.is_none()
    }

    /// Of a connection, no RST without one; only good if it [`Self::fits`].
    #[inline]
    pub(super) fn of(connection: &Connection) -> Self {
        let (orig, resp) = (&connection.from_orig, &connection.from_resp);
        let rsts = connection.rst_count() as u32;
        Self {
            ones: ones(connection)
                | (connection.verdict.impact as u64) << CAUSE_SHIFT
                | (connection.verdict.cause as u64) << (CAUSE_SHIFT + IMPACT_BITS),
            flags: counts(connection).into_iter().rev().fold(0, |word, count| word << FLAG_BITS | count),
            ip_bytes: orig.ip_bytes.wrapping_add(resp.ip_bytes) as u32,
            packets: orig.packets.wrapping_add(resp.packets) as u32,
            duration: duration_us(connection) as u32,
            rst_of_completed: if connection.is_established() { rsts } else { 0 },
        }
    }

    /// How long it lasted, microseconds.
    #[inline]
    pub(super) fn duration_us(&self) -> u64 {
        self.duration.into()
    }
}

/// How long a connection lasted, microseconds.
#[inline]
pub(super) fn duration_us(connection: &Connection) -> u64 {
    connection.duration_ns / 1000
}

#[inline]
fn counts(connection: &Connection) -> [u64; 8] {
    let (orig, resp) = (&connection.from_orig, &connection.from_resp);
    [orig.syn, orig.syn_ack, orig.fin, orig.rst, resp.syn, resp.syn_ack, resp.fin, resp.rst]
}

#[inline]
fn ones(connection: &Connection) -> u64 {
    let opening = match connection.opening {
        Opening::Completed => Lane::Completed.one(),
        Opening::Refused => Lane::Refused.one(),
        Opening::Unanswered => Lane::NeverAnswered.one(),
        Opening::OneSided => Lane::OneSided.one(),
        Opening::HalfOpen | Opening::NotSeen => 0,
    };
    let closing = if connection.closing == Closing::OneSided { Lane::OneSided.one() } else { 0 };
    let reset_by = match connection.reset_by {
        ResetBy::None => 0,
        ResetBy::Client => Lane::ByClient.one(),
        ResetBy::Server => Lane::ByServer.one(),
        ResetBy::Middle => Lane::ByMiddle.one(),
        ResetBy::Unknown => Lane::ByUnknown.one(),
    };
    let attempts = if connection.from_orig.syn > 0 { Lane::Attempts.one() } else { 0 };
    let with_rst = if connection.rst_count() > 0 { Lane::WithRst.one() } else { 0 };
    Lane::Connections.one() | opening | closing | reset_by | attempts | with_rst
}

/// Sums over a run of facts, less than 2^24 of them.
#[derive(Default)]
pub(super) struct Sums {
    lanes: Lanes,
    packets: u64,
    ip_bytes: u64,
    rst_of_completed: u64,
    rst_lossy_of_completed: u64,
}

/// What facts have as words, lane by lane.
#[derive(Default)]
struct Lanes {
    ones: [u32; LANES],
    flags: [u32; 8],
    /// Of those with RST, and of those without.
    impacts: [[u32; 1 << IMPACT_BITS]; 2],
}

impl Sums {
    /// Over facts given by their numbers; `cause` takes the number of each one's cause, and whether the server reset it.
    #[inline]
    pub(super) fn of(contributions: &[Contribution], numbers: &[u32], mut cause: impl FnMut(usize, bool)) -> Self {
        let mut sums = Self::default();
        for piece in numbers.chunks(LANE_MOST) {
            let (mut ones, mut flags, mut impacts) = (0, 0, [0, 0]);
            for &number in piece {
                let contribution = &contributions[number as usize];
                let by_server = contribution.ones & Lane::ByServer.one() != 0;
                cause((contribution.ones >> (CAUSE_SHIFT + IMPACT_BITS)) as usize, by_server);
                let impact = (contribution.ones >> CAUSE_SHIFT) as usize & ((1 << IMPACT_BITS) - 1);
                // No branch, as which way it goes cannot be guessed.
                let with_rst = contribution.ones >> (Lane::WithRst as usize * LANE_BITS) & 1;
                impacts[0] += with_rst << (impact * IMPACT_LANE_BITS);
                impacts[1] += (with_rst ^ 1) << (impact * IMPACT_LANE_BITS);
                sums.rst_lossy_of_completed += u64::from(contribution.rst_of_completed) * u64::from(IS_LOSS[impact]);
                ones += contribution.ones & ((1 << CAUSE_SHIFT) - 1);
                flags += contribution.flags;
                sums.packets += u64::from(contribution.packets);
                sums.ip_bytes += u64::from(contribution.ip_bytes);
                sums.rst_of_completed += u64::from(contribution.rst_of_completed);
            }
            sums.lanes.add(ones, flags, impacts);
        }
        sums
    }

    fn impacts(&self) -> Impacts {
        let [with, without] = &self.lanes.impacts;
        Impacts::of(|impact| {
            let of_silence = if impact == Impact::None { 0 } else { u64::from(without[impact as usize]) };
            u64::from(with[impact as usize]) + of_silence
        })
    }

    /// The same, as sums over any number.
    pub(super) fn totals(&self) -> Totals {
        let [syn, syn_ack, fin, rst, their_syn, their_syn_ack, their_fin, their_rst] = self.lanes.flags.map(u64::from);
        let one = |lane: Lane| u64::from(self.lanes.ones[lane as usize]);
        Totals {
            connections: one(Lane::Connections),
            attempts: one(Lane::Attempts),
            completed_handshakes: one(Lane::Completed),
            refused: one(Lane::Refused),
            never_answered: one(Lane::NeverAnswered),
            with_rst: one(Lane::WithRst),
            rst_without_connection: 0,
            reset_by_client: one(Lane::ByClient),
            reset_by_server: one(Lane::ByServer),
            reset_by_middle: one(Lane::ByMiddle),
            reset_by_unknown: one(Lane::ByUnknown),
            client: FlagTotals { syn, syn_ack, fin, rst },
            server: FlagTotals { syn: their_syn, syn_ack: their_syn_ack, fin: their_fin, rst: their_rst },
            rst_of_completed: self.rst_of_completed,
            rst_lossy_of_completed: self.rst_lossy_of_completed,
            impacts: self.impacts(),
            one_sided: one(Lane::OneSided),
            rst_unattributed: 0,
            packets: self.packets,
            ip_bytes: self.ip_bytes,
        }
    }
}

impl Lanes {
    /// Apart, so that what is done now and then does not have the registers of what is done for each fact.
    #[inline(never)]
    fn add(&mut self, ones: u64, flags: u64, impacts: [u64; 2]) {
        for (lane, sum) in self.ones.iter_mut().enumerate() {
            *sum += (ones >> (lane * LANE_BITS)) as u32 & LANE_MOST as u32;
        }
        for (sum, count) in self.flags.iter_mut().zip(flags.to_le_bytes()) {
            *sum += u32::from(count);
        }
        for (sums, counts) in self.impacts.iter_mut().zip(impacts) {
            for (sum, count) in sums.iter_mut().zip(counts.to_le_bytes()) {
                *sum += u32::from(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aggregate::tests::connection, record::Side};

    type Change = fn(&mut Connection, u64);

    /// Below 2^31 each, the packets or bytes of both sides are of half a word.
    #[test]
    fn what_is_held_fits_and_one_more_does_not() {
        let fits = |change: Change, value| {
            let any = Side::default();
            let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::TwoFins, any, any);
            change(&mut one, value);
            Contribution::fits(&one)
        };
        let cases: [(Change, u64); 14] = [
            (|one, value| one.from_orig.syn = value, 7),
            (|one, value| one.from_orig.syn_ack = value, 7),
            (|one, value| one.from_orig.fin = value, 7),
            (|one, value| one.from_orig.rst = value, 7),
            (|one, value| one.from_resp.syn = value, 7),
            (|one, value| one.from_resp.syn_ack = value, 7),
            (|one, value| one.from_resp.fin = value, 7),
            (|one, value| one.from_resp.rst = value, 7),
            (|one, value| one.from_orig.packets = value, 0x7fff_ffff),
            (|one, value| one.from_resp.packets = value, 0x7fff_ffff),
            (|one, value| one.from_orig.ip_bytes = value, 0x7fff_ffff),
            (|one, value| one.from_resp.ip_bytes = value, 0x7fff_ffff),
            (|one, value| one.duration_ns = value * 1000, 0xffff_ffff),
            (|one, value| one.idle_gap_ns = (value > 0).then_some(value), 0),
        ];
        for (number, (change, most)) in cases.into_iter().enumerate() {
            assert!(fits(change, most) && !fits(change, most + 1), "{number}");
        }
    }
}
