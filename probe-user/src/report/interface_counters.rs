//! Interface counters in reports: what kernel, NIC and driver counted on an interface while it was watched: beside our own counters, because what they
//! lose we never see.

use serde::Serialize;

use super::text;

/// Queues of one counter that people are shown; the rest is summed up.
const QUEUES: usize = 4;

/// Counters of an interface that are not ours.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// Frames received, as the driver counts.
    pub packets: u64,
    /// Frames dropped after they were received; some drivers count those that XDP drops.
    pub dropped: u64,
    /// Frames that the NIC lost for want of room, before anybody saw them.
    pub missed: u64,
    /// Other receive errors.
    pub errors: u64,
    /// What the driver counts beside these.
    pub driver: DriverCounters,
}

/// What our program counted at one queue of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueUse {
    /// The receive queue; `None` for what the host itself sent there.
    pub queue: Option<u32>,
    /// Frames.
    pub frames: u64,
    /// Their bytes, link header included; of a multi-buffer frame, those of its first buffer.
    pub bytes: u64,
}

/// The driver's own counters of frames that were lost or wrong on their way in (`ethtool -S`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DriverCounters {
    /// How many it has.
    pub known: usize,
    /// Why they could not be read, if they could not.
    pub absent: Option<String>,
    /// Those that grew, by name.
    pub grown: Vec<DriverLoss>,
}

/// How much one of them grew.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DriverLoss {
    /// The driver's name of it, `N` in the place of a queue's number.
    pub name: String,
    /// By how much, over all queues. One frame may be counted under several names.
    pub count: u64,
    /// The same by queue, where the name has one.
    pub queues: Vec<(u32, u64)>,
    /// Frames that an XDP program dropped, which with action `drop` are all.
    pub by_program: bool,
}

#[derive(Serialize)]
pub(super) struct ReceivedJson {
    packets: u64,
    dropped: u64,
    missed: u64,
    errors: u64,
    driver: DriverJson,
}

#[derive(Serialize)]
pub(super) struct QueueJson {
    /// `received` or `sent`.
    direction: &'static str,
    /// Null for what was sent.
    queue: Option<u32>,
    frames: u64,
    bytes: u64,
}

impl From<&QueueUse> for QueueJson {
    fn from(&QueueUse { queue, frames, bytes }: &QueueUse) -> Self {
        Self { direction: if queue.is_some() { "received" } else { "sent" }, queue, frames, bytes }
    }
}

#[derive(Serialize)]
struct DriverJson {
    /// How many counters of loss the driver has.
    counters: usize,
    /// Why they could not be read; null when they could.
    absent: Option<String>,
    /// Those that grew.
    grown: Vec<LossJson>,
}

#[derive(Serialize)]
struct LossJson {
    name: String,
    count: u64,
    /// By queue, where the name has one.
    queues: serde_json::Map<String, serde_json::Value>,
    by_program: bool,
}

impl From<&Received> for ReceivedJson {
    fn from(received: &Received) -> Self {
        let Received { packets, dropped, missed, errors, driver } = received;
        let loss = |loss: &DriverLoss| LossJson {
            name: loss.name.clone(),
            count: loss.count,
            queues: loss.queues.iter().map(|(queue, count)| (queue.to_string(), (*count).into())).collect(),
            by_program: loss.by_program,
        };
        let driver = DriverJson {
            counters: driver.known,
            absent: driver.absent.clone(),
            grown: driver.grown.iter().map(loss).collect(),
        };
        Self { packets: *packets, dropped: *dropped, missed: *missed, errors: *errors, driver }
    }
}

/// What people see of the queues of an interface, the busiest first; nothing when nothing was counted by queue.
pub(super) fn queues(interface: &str, queues: &[QueueUse]) -> Option<String> {
    let sum = |pick: fn(&QueueUse) -> u64, of: &[QueueUse]| of.iter().map(pick).sum::<u64>();
    let (mut received, sent): (Vec<QueueUse>, Vec<QueueUse>) = queues.iter().partition(|one| one.queue.is_some());
    if queues.is_empty() {
        return None;
    }
    received.sort_by_key(|one| (u64::MAX - one.frames, one.queue));
    let (frames, bytes) = (sum(|one| one.frames, &received), sum(|one| one.bytes, &received));
    let rest = received.split_off(received.len().min(QUEUES));
    let named = received.iter().filter_map(|one| Some(format!("queue {}: {}", one.queue?, one.frames)));
    let mut parts: Vec<String> = named.collect();
    if !rest.is_empty() {
        parts.push(format!("{} others: {}", rest.len(), sum(|one| one.frames, &rest)));
    }
    let parts = if parts.len() > 1 { format!(" ({})", parts.join(", ")) } else { String::new() };
    let sent = if sent.is_empty() { String::new() } else { format!("; {} sent", sum(|one| one.frames, &sent)) };
    Some(format!("{interface}: {frames} frames, {} received{parts}{sent}", text::bytes(bytes)))
}

impl DriverCounters {
    /// What people should know of those that grew; nothing when none did. With action `drop` frames that an XDP program
    /// dropped are no news.
    pub(super) fn notice(&self, interface: &str, action: &str) -> Option<String> {
        let news = self.grown.iter().filter(|loss| !loss.by_program || action != "drop");
        let losses: Vec<String> = news.map(DriverLoss::text).collect();
        (!losses.is_empty()).then(|| format!("{interface}: its driver counted on the way in: {}", losses.join(", ")))
    }
}

impl DriverLoss {
    fn text(&self) -> String {
        let Self { name, count, queues, .. } = self;
        let mut queues = queues.clone();
        if queues.is_empty() {
            return format!("{name} {count}");
        }
        queues.sort_by_key(|&(queue, count)| (u64::MAX - count, queue));
        let rest = queues.split_off(queues.len().min(QUEUES));
        let mut parts: Vec<String> = queues.iter().map(|(queue, count)| format!("queue {queue}: {count}")).collect();
        if !rest.is_empty() {
            parts.push(format!("{} others: {}", rest.len(), rest.iter().map(|(_, count)| count).sum::<u64>()));
        }
        format!("{name} {count} ({})", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(name: &str, count: u64, queues: &[(u32, u64)], by_program: bool) -> DriverLoss {
        DriverLoss { name: name.to_owned(), count, queues: queues.to_vec(), by_program }
    }

    #[test]
    fn queues_are_told_busiest_first() {
        let one = |queue, frames| QueueUse { queue, frames, bytes: 60 * frames };
        assert_eq!(queues("eth1", &[]), None);
        let line = queues("eth1", &[one(Some(0), 5)]).expect("a line");
        assert_eq!(line, format!("eth1: 5 frames, {} received", text::bytes(300)));
        let many: Vec<QueueUse> = (0..6).map(|queue| one(Some(queue), u64::from(queue) + 1)).collect();
        let line = queues("eth1", &[many, vec![one(None, 7)]].concat()).expect("a line");
        let expected = "(queue 5: 6, queue 4: 5, queue 3: 4, queue 2: 3, 2 others: 3); 7 sent";
        assert_eq!(line, format!("eth1: 21 frames, {} received {expected}", text::bytes(1260)));
    }

    #[test]
    fn what_grew_is_named_with_its_queues() {
        let quiet = DriverCounters { known: 12, ..DriverCounters::default() };
        assert_eq!(quiet.notice("eth1", "pass"), None);
        let verdicts = DriverCounters { grown: vec![loss("rxN_xdp_drop", 5, &[(0, 5)], true)], ..quiet.clone() };
        assert_eq!(verdicts.notice("eth1", "drop"), None);
        assert!(verdicts.notice("eth1", "pass").is_some());
        let queues = [(0, 1), (1, 1), (2, 30), (5, 2), (6, 1), (7, 1)];
        let grown = vec![loss("rx_missed_errors", 7, &[], false), loss("rx_queue_N_drops", 36, &queues, false)];
        let text = DriverCounters { grown, ..quiet }.notice("eth1", "drop").expect("a notice");
        let expected = "eth1: its driver counted on the way in: rx_missed_errors 7, \
                        rx_queue_N_drops 36 (queue 2: 30, queue 5: 2, queue 0: 1, queue 1: 1, 2 others: 2)";
        assert_eq!(text, expected);
    }
}
