//! Snapshots of frames that the program took for evidence, out of their ring buffer.

use std::mem::offset_of;

use aya::maps::{MapData, PerCpuArray, RingBuf};
use probe_ebpf::{
    layout::{FlowKey, Segment, SegmentRecord},
    snapshot::{NO_ROOM, OUTGOING, Snapshot, TAKEN},
};

use super::{LiveError, engine::Engine};

/// One frame, as far as it was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken<'a> {
    /// Its segment; the time is nanoseconds since the Unix epoch.
    pub segment: Segment,
    /// Index of the interface.
    pub interface: u32,
    /// Receive queue; `None` for what the host itself sent.
    pub queue: Option<u32>,
    /// Length of the frame, bytes.
    pub wire_len: u32,
    /// Its first bytes.
    pub bytes: &'a [u8],
}

/// The ring buffer.
pub struct Snapshots {
    ring: RingBuf<MapData>,
    counts: PerCpuArray<MapData, u64>,
    clock_offset_ns: u64,
}

impl Snapshots {
    /// Takes the ring buffer of an engine that was loaded with one.
    ///
    /// # Errors
    /// The object has none.
    pub fn open(engine: &mut Engine) -> Result<Self, LiveError> {
        let ring = engine.take_map("SNAPSHOTS").ok_or(LiveError::ObjectLacks("SNAPSHOTS"))?;
        let counts = engine.take_map("SNAPSHOT_COUNTED").ok_or(LiveError::ObjectLacks("SNAPSHOT_COUNTED"))?;
        Ok(Self { ring, counts, clock_offset_ns: engine.config().clock_offset_ns })
    }

    /// Hands over what has come.
    pub fn take(&mut self, mut each: impl FnMut(&Taken<'_>)) {
        while let Some(entry) = self.ring.next() {
            if let Some(taken) = read(&entry, self.clock_offset_ns) {
                each(&taken);
            }
        }
    }

    /// Snapshots taken, and those for which there was no room.
    pub fn counts(&self) -> (u64, u64) {
        let sum = |index: u32| self.counts.get(&index, 0).map_or(0, |cpus| cpus.iter().sum());
        (sum(TAKEN), sum(NO_ROOM))
    }
}

/// A [`Snapshot`] by its bytes; `None` when there are too few.
fn read(entry: &[u8], clock_offset_ns: u64) -> Option<Taken<'_>> {
    let array = |at: usize| entry.get(at..at + 8)?.first_chunk::<8>().copied();
    let word = |at: usize| array(at).map(u64::from_ne_bytes);
    let half = |at: usize| entry.get(at..at + 4)?.first_chunk::<4>().copied().map(u32::from_ne_bytes);
    let short = |at: usize| entry.get(at..at + 2)?.first_chunk::<2>().copied().map(u16::from_ne_bytes);
    let mut key = FlowKey::default();
    for (place, value) in key.words.iter_mut().enumerate() {
        *value = word(offset_of!(Snapshot, key) + 8 * place)?;
    }
    let at = |field: usize| offset_of!(Snapshot, record) + field;
    let record = SegmentRecord {
        time_ns: word(at(offset_of!(SegmentRecord, time_ns)))? + clock_offset_ns,
        seq: half(at(offset_of!(SegmentRecord, seq)))?,
        ack: half(at(offset_of!(SegmentRecord, ack)))?,
        payload_len: half(at(offset_of!(SegmentRecord, payload_len)))?,
        window: short(at(offset_of!(SegmentRecord, window)))?,
        mss: short(at(offset_of!(SegmentRecord, mss)))?,
        ip_id: short(at(offset_of!(SegmentRecord, ip_id)))?,
        header_len: short(at(offset_of!(SegmentRecord, header_len)))?,
        flags: short(at(offset_of!(SegmentRecord, flags)))?,
        ttl: *entry.get(at(offset_of!(SegmentRecord, ttl)))?,
        option_len: *entry.get(at(offset_of!(SegmentRecord, option_len)))?,
    };
    let queue = half(offset_of!(Snapshot, queue))?;
    let first = offset_of!(Snapshot, bytes);
    Some(Taken {
        segment: Segment { key, record, rst_note: 0 },
        interface: half(offset_of!(Snapshot, interface))?,
        queue: (queue & OUTGOING == 0).then_some(queue),
        wire_len: half(offset_of!(Snapshot, wire_len))?,
        bytes: entry.get(first..first + half(offset_of!(Snapshot, len))? as usize)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_it_was_written() {
        let mut entry: Vec<u8> = (0..=255).collect();
        entry[84..88].copy_from_slice(&3_u32.to_ne_bytes());
        entry[76..80].copy_from_slice(&(OUTGOING | 2).to_ne_bytes());
        let taken = read(&entry, 1).expect("whole");
        assert_eq!(taken.segment.key.words[1].to_ne_bytes(), [8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(taken.segment.record.time_ns - 1, u64::from_ne_bytes([40, 41, 42, 43, 44, 45, 46, 47]));
        assert_eq!((taken.segment.record.seq.to_ne_bytes(), taken.segment.record.option_len), ([48, 49, 50, 51], 71));
        assert_eq!((taken.interface.to_ne_bytes(), taken.queue), ([72, 73, 74, 75], None));
        assert_eq!(taken.bytes, [88, 89, 90]);
        assert_eq!(read(&entry[..89], 0), None);
    }
}
