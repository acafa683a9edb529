//! Inputs of the tracker besides segments: ICMP errors that quote a segment, options and texts of RSTs, and what the host's
//! own kernel says of its resets and of connections.

use std::net::{IpAddr, Ipv6Addr};

use probe_ebpf::{
    layout::FlowKey,
    parse::{IcmpQuote, RstOption},
};

use crate::{
    tcp::{close_details::KernelReason, track::Track},
    tracker::{
        icmp::IcmpReport,
        kernel_reports::KernelReport,
        kernel_resets::{ReportedReset, Unmatched},
        process,
        process::RESET_LEAVES_WITHIN_NS,
        reset_options::{ResetOptions, TEXT_LEN},
        tracking::Tracker,
    },
    verdict::rst_form::Form,
};

/// The kernel speaks of a segment before the program has seen it, by no more than a queue on the way out holds it.
const BEFORE_NS: u64 = 100_000_000;
/// A window is no larger (RFC 7323 2.3): a genuine error quotes nothing older.
const LARGEST_WINDOW: u32 = 1 << 30;

impl Tracker {
    /// Somebody refused a segment of a connection, and told its sender so by ICMP (RFC 792, RFC 4443 3). False when the
    /// connection is not tracked.
    pub fn unreachable(&mut self, quote: &IcmpQuote, time_ns: u64) -> bool {
        self.advance(time_ns);
        let Some(track) = self.table.find(&quote.key).and_then(|slot| self.table.get(slot)) else {
            self.stats.icmp.unmatched += 1;
            return false;
        };
        self.stats.icmp.matched += 1;
        let too_big = u32::from(quote.error.is_packet_too_big());
        let report = IcmpReport {
            error: quote.error,
            reporter: IpAddr::V6(Ipv6Addr::from(quote.reporter.octets())).to_canonical(),
            from_hi: quote.from_hi,
            fits: fits(track, quote),
            time_ns,
            errors: 1 - too_big,
            too_big,
        };
        if !self.icmp.add(track.id, report) {
            self.stats.icmp.unkept += 1;
        }
        true
    }

    /// What ICMP errors said about a tracked connection.
    pub fn icmp_report(&self, key: &FlowKey) -> Option<IcmpReport> {
        let track = self.table.find(key).and_then(|slot| self.table.get(slot))?;
        self.icmp.of(track.id)
    }

    /// The RST of a flow that was just observed has an option or text, of which 64 bytes are kept. False when the connection
    /// is not tracked.
    pub fn reset_said(&mut self, key: &FlowKey, from_hi: bool, option: RstOption, text: &[u8], time_ns: u64) -> bool {
        let Some(track) = self.table.find(key).and_then(|slot| self.table.get(slot)) else { return false };
        let text = text.get(..TEXT_LEN).unwrap_or(text).into();
        if !self.reset_options.add(track.id, from_hi, ResetOptions { option, text, time_ns }) {
            self.stats.reset_options_unkept += 1;
        }
        true
    }

    /// What an RST of a tracked connection said beyond its header.
    pub fn reset_options(&self, key: &FlowKey, from_hi: bool) -> Option<&ResetOptions> {
        let track = self.table.find(key).and_then(|slot| self.table.get(slot))?;
        self.reset_options.of(track.id, from_hi)
    }

    /// Every word of the kernel on what was sent up to `until_ns` has been handed over.
    pub fn joined_kernel_resets(&mut self, until_ns: u64) {
        self.kernel_resets.join_until(until_ns);
    }

    /// Words of the kernel were lost: from now on it says nothing that there is none.
    pub fn doubt_kernel_resets(&mut self) {
        self.kernel_resets.doubt();
    }

    /// The kernel of the host itself says that it sent a reset, and why (`--host`).
    ///
    /// # Errors
    /// Why no RST is known that this is the word on. One may still come.
    pub fn kernel_reset(&mut self, word: &ReportedReset<'_>) -> Result<(), Unmatched> {
        let joined = self.join_reset(word);
        if joined.is_err() {
            // Of another address, too: that of a container whose port is published under one of this host's.
            let (lo, hi) = (word.key.lo(), word.key.hi());
            let (source, peer) = if word.from_hi { (hi, lo) } else { (lo, hi) };
            self.kernel_resets.note_unjoined(word.time_ns, source.port, peer);
        }
        joined
    }

    fn join_reset(&mut self, word: &ReportedReset<'_>) -> Result<(), Unmatched> {
        let &ReportedReset { reason, provoked, process, time_ns, .. } = word;
        let (key, from_hi) = self.whose(word)?;
        let (source, peer) = if from_hi { (key.hi(), key.lo()) } else { (key.lo(), key.hi()) };
        let unknown = if self.kernel_resets.may_be_own(source) { Unmatched::NoConnection } else { Unmatched::OfOthers };
        let slot = self.table.find(&key).ok_or(unknown)?;
        let track = self.table.get_mut(slot).ok_or(Unmatched::NoConnection)?;
        let (side, seen_until_ns) = (usize::from(from_hi != track.orig_is_hi), track.previous_at_most_ns());
        let rst = track.rare.as_mut().and_then(|rare| rare.rsts[side].as_mut()).ok_or(Unmatched::NotSeen)?;
        let form = Form::of(&rst.record);
        let is_other = if provoked { form == Form::Abort } else { matches!(form, Form::Reply | Form::Refuse) };
        if rst.kernel.is_some() || is_other {
            // Of a further RST, such as a reply after an abort, or of a connection that takes these ports in the next epoch.
            if seen_until_ns < time_ns {
                return Err(Unmatched::NotSeen);
            }
            self.kernel_resets.note_unjoined(time_ns, source.port, peer);
            return Ok(());
        }
        if rst.record.time_ns.abs_diff(time_ns) > RESET_LEAVES_WITHIN_NS {
            return Err(Unmatched::NotSeen);
        }
        rst.kernel = Some(KernelReason { reason, provoked });
        // Timers run in the context of whoever is current.
        let name = self.config.kernel_reasons.get(usize::from(reason)).map_or("", String::as_str);
        let is_of_application = matches!(name, "TCP_ABORT_ON_CLOSE" | "TCP_STATE" | "TCP_DISCONNECT_WITH_DATA");
        if let Some(process) = process.filter(|_| is_of_application) {
            self.processes.add(track.id, process);
        }
        Ok(())
    }

    /// The flow, and the side that sent the RST: of a listener's, that of the nearest RST of its port.
    fn whose(&mut self, word: &ReportedReset<'_>) -> Result<(FlowKey, bool), Unmatched> {
        let (key, from_hi) = (word.key, word.from_hi);
        let (source, peer) = if from_hi { (key.hi(), key.lo()) } else { (key.lo(), key.hi()) };
        if !process::is_nobody(peer) {
            return Ok((key, from_hi));
        }
        self.processes.of_listener(source.port, word.time_ns).ok_or(Unmatched::NoPeer)
    }

    /// The kernel of the host itself says something of a connection besides its resets (`--host`). False when the connection is
    /// not tracked: it may be once more segments have come.
    pub fn kernel_report(&mut self, report: &KernelReport) -> bool {
        let Some(track) = self.table.find(&report.key).and_then(|slot| self.table.get(slot)) else { return false };
        // Of a connection that had these ports before.
        if report.time_ns.saturating_add(BEFORE_NS) < track.start_ns {
            return false;
        }
        self.stats.kernel_reports.matched += 1;
        if !self.kernel_reports.add(track.id, report) {
            self.stats.kernel_reports.unkept += 1;
        }
        true
    }

    /// A word of the kernel is about no tracked connection, and nobody will ask again about it.
    pub fn count_unmatched_report(&mut self, key: &FlowKey) {
        let counts = &mut self.stats.kernel_reports;
        let may_be_ours = [key.lo(), key.hi()].into_iter().any(|end| self.kernel_resets.may_be_own(end));
        *(if may_be_ours { &mut counts.unmatched } else { &mut counts.of_others }) += 1;
    }

    /// Nobody will ask again about these resets of the kernel.
    pub fn count_unmatched_resets(&mut self, resets: impl IntoIterator<Item = Unmatched>) {
        for why in resets {
            self.stats.unmatched_resets.add(why);
        }
    }
}

/// Whether the sender of the quoted segment has sent such a sequence number.
fn fits(track: &Track, quote: &IcmpQuote) -> bool {
    let sender = &track.ends[usize::from(quote.from_hi != track.orig_is_hi)];
    sender.packets > 0 && sender.last_seq.wrapping_sub(quote.seq) <= LARGEST_WINDOW
}
