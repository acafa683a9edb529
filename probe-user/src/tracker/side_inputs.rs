//! Inputs of the tracker besides segments: ICMP errors that quote a segment, options and texts of RSTs, and what the host's
//! own kernel says of its resets and of connections. Each goes to the partition of its flow.

use std::sync::Arc;

use probe_ebpf::{
    layout::FlowKey,
    parse::{IcmpQuote, RstOption},
};

use crate::tracker::{
    icmp::IcmpReport,
    kernel_reports::KernelReport,
    kernel_resets::{ReportedReset, Unmatched},
    process,
    reset_options::ResetOptions,
    tracking::Tracker,
};

impl Tracker {
    /// Somebody refused a segment of a connection, and told its sender so by ICMP (RFC 792, RFC 4443 3). False when the
    /// connection is not tracked.
    pub fn unreachable(&mut self, quote: &IcmpQuote, time_ns: u64) -> bool {
        self.pass(time_ns);
        self.partition_mut(&quote.key).unreachable(quote, time_ns)
    }

    /// What ICMP errors said about a tracked connection.
    pub fn icmp_report(&self, key: &FlowKey) -> Option<IcmpReport> {
        let partition = self.partition(key);
        let track = partition.table.find(key).and_then(|slot| partition.table.get(slot))?;
        partition.icmp.of(track.id)
    }

    /// The RST of a flow that was just observed has an option or text, of which 64 bytes are kept. False when the connection
    /// is not tracked.
    pub fn reset_said(&mut self, key: &FlowKey, from_hi: bool, option: RstOption, text: &[u8], time_ns: u64) -> bool {
        self.partition_mut(key).reset_said(key, from_hi, option, text, time_ns)
    }

    /// What an RST of a tracked connection said beyond its header.
    pub fn reset_options(&self, key: &FlowKey, from_hi: bool) -> Option<&ResetOptions> {
        let partition = self.partition(key);
        let track = partition.table.find(key).and_then(|slot| partition.table.get(slot))?;
        partition.reset_options.of(track.id, from_hi)
    }

    /// Every word of the kernel on what was sent up to `until_ns` has been handed over.
    pub fn joined_kernel_resets(&mut self, until_ns: u64) {
        Arc::make_mut(&mut self.words).join_until(until_ns);
    }

    /// Words of the kernel were lost: from now on it says nothing that there is none.
    pub fn doubt_kernel_resets(&mut self) {
        Arc::make_mut(&mut self.words).doubt();
    }

    /// The kernel of the host itself says that it sent a reset, and why (`--host`).
    ///
    /// # Errors
    /// Why no RST is known that this is the word on. One may still come.
    pub fn kernel_reset(&mut self, word: &ReportedReset<'_>) -> Result<(), Unmatched> {
        let joined = self.whose(word).and_then(|(key, from_hi)| {
            let word = ReportedReset { key, from_hi, ..*word };
            let source = if from_hi { key.hi() } else { key.lo() };
            let unknown = if self.words.may_be_own(source) { Unmatched::NoConnection } else { Unmatched::OfOthers };
            self.partition_mut(&key).join_reset(&word, unknown).map(|is_of_this| (is_of_this, word))
        });
        let (unjoined, joined) = match joined {
            Ok((true, _)) => return Ok(()),
            Ok((false, word)) => (word, Ok(())),
            // Of another address, too: that of a container whose port is published under one of this host's.
            Err(why) => (*word, Err(why)),
        };
        let (lo, hi) = (unjoined.key.lo(), unjoined.key.hi());
        let (source, peer) = if unjoined.from_hi { (hi, lo) } else { (lo, hi) };
        Arc::make_mut(&mut self.words).note_unjoined(unjoined.time_ns, source.port, peer);
        joined
    }

    /// The flow, and the side that sent the RST: of a listener's, that of the nearest RST of its port.
    fn whose(&mut self, word: &ReportedReset<'_>) -> Result<(FlowKey, bool), Unmatched> {
        let (key, from_hi) = (word.key, word.from_hi);
        let (source, peer) = if from_hi { (key.hi(), key.lo()) } else { (key.lo(), key.hi()) };
        if !process::is_nobody(peer) {
            return Ok((key, from_hi));
        }
        self.unexplained.of_listener(source.port, word.time_ns).ok_or(Unmatched::NoPeer)
    }

    /// The kernel of the host itself says something of a connection besides its resets (`--host`). False when the connection is
    /// not tracked: it may be once more segments have come.
    pub fn kernel_report(&mut self, report: &KernelReport) -> bool {
        self.partition_mut(&report.key).kernel_report(report)
    }

    /// A word of the kernel is about no tracked connection, and nobody will ask again about it.
    pub fn count_unmatched_report(&mut self, key: &FlowKey) {
        let counts = &mut self.stats.kernel_reports;
        let may_be_ours = [key.lo(), key.hi()].into_iter().any(|end| self.words.may_be_own(end));
        *(if may_be_ours { &mut counts.unmatched } else { &mut counts.of_others }) += 1;
    }

    /// Nobody will ask again about these resets of the kernel.
    pub fn count_unmatched_resets(&mut self, resets: impl IntoIterator<Item = Unmatched>) {
        for why in resets {
            self.stats.unmatched_resets.add(why);
        }
    }
}
