//! Inputs of a partition besides segments, each about one of its flows: ICMP errors, options and texts of RSTs, words of the
//! host's kernel.

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
        partition::Partition,
        process::RESET_LEAVES_WITHIN_NS,
        reset_options::{ResetOptions, TEXT_LEN},
    },
    verdict::rst_form::Form,
};

/// The kernel speaks of a segment before the program has seen it, by no more than a queue on the way out holds it.
const BEFORE_NS: u64 = 100_000_000;
/// A window is no larger (RFC 7323 2.3): a genuine error quotes nothing older.
const LARGEST_WINDOW: u32 = 1 << 30;

impl Partition {
    /// See [`crate::tracker::Tracker::unreachable`].
    pub(crate) fn unreachable(&mut self, quote: &IcmpQuote, time_ns: u64) -> bool {
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

    /// See [`crate::tracker::Tracker::reset_said`].
    pub(crate) fn reset_said(
        &mut self,
        key: &FlowKey,
        from_hi: bool,
        option: RstOption,
        text: &[u8],
        time_ns: u64,
    ) -> bool {
        let Some(track) = self.table.find(key).and_then(|slot| self.table.get(slot)) else { return false };
        let text = text.get(..TEXT_LEN).unwrap_or(text).into();
        if !self.reset_options.add(track.id, from_hi, ResetOptions { option, text, time_ns }) {
            self.stats.reset_options_unkept += 1;
        }
        true
    }

    /// Whether the kernel's word on a reset is on the RST that is known; `unknown` is why it is not, where there is no
    /// connection.
    pub(crate) fn join_reset(&mut self, word: &ReportedReset<'_>, unknown: Unmatched) -> Result<bool, Unmatched> {
        let &ReportedReset { key, from_hi, reason, provoked, process, time_ns } = word;
        let slot = self.table.find(&key).ok_or(unknown)?;
        let track = self.table.get_mut(slot).ok_or(Unmatched::NoConnection)?;
        let (side, seen_until_ns) = (usize::from(from_hi != track.orig_is_hi), track.previous_at_most_ns());
        let rst = track.rare.as_mut().and_then(|rare| rare.rsts[side].as_mut()).ok_or(Unmatched::NotSeen)?;
        let form = Form::of(&rst.record);
        let is_other = if provoked { form == Form::Abort } else { matches!(form, Form::Reply | Form::Refuse) };
        if rst.kernel.is_some() || is_other {
            // Of a further RST, such as a reply after an abort, or of a connection that takes these ports in the next epoch.
            return if seen_until_ns < time_ns { Err(Unmatched::NotSeen) } else { Ok(false) };
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
        Ok(true)
    }

    /// See [`crate::tracker::Tracker::kernel_report`].
    pub(crate) fn kernel_report(&mut self, report: &KernelReport) -> bool {
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
}

/// Whether the sender of the quoted segment has sent such a sequence number.
fn fits(track: &Track, quote: &IcmpQuote) -> bool {
    let sender = &track.ends[usize::from(quote.from_hi != track.orig_is_hi)];
    sender.packets > 0 && sender.last_seq.wrapping_sub(quote.seq) <= LARGEST_WINDOW
}
