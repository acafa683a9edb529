//! Connection records: makes the record of a connection from its state.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use probe_ebpf::layout;

use crate::tcp::close_details::{Beyond, OddSide, Rst};
use crate::tcp::endpoint::{Endpoint, Kind, State};
use crate::tcp::marks::{ORIG, ORIG_SPOKE, ORIG_SPOKE_AGAIN, RESP};
use crate::tcp::track::Track;
use crate::tracker::config::TrackerConfig;
use crate::tracker::ended::Aside;
use crate::tracker::kernel_resets::KernelResets;
use crate::{
    record::{Basis, ConnState, Connection, Opening, Orientation, Side, Stage, Written},
    verdict,
    verdict::outcome,
    zone::Zones,
};

/// What is known of a connection besides its own state.
pub(crate) struct Known<'a> {
    /// Both directions of some connection were seen.
    pub(crate) both_ways: bool,
    /// Time of the first segment of all.
    pub(crate) watched_from: u64,
    /// How client and server are known, and whether they are the other way round than Zeek has them.
    pub(crate) roles: (Orientation, bool),
    /// What was said of it besides.
    pub(crate) aside: &'a Aside,
    /// What its kernel says and does not say of resets.
    pub(crate) words: &'a KernelResets,
}

/// Appends the record of `track` as it stands, written at `now` for the reason `written`.
///
/// The only place where records are made, and with all that it takes compiled into it: a record is long, and not to be
/// copied; nor is it pushed, but room is made before, so that it is put together where it stays.
#[inline(never)]
pub(crate) fn append(
    to: &mut Vec<Connection>,
    track: &Track,
    written: Written,
    now: u64,
    config: &TrackerConfig,
    known: &Known<'_>,
) {
    to.extend(std::iter::once_with(|| connection(track, written, now, config, known)));
}

#[inline(always)]
fn connection(track: &Track, written: Written, now: u64, config: &TrackerConfig, known: &Known<'_>) -> Connection {
    let ((orientation, reversed), aside) = (known.roles, known.aside);
    let (lo, hi) = (track.key.lo(), track.key.hi());
    let (mut orig, mut resp) = if track.orig_is_hi { (hi, lo) } else { (lo, hi) };
    let (mut from_orig, mut from_resp) = (side(track, ORIG), side(track, RESP));
    let sides = [&from_orig, &from_resp];
    let history = track.history();
    let conn_state = conn_state(track);
    let opening = outcome::opening(track, sides, config);
    let closing = outcome::closing(track, sides, opening, written, now);
    let mut case = verdict::Case {
        track,
        client: if reversed { RESP } else { ORIG },
        is_guess: orientation == Orientation::FirstSender,
        sides,
        opening,
        closing,
        watched_ns: if config.pure_acks_seen { track.start_ns.saturating_sub(known.watched_from) } else { 0 },
        both_ways: known.both_ways,
        is_cut_short: written == Written::Reused && now.saturating_sub(track.start_ns) < 1_000_000_000,
        acks_seen: config.pure_acks_seen && track.counting.basis() != Basis::ControlOnly,
        facts: config.facts,
        icmp: aside.icmp,
        process: aside.process.as_ref(),
        said: if track.orig_is_hi { [1, 0] } else { [0, 1] }.map(|sender: usize| aside.said[sender].as_ref()),
        kernel_reasons: &config.kernel_reasons,
        kernel_said: aside.reports.map(|[lo, hi]| if track.orig_is_hi { [hi, lo] } else { [lo, hi] }),
        drop_reasons: &config.drop_reasons,
        is_kernel_silent: [ORIG, RESP]
            .map(|side| known.words.is_silent_on([orig, resp][side], [resp, orig][side], rst(track, side))),
        unacknowledged: verdict::Unacknowledged::default(),
    };
    let (verdict, reset_by, lost) = verdict::verdict(&mut case);
    if reversed {
        (orig, resp) = (resp, orig);
        (from_orig, from_resp) = (from_resp, from_orig);
    }
    let [lost_of_orig, lost_of_resp] = lost;
    let (orig, resp) = (socket(orig), socket(resp));
    let until_ns = if written == Written::Closed { track.last_ns } else { now };
    let unwatched_ns = config.unwatched.within(track.start_ns, until_ns);
    let labels = |zones: &Arc<Zones>| zones.labels(orig.ip(), resp, track.key.domain());
    Connection {
        id: track.id,
        orig,
        resp,
        domain: track.key.domain(),
        orientation,
        is_reversed: reversed,
        start_ns: track.start_ns,
        duration_ns: track.last_ns.saturating_sub(track.start_ns),
        // Not assigned before: what is written and read at once, in other pieces, is waited for.
        from_orig: Side { lost_bytes: lost_of_orig, ..from_orig },
        from_resp: Side { lost_bytes: lost_of_resp, ..from_resp },
        conn_state,
        history,
        opening,
        closing,
        reset_by,
        idle_gap_ns: verdict::idle_gap_ns(track, verdict.cause),
        stage: stage(track, opening, from_orig.packets),
        answered_after_ns: answered_after_ns(track),
        verdict: if unwatched_ns > 0 { verdict::doubted(verdict, unwatched_ns) } else { verdict },
        unwatched_ns,
        written,
        basis: track.counting.basis(),
        labels: config.zones.as_ref().map(labels).unwrap_or_default(),
    }
}

/// How far it had come when the first RST was sent (Cloudflare Radar, `TCP resets and timeouts`).
fn stage(track: &Track, opening: Opening, client_packets: u64) -> Option<Stage> {
    /// Segments of the client within which a reset is [`Stage::Later`].
    const FIRST: u64 = 10;
    let side = outcome::first_rst(track)?;
    let rst = track.rare()?.rsts[side].as_ref()?;
    match opening {
        Opening::Refused | Opening::HalfOpen | Opening::Unanswered => return Some(Stage::PostSyn),
        Opening::NotSeen | Opening::OneSided => return None,
        Opening::Completed => {}
    }
    let has = |mark: u8| rst.order.marks & mark != 0;
    match (has(ORIG_SPOKE), has(ORIG_SPOKE_AGAIN)) {
        (false, _) => Some(Stage::PostAck),
        (true, false) => Some(Stage::PostPsh),
        (true, true) => (client_packets <= FIRST).then_some(Stage::Later),
    }
}

/// From the SYN to its answer, whatever that was: SYN-ACK or refusal.
fn answered_after_ns(track: &Track) -> Option<u64> {
    let handshake = track.handshake();
    if handshake.is_known() {
        return Some(handshake.nanoseconds());
    }
    let rst = track.rare()?.rsts[RESP].as_ref()?;
    (rst.peer.kind == Kind::Syn).then(|| rst.record.time_ns.saturating_sub(track.start_ns))
}

/// IPv4-mapped addresses become IPv4 again.
fn socket(end: layout::Endpoint) -> SocketAddr {
    let [a, b, c, d, v4 @ ..] = end.b.to_ne_bytes();
    if end.a == 0 && [a, b, c, d] == [0, 0, 0xff, 0xff] {
        return SocketAddr::new(IpAddr::V4(v4.into()), end.port);
    }
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(end.octets())), end.port)
}

/// The first RST of a side.
fn rst(track: &Track, side: usize) -> Option<&Rst> {
    track.rare()?.rsts[side].as_deref()
}

/// Compiled into a record as well: what is returned would be copied.
#[inline(always)]
fn side(track: &Track, side: usize) -> Side {
    let end: &Endpoint = &track.ends[side];
    let rare = track.rare();
    let (fin, rst) = rare.map_or((0, 0), |rare| (rare.sides[side].fins.into(), rare.sides[side].rsts.into()));
    // What few connections have.
    let odd = rare.and_then(|rare| rare.odd.as_ref()).map(|odd| &odd.sides[side]);
    let beyond = odd.map_or_else(Beyond::default, |odd| odd.beyond);
    let high = |of: fn(&OddSide) -> u32| odd.map_or(0, |odd| u64::from(of(odd)) << 32);
    Side {
        syn: u64::from(end.syn) + beyond.syn,
        syn_ack: u64::from(end.syn_ack) + beyond.syn_ack,
        fin: beyond.fins + fin,
        rst: beyond.rsts + rst,
        packets: u64::from(end.packets) | high(|odd| odd.packets_high),
        ip_bytes: end.payload_bytes + u64::from(end.header_bytes) + high(|odd| odd.header_bytes_high),
        bytes: end.size(track.ends[1 - side].state),
        payload_bytes: end.payload_bytes,
        retransmits: u64::from(end.retransmits) + beyond.retransmits,
        missed_bytes: odd.map_or(0, |odd| odd.missed_bytes),
        lost_bytes: 0,
        ttl: end.ttl,
        rst_ttl: rare.and_then(|rare| rare.rsts[side].as_ref()).map_or(0, |rst| rst.record.ttl),
    }
}

/// Zeek's conn_state (base/protocols/conn/main.zeek), in its order of tests.
fn conn_state(track: &Track) -> ConnState {
    let [orig, resp] = &track.ends;
    let (os, rs) = (orig.state, resp.state);
    if rs == State::Reset {
        let nothing_sent = || orig.size(rs) == 0 && resp.size(os) == 0;
        return match os {
            State::SynSent | State::SynAckSent => ConnState::REJ,
            State::Reset if nothing_sent() => ConnState::REJ,
            _ if os.is_inactive_or_partial() => ConnState::RSTRH,
            _ => ConnState::RSTR,
        };
    }
    match (os, rs) {
        (State::Reset, _) if !rs.is_inactive_or_partial() => ConnState::RSTO,
        (State::Reset, _) if is_syn_then_rst(&track.history()) => ConnState::RSTOS0,
        (State::Closed, State::Closed) => ConnState::SF,
        (State::Closed, _) if rs.is_inactive_or_partial() => ConnState::SH,
        (State::Closed, _) => ConnState::S2,
        (_, State::Closed) if os != State::Reset && os.is_inactive_or_partial() => ConnState::SHR,
        (_, State::Closed) if os != State::Reset => ConnState::S3,
        (State::SynSent, State::Inactive) => ConnState::S0,
        (State::Established, State::Established) => ConnState::S1,
        _ => ConnState::OTH,
    }
}

/// `^?S[^HAFGIQ]*R.*` over the whole history: a SYN and an RST of the originator, and nothing of it between.
fn is_syn_then_rst(history: &str) -> bool {
    let history = history.strip_prefix('^').unwrap_or(history);
    let Some(rest) = history.strip_prefix('S') else { return false };
    rest.find('R').is_some_and(|at| !rest[..at].contains(['H', 'A', 'F', 'G', 'I', 'Q']))
}

#[cfg(test)]
mod tests {
    use super::is_syn_then_rst;

    #[test]
    fn syn_then_rst_looks_at_the_originator_only() {
        for history in ["SR", "^SR", "SaR", "SrR", "SDR", "SRA", "SaRfr"] {
            assert!(is_syn_then_rst(history), "{history}");
        }
        for history in ["R", "hSR", "SAR", "SaFR", "S", "^R", "SHR"] {
            assert!(!is_syn_then_rst(history), "{history}");
        }
    }
}
