//! Host tap (`--host`): what the host sends, by tc egress, why its kernel sends resets, by the `tcp:tcp_send_reset`
//! tracepoint, and what else it says of connections ([`super::host_events`]). Each part that this kernel lacks is said and
//! left out.

use aya::{
    maps::{Array, MapData, RingBuf},
    programs::{SchedClassifier, TracePoint},
};
use probe_ebpf::layout::{Endpoint, FlowKey, ResetEvent};

use super::{
    LiveError,
    egress::{Egress, EgressHook, EgressLink},
    engine::Engine,
    host_events::{HostEvents, HostReport},
    link_layer::LinkLayer,
    netdev::Netdev,
    owner::PROGRAM,
    process::{self, Process},
    tracefs::with_tracefs,
    tracepoint_format::TracepointFormat,
};

/// Where the tracepoint keeps its fields, and what its reasons are called: from its format file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResetFormat {
    /// Offsets of `skbaddr`, `state`, `reason`, `saddr`, `daddr`.
    pub offsets: [u32; 5],
    /// Names of the reasons, by number.
    pub names: Vec<String>,
}

const FIELDS: [&str; 5] = ["skbaddr", "state", "reason", "saddr", "daddr"];
/// Reasons travel as a byte.
const REASONS: usize = 256;

impl ResetFormat {
    /// Reads the format of this kernel.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub fn of_this_kernel() -> Result<Self, String> {
        let format = TracepointFormat::of_this_kernel("tcp/tcp_send_reset")?
            .ok_or("this kernel has no tracepoint tcp:tcp_send_reset, or it may not be read")?;
        Self::of(&format)
            .ok_or_else(|| "this kernel's tcp:tcp_send_reset has no reason (Linux 6.10 and newer have it)".to_string())
    }

    /// `None` when a field is missing.
    fn of(format: &TracepointFormat) -> Option<Self> {
        Some(Self { offsets: format.offsets(FIELDS)?, names: format.names("reason", REASONS)? })
    }
}

/// One reset that this kernel sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelReset {
    /// Whose.
    pub key: FlowKey,
    /// The `hi` endpoint of the key sent it.
    pub from_hi: bool,
    /// Index into [`ResetFormat::names`].
    pub reason: u8,
    /// A segment provoked it; otherwise the application or a timer did.
    pub provoked: bool,
    /// The process that decided, where no segment did.
    pub process: Option<Process>,
    /// When, by `CLOCK_MONOTONIC`, nanoseconds.
    pub monotonic_ns: u64,
}

/// Events that wait for their segments, at most: the kernel tells of all interfaces and network namespaces.
const MOST_WAITING: usize = 1 << 14;

/// Attachments to egress and the rings of what the kernel says. Dropping it detaches.
pub struct HostTap {
    egress: Egress,
    /// With the index of the interface of each.
    links: Vec<(u32, EgressLink)>,
    ring: Option<RingBuf<MapData>>,
    lost: Option<Array<MapData, u64>>,
    /// Reported, while their segments were still in the epoch that nobody had drained.
    waiting: Vec<KernelReset>,
    /// Events that are none of this program's: 0 unless it is another version's.
    unreadable: u64,
    events: Option<HostEvents>,
    events_refused: Option<String>,
    /// As `waiting`, of events.
    events_waiting: Vec<HostReport>,
}

impl HostTap {
    /// Attaches to the egress of every interface, and to the tracepoint when `with_reasons`.
    ///
    /// # Errors
    /// Egress cannot be attached.
    pub fn attach<'a>(
        engine: &mut Engine,
        interfaces: impl IntoIterator<Item = &'a Netdev>,
        hook: EgressHook,
        with_reasons: bool,
    ) -> Result<Self, LiveError> {
        let mut tap = Self {
            egress: Egress::new(hook),
            links: Vec::new(),
            ring: None,
            lost: None,
            waiting: Vec::new(),
            unreadable: 0,
            events: None,
            events_refused: None,
            events_waiting: Vec::new(),
        };
        for device in interfaces {
            tap.attach_to(engine, device)?;
        }
        if with_reasons {
            let program: &mut TracePoint = engine.named_program("rstprobe_send_reset")?;
            program.load().map_err(|source| LiveError::Program(Box::new(source)))?;
            // The link stays with the program, and the program with the engine.
            with_tracefs(|| program.attach("tcp", "tcp_send_reset"))
                .map_err(LiveError::Tracefs)?
                .map_err(|source| LiveError::Program(Box::new(source)))?;
            tap.ring = engine.take_map("RESETS");
            tap.lost = engine.take_map("RESETS_LOST");
        }
        // Without them the rest is seen all the same.
        match HostEvents::attach(engine) {
            Ok(events) => tap.events = events,
            Err(error) => tap.events_refused = Some(error.to_string()),
        }
        Ok(tap)
    }

    /// What is sent is seen by a filter, which has to be removed.
    pub fn is_by_filter(&self) -> bool {
        self.links.iter().any(|(_, link)| link.is_filter())
    }

    /// Attaches to the egress of one more interface.
    ///
    /// # Errors
    /// It cannot be attached.
    pub fn attach_to(&mut self, engine: &mut Engine, device: &Netdev) -> Result<(), LiveError> {
        let link = self.egress.attach(classifier(engine, device.link_layer)?, device)?;
        self.links.push((device.index, link));
        Ok(())
    }

    /// Detaches from the egress of the interface with this index, which may be gone.
    ///
    /// # Errors
    /// The kernel kept something.
    pub fn detach_from(&mut self, index: u32) -> Result<(), LiveError> {
        let links = self.links.extract_if(.., |(of, _)| *of == index);
        let detached: Vec<_> = links.map(|(_, link)| link.detach()).collect();
        detached.into_iter().collect()
    }

    /// The kernel tells the resets that its TCP sends.
    pub fn tells_resets(&self) -> bool {
        self.ring.is_some()
    }

    /// Why filters on clsact, which are no bpf_links, took the place of tcx links, if they did.
    pub fn tcx_refused(&self) -> Option<&str> {
        self.egress.tcx_refused()
    }

    /// Why errors of sockets and dropped segments are not told, if the kernel refused that.
    pub fn events_refused(&self) -> Option<&str> {
        self.events_refused.as_deref()
    }

    /// Detaches from egress, everywhere; the ring can still be read.
    ///
    /// # Errors
    /// The first thing that the kernel kept.
    pub fn detach(&mut self) -> Result<(), LiveError> {
        let detached: Vec<_> = self.links.drain(..).map(|(_, link)| link.detach()).collect();
        detached.into_iter().collect()
    }

    /// Gives every reported reset to `join`, which says why if it has not seen the segment. To be called after each drain:
    /// those of segments that only the next one brings are given once more then, unless this is the `last`. Returns why, of those
    /// refused for good.
    pub fn join_resets<W>(
        &mut self,
        domain: u32,
        last: bool,
        mut join: impl FnMut(&KernelReset) -> Result<(), W>,
    ) -> Vec<W> {
        let again = std::mem::take(&mut self.waiting);
        let mut refused: Vec<W> = again.iter().filter_map(|reset| join(reset).err()).collect();
        while let Some(reset) = self.next_reset(domain) {
            match join(&reset) {
                Ok(()) => {}
                Err(why) if last => refused.push(why),
                Err(_) => self.waiting.push(reset),
            }
        }
        refused
    }

    /// Gives everything else that the kernel said to `join`, which says whether it knows the connection: what it does not know
    /// is given once more after the next drain, unless this is the `last`, and then to `unknown`.
    pub fn join_events(
        &mut self,
        domain: u32,
        last: bool,
        mut join: impl FnMut(&HostReport) -> bool,
        mut unknown: impl FnMut(&HostReport),
    ) {
        let again = std::mem::take(&mut self.events_waiting);
        again.iter().filter(|report| !join(report)).for_each(&mut unknown);
        let Some(events) = self.events.as_mut() else { return };
        while let Some(report) = events.next(domain) {
            if join(&report) {
                continue;
            }
            if last || self.events_waiting.len() >= MOST_WAITING {
                unknown(&report);
            } else {
                self.events_waiting.push(report);
            }
        }
    }

    /// Events besides resets that the programs could not report.
    pub fn events_lost(&self) -> u64 {
        self.events.as_ref().map_or(0, HostEvents::lost)
    }

    /// Takes the next reset that the kernel reported.
    fn next_reset(&mut self, domain: u32) -> Option<KernelReset> {
        let ring = self.ring.as_mut()?;
        loop {
            let item = ring.next()?;
            match decode(&item).map(|event| reset(&event, domain)) {
                Some(Some(reset)) => return Some(reset),
                // Of another address family.
                Some(None) => {}
                None => self.unreadable += 1,
            }
        }
    }

    /// Resets that the program could not report.
    pub fn lost(&self) -> u64 {
        self.unreadable + self.lost.as_ref().and_then(|lost| lost.get(&0, 0).ok()).unwrap_or(0)
    }
}

/// The classifier for interfaces of that link layer, loaded when it is first needed.
fn classifier(engine: &mut Engine, link_layer: LinkLayer) -> Result<&mut SchedClassifier, LiveError> {
    let name = if link_layer == LinkLayer::Ip { "rstprobe_ip_egress" } else { PROGRAM };
    let program: &mut SchedClassifier = engine.named_program(name)?;
    if program.fd().is_err() {
        program.load().map_err(|source| LiveError::Program(Box::new(source)))?;
    }
    Ok(program)
}

fn decode(bytes: &[u8]) -> Option<ResetEvent> {
    let word = |at: usize| bytes.get(at..at + 4)?.first_chunk().map(|four| u32::from_ne_bytes(*four));
    let long = |at: usize| bytes.get(at..at + 8)?.first_chunk().map(|eight| u64::from_ne_bytes(*eight));
    let mut event = ResetEvent {
        time_ns: long(0)?,
        skb: long(8)?,
        state: word(16)?,
        reason: word(20)?,
        source: [0; 7],
        destination: [0; 7],
        pid: word(80)?,
        reserved: 0,
        comm: [long(88)?, long(96)?],
    };
    for at in 0..7 {
        event.source[at] = word(24 + at * 4)?;
        event.destination[at] = word(52 + at * 4)?;
    }
    Some(event)
}

fn reset(event: &ResetEvent, domain: u32) -> Option<KernelReset> {
    let (key, from_hi) = FlowKey::normalised(endpoint(&event.source)?, endpoint(&event.destination)?, domain);
    let reason = u8::try_from(event.reason).ok()?;
    let provoked = event.skb != 0;
    // What a segment provokes is sent in the context of whoever runs just then.
    let process = if provoked { None } else { process::of(event.pid, event.comm) };
    Some(KernelReset { key, from_hi, reason, provoked, process, monotonic_ns: event.time_ns })
}

/// `struct sockaddr_in` or `sockaddr_in6`: family in host order, port and address in network order.
fn endpoint(words: &[u32; 7]) -> Option<Endpoint> {
    let [family_low, family_high, port_high, port_low] = words[0].to_ne_bytes();
    let port = u16::from_be_bytes([port_high, port_low]);
    match i32::from(u16::from_ne_bytes([family_low, family_high])) {
        libc::AF_INET => Some(Endpoint::v4(words[1], port)),
        libc::AF_INET6 => {
            let mut octets = [0; 16];
            for (four, word) in octets.chunks_exact_mut(4).zip(&words[2..6]) {
                four.copy_from_slice(&word.to_ne_bytes());
            }
            Some(Endpoint::from_octets(octets, port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = r#"name: tcp_send_reset
	field:int common_pid;	offset:4;	size:4;	signed:1;
	field:const void * skbaddr;	offset:8;	size:8;	signed:0;
	field:int state;	offset:24;	size:4;	signed:1;
	field:enum sk_rst_reason reason;	offset:28;	size:4;	signed:0;
	field:__u8 saddr[28];	offset:32;	size:28;	signed:0;
	field:__u8 daddr[28];	offset:60;	size:28;	signed:0;
print fmt: "x", __print_symbolic(REC->state, { TCP_A, "A" }), __print_symbolic(REC->reason, { 0, "NOT_SPECIFIED" }, { 2, "NO_SOCKET" })"#;

    #[test]
    fn format_gives_offsets_and_names() {
        let parse = |text: &str| ResetFormat::of(&TracepointFormat::of_text(text));
        let format = parse(FORMAT).expect("whole");
        assert_eq!(format.offsets, [8, 24, 28, 32, 60]);
        assert_eq!(format.names, ["NOT_SPECIFIED", "", "NO_SOCKET"]);
        assert_eq!(parse(&FORMAT.replace("reason;", "cause;")), None, "older kernels have no reason");
    }

    #[test]
    fn addresses_are_those_of_the_flow() {
        let v4 = |host: u8, port: u16| {
            let port = port.to_be_bytes();
            let family = 2_u16.to_ne_bytes();
            let head = u32::from_ne_bytes([family[0], family[1], port[0], port[1]]);
            [head, u32::from_ne_bytes([10, 0, 0, host]), 0, 0, 0, 0, 0]
        };
        let event = ResetEvent {
            time_ns: 1,
            skb: 0,
            state: 1,
            reason: 2,
            source: v4(2, 80),
            destination: v4(1, 40_000),
            pid: 0,
            reserved: 0,
            comm: [0; 2],
        };
        let found = reset(&event, 0).expect("IPv4");
        let end = |host: u8, port| Endpoint::v4(u32::from_ne_bytes([10, 0, 0, host]), port);
        assert_eq!((found.key, found.from_hi), FlowKey::normalised(end(2, 80), end(1, 40_000), 0));
        assert!(!found.provoked);
    }
}
