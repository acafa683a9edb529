//! Decoder: makes segments of frames, and accounts for each frame.

use std::collections::BTreeMap;

use probe_ebpf::layout::{RST, Segment, TCP_FLAGS};
use probe_ebpf::parse::{Located, Reader, Reject, SliceReader, icmp_quote, locate, segment};
use probe_ebpf::tunnel::{self, Encapsulations, MAX_STEPS, Walk};

use super::address::{self, Addresses};
use super::checksum::{holds, sum};
use super::decoded::{Decoded, Header, Payload};
use super::encapsulation;
use super::fast_path;
use super::fragment::{self, Fragment};
use super::frame::Frame;
use super::link::start;
use super::link_type::{LinkType, Unread, Unsupported};
use super::reassembly::{Outcome, Reassembled, Reassembler};
use super::remark::{self, Remark};
use super::tcp_checksum;
use crate::source::Domain;

/// Packets in pieces within packets in pieces that are put together.
const MAX_NESTED: u8 = 4;
/// Link types that are not understood and are told apart.
const MAX_UNSUPPORTED: usize = 64;

/// What became of the frames: each is counted in exactly one field, but for `frames`, `short_wire_lengths`, `cropped`,
/// `offloaded_checksums`, `offloaded_ip_checksums`, `options_cut` and `unsupported`, which count some of them once more. A frame that completes a
/// fragmented packet is counted as what that packet is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    /// All frames.
    pub frames: u64,
    /// TCP segments with right or unverifiable checksums.
    pub tcp: u64,
    /// TCP segments whose checksum is wrong.
    pub bad_tcp_checksum: u64,
    /// Packets whose IPv4 header checksum is wrong.
    pub bad_ip_checksum: u64,
    /// ICMP errors that quote a TCP segment ([`Remark::Icmp`]).
    pub icmp_errors: u64,
    /// ICMP errors whose checksum is wrong.
    pub bad_icmp_checksum: u64,
    /// Frames of a link type that is not understood.
    pub link_unsupported: u64,
    /// The same by which one it is; of ever more of them the further ones are only in the sum.
    pub unsupported: BTreeMap<Unsupported, u64>,
    /// 802.11 frames with several packets (A-MSDU), which are not taken apart.
    pub aggregates: u64,
    /// Fragments that are kept until their packet is whole, or were until it was given up.
    pub fragments_held: u64,
    /// Fragments that fit into no packet.
    pub fragments_refused: u64,
    /// Frames of which more was captured than their length on the wire is said to be: the former is believed.
    pub short_wire_lengths: u64,
    /// TCP segments whose frame was whole and yet ended before the packet did, by its IP header: a mirror cropped them. The
    /// IP header is believed.
    pub cropped: u64,
    /// TCP segments whose checksum was left to the NIC of the host that captured them: they count.
    pub offloaded_checksums: u64,
    /// TCP segments whose IPv4 header checksum is 0 and was left to the NIC: they count.
    pub offloaded_ip_checksums: u64,
    /// TCP segments whose options were not captured, or not all of them: they count, and nothing is known of the options.
    pub options_cut: u64,
    /// Frames without a readable TCP header, by [`Reject`] discriminant.
    pub rejected: [u64; Reject::ALL.len()],
}

impl Accounting {
    fn unread(&mut self, why: Unread) {
        match why {
            Unread::Rejected(reason) => self.rejected[reason as usize] += 1,
            Unread::Aggregate => self.aggregates += 1,
            Unread::Unsupported(what) => {
                self.link_unsupported += 1;
                if self.unsupported.len() < MAX_UNSUPPORTED || self.unsupported.contains_key(&what) {
                    *self.unsupported.entry(what).or_default() += 1;
                }
            }
        }
    }

    /// Reasons and counts of rejected frames, zeros left out.
    pub fn rejections(&self) -> impl Iterator<Item = (Reject, u64)> {
        Reject::ALL.into_iter().map(|reason| (reason, self.rejected[reason as usize])).filter(|entry| entry.1 > 0)
    }
}

/// Makes segments of frames.
#[derive(Debug)]
pub struct Decoder {
    verify: bool,
    as_zeek: bool,
    encapsulations: Encapsulations,
    vxlan_ports: Vec<u16>,
    domain: Domain,
    accounting: Accounting,
    reassembler: Reassembler,
    remark: Option<Remark>,
}

impl Decoder {
    /// `verify`: look at IPv4 and TCP checksums. `encapsulations`: what is looked into. `domain`: which id keeps
    /// connections apart.
    pub fn new(verify: bool, encapsulations: Encapsulations, domain: Domain) -> Self {
        let (accounting, reassembler) = (Accounting::default(), Reassembler::default());
        Self {
            verify,
            as_zeek: false,
            encapsulations,
            vxlan_ports: Vec::new(),
            domain,
            accounting,
            reassembler,
            remark: None,
        }
    }

    /// Also looks into VXLAN that is sent to these ports.
    #[must_use]
    pub fn with_vxlan_ports(mut self, ports: &[u16]) -> Self {
        self.vxlan_ports = ports.to_vec();
        self
    }

    /// As Zeek does it: a checksum that was left to a NIC is a wrong one, a packet that its IP header says is longer than the
    /// frame is dropped (`truncated_IP`), and a segment whose options were not captured begins a connection and nothing more.
    #[must_use]
    pub fn as_zeek(self, as_zeek: bool) -> Self {
        Self { as_zeek, ..self }
    }

    /// What the last frame said beyond a segment, once.
    pub fn take_remark(&mut self) -> Option<Remark> {
        self.remark.take()
    }

    /// True when there is something to take.
    #[inline(always)]
    pub fn has_remark(&self) -> bool {
        self.remark.is_some()
    }

    /// What became of the frames so far.
    pub fn accounting(&self) -> &Accounting {
        &self.accounting
    }

    /// What became of fragmented packets so far; those still in pieces count as given up.
    pub fn reassembled(&self) -> Reassembled {
        self.reassembler.stats()
    }

    /// The segment of a frame, or `None` with the reason in the books.
    ///
    /// The plain parser first, as in the kernel program; the walk through encapsulations and fragments where it gives up.
    #[inline]
    pub fn decode(&mut self, frame: &Frame<'_>) -> Option<Decoded> {
        self.accounting.frames += 1;
        self.accounting.short_wire_lengths += u64::from(frame.wire_len < frame.bytes.len());
        let reader = SliceReader { bytes: frame.bytes, wire_len: frame.wire_len };
        self.general(&reader, frame)
    }

    /// As [`Self::decode`] for frames as nearly all are: Ethernet, IPv4 without options, TCP. `None`, and nothing counted,
    /// for all others, `into` left as it was. It finds what the other finds, where that is known to be.
    #[inline(always)]
    pub fn decode_plain(&mut self, frame: &Frame<'_>, into: &mut Segment) -> Option<Payload> {
        let mut payload = fast_path::read(frame, self.verify, into)?;
        self.accounting.frames += 1;
        if payload.bad_checksum {
            // Copied, here and below, so that the frame itself need never be in memory.
            let frame = *frame;
            payload.bad_checksum = !self.forgives(|| tcp_checksum::is_plain_offloaded(&frame, into));
        }
        let tally = if payload.bad_checksum { &mut self.accounting.bad_tcp_checksum } else { &mut self.accounting.tcp };
        *tally += 1;
        if into.record.flags & RST != 0 && remark::may_say_more(into) && !payload.bad_checksum {
            let frame = *frame;
            self.note_reset(&frame, into);
        }
        Some(payload)
    }

    #[cold]
    fn note_reset(&mut self, frame: &Frame<'_>, segment: &Segment) {
        self.remark = remark::plain_reset(frame, segment);
    }

    fn general(&mut self, reader: &SliceReader<'_>, frame: &Frame<'_>) -> Option<Decoded> {
        if frame.link == LinkType::Ethernet {
            match locate(reader) {
                Ok(located) if located.fragment == 0 && self.is_enough(reader, &located) => {
                    return self.take(reader, &located, frame.time_ns);
                }
                Err(reason @ (Reject::NotIp | Reject::VlanDepth)) if self.encapsulations.enabled == 0 => {
                    return self.reject(reason);
                }
                Err(reason @ Reject::NotTcp) if self.encapsulations.enabled == 0 => {
                    let mut walk = Walk::ethernet(0);
                    // Only where it ends is of interest.
                    let _nowhere = self.find(reader, &mut walk);
                    return self.without_tcp(reader, &walk, reason, frame.time_ns);
                }
                Ok(_) | Err(_) => {}
            }
        }
        self.walk(reader, frame)
    }

    fn walk(&mut self, reader: &SliceReader<'_>, frame: &Frame<'_>) -> Option<Decoded> {
        match start(reader, frame.link) {
            Ok(walk) => self.follow(reader, walk, frame.time_ns, 0),
            Err(why) => {
                self.accounting.unread(why);
                None
            }
        }
    }

    fn follow(&mut self, reader: &SliceReader<'_>, begin: Walk, time_ns: u64, nested: u8) -> Option<Decoded> {
        let mut walk = begin;
        match self.find(reader, &mut walk) {
            Ok(located) if self.is_enough(reader, &located) => self.take(reader, &located, time_ns),
            Ok(_) => self.headless(reader, &walk, Reject::TruncatedTcp, time_ns),
            Err(Reject::TcpDataOffset) => self.headless(reader, &walk, Reject::TcpDataOffset, time_ns),
            Err(Reject::LaterFragment) => {
                let Some(fragment) = fragment::read(reader, walk.packet_at(), walk.surroundings()) else {
                    return self.reject(Reject::LaterFragment);
                };
                if self.verify && fragment.packet.version == 4 && !holds(sum(fragment.header, 0)) {
                    self.accounting.bad_ip_checksum += 1;
                    return None;
                }
                match fragment.payload {
                    Some(payload) => self.piece(&fragment, payload, &walk, time_ns, nested),
                    None => self.cut_fragment(reader, &fragment, begin, time_ns),
                }
            }
            Err(reason) => self.without_tcp(reader, &walk, reason, time_ns),
        }
    }

    /// No segment: perhaps somebody's word on one.
    fn without_tcp(&mut self, reader: &SliceReader<'_>, walk: &Walk, reason: Reject, time_ns: u64) -> Option<Decoded> {
        if reason == Reject::NotTcp
            && let Some(place) = walk.icmp()
            && let Some(quote) = icmp_quote(reader, &place, walk.headless().domain(self.domain.value()))
        {
            if self.verify && !remark::icmp_checksums_hold(reader, &place) {
                self.accounting.bad_icmp_checksum += 1;
            } else {
                self.accounting.icmp_errors += 1;
                self.remark = Some(Remark::Icmp { quote, time_ns });
            }
            return None;
        }
        self.reject(reason)
    }

    /// The TCP header of a frame, or where the walk to it ended.
    fn find(&self, reader: &SliceReader<'_>, walk: &mut Walk) -> Result<Located, Reject> {
        for _ in 0..MAX_STEPS {
            let found = tunnel::locate_whole(reader, self.encapsulations, walk);
            let (Err(Reject::NotTcp | Reject::NotIp), true) = (found, self.encapsulations.enabled != 0) else {
                return found;
            };
            if !encapsulation::lead_on(reader, self.encapsulations, &self.vxlan_ports, walk)? {
                return found;
            }
        }
        Err(Reject::TunnelDepth)
    }

    /// One more piece of a packet.
    fn piece(
        &mut self,
        fragment: &Fragment<'_>,
        payload: &[u8],
        walk: &Walk,
        time_ns: u64,
        nested: u8,
    ) -> Option<Decoded> {
        if nested >= MAX_NESTED {
            return self.reject(Reject::TunnelDepth);
        }
        match self.reassembler.add(fragment, payload, time_ns) {
            Outcome::Held => self.accounting.fragments_held += 1,
            Outcome::Refused => self.accounting.fragments_refused += 1,
            Outcome::Whole(packet) => {
                return self.follow(&SliceReader::whole(&packet), walk.resumed_at_ip(0), time_ns, nested + 1);
            }
        }
        None
    }

    /// A fragment of which only the beginning was captured: good for its headers, if it has any (as in Zeek).
    fn cut_fragment(
        &mut self,
        reader: &SliceReader<'_>,
        fragment: &Fragment<'_>,
        mut begin: Walk,
        time_ns: u64,
    ) -> Option<Decoded> {
        if fragment.offset != 0 {
            return self.reject(Reject::LaterFragment);
        }
        let mut located = Located::default();
        match tunnel::locate(reader, self.encapsulations, &mut begin, &mut located) {
            Ok(()) if self.is_enough(reader, &located) => self.take(reader, &located, time_ns),
            Ok(()) => self.headless(reader, &begin, Reject::TruncatedTcp, time_ns),
            Err(reason) => self.reject(reason),
        }
    }

    fn reject(&mut self, reason: Reject) -> Option<Decoded> {
        self.accounting.rejected[reason as usize] += 1;
        None
    }

    /// Whether so much of a TCP header was captured that its segment counts.
    #[inline]
    fn is_enough(&self, reader: &SliceReader<'_>, located: &Located) -> bool {
        !self.as_zeek || is_captured(reader, located)
    }

    #[inline]
    fn take(&mut self, reader: &SliceReader<'_>, located: &Located, time_ns: u64) -> Option<Decoded> {
        let is_cropped = located.is_cropped(reader);
        if is_cropped && self.as_zeek {
            return self.reject(Reject::IpTotalLength);
        }
        let addresses = address::effective(reader, located);
        let segment = self.segment(reader, located, addresses, time_ns)?;
        let decoded = self.judged(reader, located, addresses, segment);
        self.accounting.cropped += u64::from(is_cropped);
        self.accounting.options_cut += u64::from(!is_captured(reader, located));
        if segment.record.flags & RST != 0 && !decoded.bad_checksum {
            self.remark = remark::reset(reader, located, &segment);
        }
        Some(decoded)
    }

    /// Whether a segment is believed although its checksum is wrong: the host that captured it left that to its NIC.
    #[cold]
    fn forgives(&mut self, is_offloaded: impl Fn() -> bool) -> bool {
        let forgives = !self.as_zeek && is_offloaded();
        self.accounting.offloaded_checksums += u64::from(forgives);
        forgives
    }

    /// With what its bytes say beyond the header: whether they are whole and right.
    #[inline(always)]
    fn judged(
        &mut self,
        reader: &SliceReader<'_>,
        located: &Located,
        addresses: Option<Addresses>,
        segment: Segment,
    ) -> Decoded {
        let tcp = usize::from(located.tcp);
        let whole = reader.bytes.get(tcp..tcp + located.tcp_len as usize);
        let bad_checksum = self.verify
            && located.fragment == 0
            && whole.is_some_and(|tcp| !tcp_checksum::is_right(reader, located, addresses, tcp));
        let bad_checksum = bad_checksum && !self.forgives(|| tcp_checksum::is_offloaded(reader, located, addresses));
        if bad_checksum {
            self.accounting.bad_tcp_checksum += 1;
        } else {
            self.accounting.tcp += 1;
        }
        Decoded { segment, bad_checksum, payload_cut: whole.is_none(), header: Header::Whole }
    }

    /// A segment whose TCP header cannot be read to its end; the first 20 bytes can (as in Zeek, which takes note of the
    /// connection and drops the segment).
    #[cold]
    fn headless(&mut self, reader: &SliceReader<'_>, walk: &Walk, reason: Reject, time_ns: u64) -> Option<Decoded> {
        let mut located = walk.headless();
        if self.as_zeek && located.is_cropped(reader) {
            return self.reject(Reject::IpTotalLength);
        }
        let offset_and_flags =
            reader.bytes::<2>(usize::from(located.tcp) + 12).map_or(0, |&bytes| u16::from_be_bytes(bytes));
        located.flags = offset_and_flags & TCP_FLAGS;
        let header = if offset_and_flags >> 12 < 5 { Header::Contradictory } else { Header::Cut };
        let addresses = address::effective(reader, &located);
        let segment = self.segment(reader, &located, addresses, time_ns)?;
        self.accounting.rejected[reason as usize] += 1;
        Some(Decoded { segment, bad_checksum: false, payload_cut: true, header })
    }

    /// The fields, unless the IPv4 header is damaged.
    #[inline]
    fn segment(
        &mut self,
        reader: &SliceReader<'_>,
        located: &Located,
        addresses: Option<Addresses>,
        time_ns: u64,
    ) -> Option<Segment> {
        if self.verify && located.ip_version == 4 && !ip_checksum_holds(reader, located) {
            if self.as_zeek || !is_ip_checksum_absent(reader, located) {
                self.accounting.bad_ip_checksum += 1;
                return None;
            }
            self.accounting.offloaded_ip_checksums += 1;
        }
        let domain = located.domain(self.domain.value());
        match segment(reader, located, domain, time_ns) {
            Ok(mut segment) => {
                if let Some(addresses) = addresses {
                    address::readdress(&mut segment, &addresses, domain);
                }
                Some(segment)
            }
            Err(reason) => {
                self.accounting.rejected[reason as usize] += 1;
                None
            }
        }
    }
}

/// Whether the TCP header was captured with all its options.
#[inline]
fn is_captured(reader: &SliceReader<'_>, located: &Located) -> bool {
    usize::from(located.tcp) + usize::from(located.tcp_header_len) <= reader.bytes.len()
}

/// Whether the IPv4 header checksum is 0, as a host leaves it to a NIC that cuts large segments (large send offload). A wrong
/// checksum is that by accident once in 65,536.
#[cold]
fn is_ip_checksum_absent(reader: &SliceReader<'_>, located: &Located) -> bool {
    reader.bytes::<2>(usize::from(located.ip) + 10).is_some_and(|field| *field == [0, 0])
}

/// Whether the IPv4 header checksum is right, as far as the header was captured.
#[inline(always)]
fn ip_checksum_holds(reader: &SliceReader<'_>, located: &Located) -> bool {
    let ip = usize::from(located.ip);
    let header_len = reader.bytes::<1>(ip).map_or(0, |byte| usize::from(byte[0] & 0x0f) * 4);
    reader.bytes.get(ip..ip + header_len).is_none_or(|header| holds(sum(header, 0)))
}
