//! Snapshots of frames that the program took for evidence: out of a ring buffer per CPU, and into one order again.

use std::mem::{offset_of, size_of};

use aya::maps::{ArrayOfMaps, Map, MapData, MapError, PerCpuArray, RingBuf};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;
use probe_ebpf::{
    frame_snapshot::{NO_ROOM, OUTGOING, Snapshot, TAKEN},
    layout::{FlowKey, Segment, SegmentRecord},
};

use super::{LiveError, engine::Engine};

/// The map of the ring buffers, by CPU.
const RINGS: &str = "SNAPSHOT_RINGS";
/// The map of their counts.
const COUNTS: &str = "SNAPSHOT_COUNTED";
/// Bytes of a CPU's ring buffer at least: 3971 snapshots, which are taken every few milliseconds. Any page size divides it.
const LEAST_RING: u32 = 1 << 20;
/// Bytes of all of them, where few CPUs share them.
const ALL_RINGS: u32 = 4 << 20;

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

/// One snapshot as it lay in its ring buffer.
type Entry = [u8; size_of::<Snapshot>()];

/// The ring buffers.
pub struct Snapshots {
    rings: Vec<RingBuf<MapData>>,
    /// By which the program finds them.
    _by_cpu: ArrayOfMaps<MapData, RingBuf<MapData>>,
    counts: PerCpuArray<MapData, u64>,
    clock_offset_ns: u64,
    /// Out of their rings, and not yet handed over.
    waiting: Vec<Entry>,
}

impl Snapshots {
    /// Makes a ring buffer for each CPU and shows them to the program of an engine that was loaded for snapshots and is
    /// not armed yet.
    ///
    /// # Errors
    /// The object has no place for them, or the kernel gives none.
    pub fn open(engine: &mut Engine) -> Result<Self, LiveError> {
        let lacks = |name| move || LiveError::ObjectLacks(name);
        let mut by_cpu: ArrayOfMaps<MapData, RingBuf<MapData>> = engine.take_map(RINGS).ok_or_else(lacks(RINGS))?;
        let counts = engine.take_map(COUNTS).ok_or_else(lacks(COUNTS))?;
        let cpus = by_cpu.len();
        let mut rings = Vec::with_capacity(cpus as usize);
        for cpu in 0..cpus {
            let ring = ring(ring_bytes(cpus)).map_err(LiveError::map(RINGS))?;
            by_cpu.set(cpu, &ring, 0).map_err(LiveError::map(RINGS))?;
            rings.push(ring);
        }
        let clock_offset_ns = engine.config().clock_offset_ns;
        Ok(Self { rings, _by_cpu: by_cpu, counts, clock_offset_ns, waiting: Vec::new() })
    }

    /// Hands over what has come, in order of time, up to `now_ns` (monotonic, read before the call); the rest waits for the
    /// next call. A program takes the time before it puts its frame into a ring: only after a grace period has everything
    /// before `now_ns` come, and in between it should lie as far back as a program may be held up.
    pub fn take(&mut self, now_ns: u64, mut each: impl FnMut(&Taken<'_>)) {
        for ring in &mut self.rings {
            while let Some(entry) = ring.next() {
                self.waiting.extend(entry.first_chunk());
            }
        }
        for entry in in_order(&mut self.waiting, now_ns) {
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

/// Bytes of each of so many ring buffers.
fn ring_bytes(cpus: u32) -> u32 {
    (ALL_RINGS / cpus.max(1)).next_power_of_two().max(LEAST_RING)
}

/// A ring buffer of its own.
fn ring(bytes: u32) -> Result<RingBuf<MapData>, MapError> {
    // aya makes ring buffers of an object's definitions only, and of those within another map just the first.
    let definition = aya_obj::Map::new_from_params(BPF_MAP_TYPE_RINGBUF as u32, 0, 0, bytes, 0);
    Map::from_map_data(MapData::create(definition, "SNAPSHOT_RING", None)?)?.try_into()
}

/// Takes out those before `now_ns`, earliest first; of several at the same time those of the first CPU.
fn in_order(waiting: &mut Vec<Entry>, now_ns: u64) -> impl Iterator<Item = Entry> {
    // Of each CPU they are in order already, which this sort makes use of.
    waiting.sort_by_key(time_ns);
    let ready = waiting.partition_point(|entry| time_ns(entry) < now_ns);
    waiting.drain(..ready)
}

/// When its frame came, monotonic.
fn time_ns(entry: &Entry) -> u64 {
    const AT: usize = offset_of!(Snapshot, record) + offset_of!(SegmentRecord, time_ns);
    entry[AT..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
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
        segment: Segment { key, record, first_bytes: 0 },
        interface: half(offset_of!(Snapshot, interface))?,
        queue: (queue & OUTGOING == 0).then_some(queue),
        wire_len: half(offset_of!(Snapshot, wire_len))?,
        bytes: entry.get(first..first + half(offset_of!(Snapshot, len))? as usize)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of that time, and which one it is.
    fn entry(time_ns: u64, number: u8) -> Entry {
        let mut entry = [number; size_of::<Snapshot>()];
        entry[40..48].copy_from_slice(&time_ns.to_ne_bytes());
        entry
    }

    #[test]
    fn cpus_are_joined_in_order_of_time_and_what_is_too_new_waits() {
        let mut waiting: Vec<Entry> =
            [(1, 1), (5, 2), (9, 3), (2, 4), (5, 5), (7, 6), (8, 7)].map(|(time, number)| entry(time, number)).into();
        let take = |waiting: &mut Vec<Entry>, now| in_order(waiting, now).map(|entry| entry[0]).collect::<Vec<_>>();
        assert_eq!(take(&mut waiting, 8), [1, 4, 2, 5, 6]);
        // The first CPU's came while the second was read.
        waiting.push(entry(6, 8));
        assert_eq!(take(&mut waiting, 9), [8, 7]);
        assert_eq!(take(&mut waiting, 100), [3]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn ring_buffers_are_what_the_kernel_takes() {
        for cpus in [1, 2, 3, 4, 6, 64, 1024] {
            let bytes = ring_bytes(cpus);
            assert!(bytes.is_power_of_two() && bytes >= LEAST_RING, "{cpus}: {bytes}");
        }
        assert_eq!((ring_bytes(1), ring_bytes(2), ring_bytes(64)), (4 << 20, 2 << 20, 1 << 20));
    }

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
