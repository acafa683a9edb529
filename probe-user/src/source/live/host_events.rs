//! Host events: what this host's kernel says of connections besides its resets, by the tracepoints
//! `sock:inet_sk_error_report` (Linux 5.14) and `skb:kfree_skb` with a reason (5.17). Either may be missing.

use aya::{
    maps::{Array, MapData, RingBuf},
    programs::TracePoint,
};
use probe_ebpf::layout::{EVENT_DROP, EVENT_SOCKET_ERROR, Endpoint, FlowKey, HostEvent};

use super::{LiveError, engine::Engine, tracefs::with_tracefs};

/// What the kernel said of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostWord {
    /// Its socket was given this error (`errno`).
    SocketError(u16),
    /// A segment of it was dropped for this reason ([`super::host_event_format::DropFormat::names`]).
    Dropped(u8),
}

/// One event, of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostReport {
    /// Whose.
    pub key: FlowKey,
    /// The socket is that of the `hi` endpoint, or it sent the dropped segment.
    pub from_hi: bool,
    /// What was said.
    pub word: HostWord,
    /// When, by `CLOCK_MONOTONIC`, nanoseconds.
    pub monotonic_ns: u64,
}

/// The ring of events.
pub struct HostEvents {
    ring: RingBuf<MapData>,
    lost: Option<Array<MapData, u64>>,
    /// Events that are none of this program's, or bear a number beyond those that have names.
    unreadable: u64,
}

impl HostEvents {
    /// Attaches to the tracepoints that the engine was configured for; `None` without any.
    ///
    /// # Errors
    /// The kernel refuses a program or its attachment.
    pub(super) fn attach(engine: &mut Engine) -> Result<Option<Self>, LiveError> {
        let Some(format) = engine.config().host_events.clone() else { return Ok(None) };
        if format.errors.is_some() {
            attach(engine, "rstprobe_socket_error", "sock", "inet_sk_error_report")?;
        }
        if format.drops.is_some() {
            attach(engine, "rstprobe_drop", "skb", "kfree_skb")?;
        }
        let ring = engine.take_map("HOST_EVENTS");
        Ok(ring.map(|ring| Self { ring, lost: engine.take_map("HOST_EVENTS_LOST"), unreadable: 0 }))
    }

    /// Takes the next event.
    pub(super) fn next(&mut self, domain: u32) -> Option<HostReport> {
        loop {
            let item = self.ring.next()?;
            match decode(&item, domain) {
                Some(report) => return Some(report),
                // Another version's, or a number that no name is known of.
                None => self.unreadable += 1,
            }
        }
    }

    /// Events that the programs could not report, and those that could not be read.
    pub(super) fn lost(&self) -> u64 {
        self.unreadable + self.lost.as_ref().and_then(|lost| lost.get(&0, 0).ok()).unwrap_or(0)
    }
}

fn attach(engine: &mut Engine, name: &'static str, category: &str, tracepoint: &str) -> Result<(), LiveError> {
    let program: &mut TracePoint = engine.named_program(name)?;
    program.load().map_err(|source| LiveError::Program(Box::new(source)))?;
    // The link stays with the program, and the program with the engine.
    with_tracefs(|| program.attach(category, tracepoint))
        .map_err(LiveError::Tracefs)?
        .map_err(|source| LiveError::Program(Box::new(source)))?;
    Ok(())
}

fn decode(bytes: &[u8], domain: u32) -> Option<HostReport> {
    let word = |at: usize| bytes.get(at..at + 4)?.first_chunk().map(|four| u32::from_ne_bytes(*four));
    let octets = |at: usize| bytes.get(at..at + 16)?.first_chunk().copied();
    let port = |at: usize| bytes.get(at..at + 2)?.first_chunk().map(|two| u16::from_ne_bytes(*two));
    if bytes.len() != size_of::<HostEvent>() {
        return None;
    }
    let code = word(12)?;
    let word = match word(8)? {
        EVENT_SOCKET_ERROR => HostWord::SocketError(u16::try_from(code).ok()?),
        EVENT_DROP => HostWord::Dropped(u8::try_from(code).ok()?),
        _ => return None,
    };
    let source = Endpoint::from_octets(octets(16)?, port(48)?);
    let destination = Endpoint::from_octets(octets(32)?, port(50)?);
    let (key, from_hi) = FlowKey::normalised(source, destination, domain);
    let monotonic_ns = bytes.first_chunk().map(|eight| u64::from_ne_bytes(*eight))?;
    Some(HostReport { key, from_hi, word, monotonic_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u32, code: u32) -> Vec<u8> {
        let mapped = |host: u8| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, host];
        let mut bytes = 7_u64.to_ne_bytes().to_vec();
        bytes.extend([kind, code].iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend(mapped(2));
        bytes.extend(mapped(1));
        bytes.extend([80_u16, 40_000].iter().flat_map(|port| port.to_ne_bytes()));
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn events_are_those_of_the_flow() {
        let end = |host: u8, port| Endpoint::v4(u32::from_ne_bytes([10, 0, 0, host]), port);
        let (key, from_hi) = FlowKey::normalised(end(2, 80), end(1, 40_000), 0);
        let error = decode(&event(EVENT_SOCKET_ERROR, 110), 0).expect("an error");
        assert_eq!(error, HostReport { key, from_hi, word: HostWord::SocketError(110), monotonic_ns: 7 });
        let dropped = decode(&event(EVENT_DROP, 8), 0).expect("a drop");
        assert_eq!((dropped.key, dropped.word), (key, HostWord::Dropped(8)));
        assert_eq!(decode(&event(9, 8), 0), None);
        assert_eq!(decode(&event(EVENT_DROP, 8)[..55], 0), None);
    }
}
