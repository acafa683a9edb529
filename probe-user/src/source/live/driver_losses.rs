//! Driver losses: what a driver itself counts as lost on its way in (`ethtool -S`): frames that neither the program nor the kernel's own
//! counters of the interface ever saw.
//!
//! There is no standard: the names are the drivers' own, and what is meant by them is in their manuals. Chosen by name
//! is whatever says of received frames that they were dropped, missed, discarded, wrong, or had no room. Asked for by
//! ioctl: `ETHTOOL_MSG_STATS_GET` of the netlink interface has the standard groups only (IEEE 802.3 and RMON), whose
//! losses are in `rtnl_link_stats64` already.

use std::{collections::BTreeMap, io};

use super::{ethtool, netdev};

/// A counter of frames lost on their way in, as its driver names it, and the queue if the name has one. The number of the
/// queue stands as `N` in the name.
type Key = (String, Option<u32>);

/// Every such counter of one interface at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DriverCounters {
    values: BTreeMap<Key, u64>,
}

/// How much one counter grew.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DriverLoss {
    /// The driver's name of it; where that has a queue's number, `N` is in its place.
    pub name: String,
    /// By how much, over all queues. Drivers count one frame under several names: sums over names mean nothing.
    pub count: u64,
    /// The same by queue, where the name has one and only what grew.
    pub queues: Vec<(u32, u64)>,
    /// Frames that an XDP program dropped: with `--action drop` that is every frame, and no loss.
    pub by_program: bool,
}

impl DriverCounters {
    /// The counters of the interface with this index as they are now. Drivers are asked by name, and while a run lasts a
    /// name may go to another interface: it is looked up, and looked at again when the answer is there.
    ///
    /// # Errors
    /// `Unsupported` when its driver has no statistics of its own; `NotFound` when it is gone; what the ioctl says.
    pub fn read(index: u32) -> io::Result<Self> {
        const TRIALS: usize = 3;
        for _ in 0..TRIALS {
            let name = netdev::name_at(index)?.ok_or_else(gone)?;
            let counted = ethtool::statistics(&name);
            if netdev::name_at(index)?.ok_or_else(gone)? == name {
                return counted.map(Self::choose);
            }
        }
        Err(io::Error::other("the interface is being renamed"))
    }

    fn choose(all: Vec<(String, u64)>) -> Self {
        let mut values: BTreeMap<Key, u64> = BTreeMap::new();
        for (name, value) in all.into_iter().filter(|(name, _)| tells_of_loss(name)) {
            // Some drivers repeat a name for each queue.
            *values.entry(split_queue(&name)).or_default() += value;
        }
        Self { values }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// What grew since `earlier`, by name. A counter that went back was begun anew in between: all of it has grown.
    pub fn since(&self, earlier: &Self) -> Vec<DriverLoss> {
        let mut losses: Vec<DriverLoss> = Vec::new();
        for (key, &now) in &self.values {
            let before = earlier.values.get(key).copied().unwrap_or_default();
            let grown = now.checked_sub(before).unwrap_or(now);
            if grown == 0 {
                continue;
            }
            let (name, queue) = key;
            // Sorted by name.
            let is_next = losses.last().is_none_or(|last| last.name != *name);
            if is_next {
                let by_program = is_of_program(name);
                losses.push(DriverLoss { name: name.clone(), by_program, ..DriverLoss::default() });
            }
            if let Some(loss) = losses.last_mut() {
                loss.count += grown;
                loss.queues.extend(queue.map(|queue| (queue, grown)));
            }
        }
        losses
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the interface is gone")
}

/// Parts of words that tell of loss. Beside the plain ones: what igb, ixgbe, mlx5, sfc, ena and gve call want of room.
const LOSS: [&str; 14] = [
    "drop",
    "discard",
    "fifo",
    "overrun",
    "overflow",
    "ovflow",
    "nodesc",
    "nobuf",
    "nomem",
    "fail",
    "exceeded",
    "oversize",
    "undersize",
    "truncated",
];
/// Whole words that do.
const LOSS_WORDS: [&str; 8] = ["miss", "missed", "misses", "err", "errs", "error", "errors", "oob"];
/// Words that do when one follows "no" or "out of".
const ROOM: [&str; 7] = ["buf", "buff", "buffer", "buffers", "dma", "memory", "desc"];
/// Of filters and caches: a miss there loses nothing.
const CACHES: [&str; 5] = ["fdir", "arfs", "rfs", "cache", "pp"];

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// Whether a driver's name of a counter is about received frames that were lost or wrong. Names without direction are.
fn tells_of_loss(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let any = |test: &dyn Fn(&str) -> bool| words(&name).any(test);
    let sent = any(&|word| word.starts_with("tx") || word.starts_with("xmit") || word.starts_with("transmit"));
    let received = any(&|word| word.starts_with("rx"));
    // What an XDP program sends on is lost at another interface.
    let sent_on = any(&|word| word == "xdp") && any(&|word| matches!(word, "tx" | "xmit" | "redirect" | "redirects"));
    if sent && !received || sent_on || any(&|word| CACHES.contains(&word)) {
        return false;
    }
    any(&|word| LOSS_WORDS.contains(&word) || LOSS.iter().any(|part| word.contains(part))) || has_no_room(&name)
}

fn has_no_room(name: &str) -> bool {
    let words: Vec<&str> = words(name).collect();
    let is_room = |word: &&str| ROOM.contains(word);
    words.windows(2).any(|pair| pair[0] == "no" && is_room(&pair[1]))
        || words.windows(3).any(|three| three[..2] == ["out", "of"] && is_room(&three[2]))
        // ixgbe: rx_no_dma_resources; igb: rx_no_buffer_count.
        || words.windows(2).any(|pair| is_room(&pair[0]) && pair[1] == "resources")
}

/// `rx_queue_0_xdp_drops`, `rx3_xdp_drop`: frames that an XDP program did not want.
fn is_of_program(name: &str) -> bool {
    let words: Vec<&str> = words(name).collect();
    words.windows(2).any(|pair| pair[0] == "xdp" && matches!(pair[1], "drop" | "drops" | "dropped"))
}

/// Words that a queue's number follows, directly or after one character.
const QUEUES: [&str; 6] = ["queue", "rxq", "rx", "ring", "rvec", "ch"];

/// The name with `N` for the number of its queue, and that number. Other numbers (priorities, sizes) stay.
fn split_queue(name: &str) -> Key {
    let is_digit = |c: char| c.is_ascii_digit();
    let starts = name.match_indices(is_digit).map(|(at, _)| at).filter(|&at| !name[..at].ends_with(is_digit));
    for at in starts {
        let len = name[at..].find(|c| !is_digit(c)).unwrap_or(name.len() - at);
        let (before, after) = (&name[..at], &name[at + len..]);
        let bracketed = before.ends_with('[') && after.starts_with(']');
        let word = before.strip_suffix(['_', '-', ' ', '.']).unwrap_or(before).to_ascii_lowercase();
        let named = words(&word).last().is_some_and(|last| QUEUES.contains(&last));
        // rx_65_to_127_byte_errors is about sizes, rx2fast about nothing of the kind.
        let ends = !after.starts_with("_to_") && !after.starts_with(|c: char| c.is_ascii_alphabetic());
        if (bracketed || named && ends)
            && let Ok(queue) = name[at..at + len].parse()
        {
            return (format!("{before}N{after}").trim().to_owned(), Some(queue));
        }
    }
    (name.trim().to_owned(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_chosen_by_name() {
        // veth, igb, ixgbe, i40e, mlx5, ena, bnxt, gve, sfc, virtio, tg3, vmxnet3.
        for name in [
            "rx_queue_0_drops",
            "rx_queue_0_xdp_drops",
            "rx_missed_errors",
            "rx_no_buffer_count",
            "rx_no_dma_resources",
            "rx_fifo_errors",
            "alloc_rx_page_failed",
            "port.rx_dropped",
            "rx_out_of_buffer",
            "rx_discards_phy",
            "rx3_xdp_drop",
            "rx_steer_missed_packets",
            "outbound_pci_buffer_overflow",
            "queue_2_rx_page_alloc_fail",
            "pps_allowance_exceeded",
            "[0]: rx_discards",
            "rx_drops_packet_over_mru[0]",
            "rx_nodesc_drop_cnt",
            "rx_length_errors",
            "  pkts rx OOB",
        ] {
            assert!(tells_of_loss(name), "{name}");
        }
        for name in [
            "rx_packets",
            "rx_interrupts",
            "tx_dropped",
            "tx_queue_0_xdp_xmit_errors",
            "rx_queue_0_xdp_tx_errors",
            "rx_queue_0_xdp_redirect",
            "fdir_miss",
            "rx_pp_alloc_slow",
            "rx_cache_miss",
            "rx_no_iommu_faults",
        ] {
            assert!(!tells_of_loss(name), "{name}");
        }
    }

    #[test]
    fn queues_are_found_in_names_and_other_numbers_stay() {
        let split = |name: &str| split_queue(name);
        for (name, base, queue) in [
            ("rx_queue_12_drops", "rx_queue_N_drops", Some(12)),
            ("rx3_xdp_drop", "rxN_xdp_drop", Some(3)),
            ("queue_2_rx_page_alloc_fail", "queue_N_rx_page_alloc_fail", Some(2)),
            ("[0]: rx_discards", "[N]: rx_discards", Some(0)),
            ("rx_drops_packet_over_mru[7]", "rx_drops_packet_over_mru[N]", Some(7)),
            ("rx-1.rx_drops", "rx-N.rx_drops", Some(1)),
            ("ch0_rx_drops", "chN_rx_drops", Some(0)),
            ("rx_prio3_discards", "rx_prio3_discards", None),
            ("rx_65_to_127_byte_errors", "rx_65_to_127_byte_errors", None),
            ("rx_1024_to_1518_drops", "rx_1024_to_1518_drops", None),
            ("  pkts rx OOB", "pkts rx OOB", None),
        ] {
            assert_eq!(split(name), (base.to_owned(), queue), "{name}");
        }
    }

    #[test]
    fn growth_is_told_in_all_and_by_queue() {
        let counters = |values: [u64; 4]| {
            let names = ["rx_queue_0_drops", "rx_queue_1_drops", "rx_missed_errors", "rx_queue_0_xdp_drops"];
            DriverCounters::choose(names.map(str::to_owned).into_iter().zip(values).collect())
        };
        let (before, now) = (counters([5, 7, 100, 0]), counters([6, 7, 30, 9]));
        assert_eq!(before.len(), 4);
        assert_eq!(before.since(&before), []);
        let loss = |name: &str, count, queues: &[(u32, u64)], by_program| DriverLoss {
            name: name.to_owned(),
            count,
            queues: queues.to_vec(),
            by_program,
        };
        let expected = [
            // Begun anew meanwhile.
            loss("rx_missed_errors", 30, &[], false),
            loss("rx_queue_N_drops", 1, &[(0, 1)], false),
            loss("rx_queue_N_xdp_drops", 9, &[(0, 9)], true),
        ];
        assert_eq!(now.since(&before), expected);
    }

    #[test]
    fn repeated_names_are_one_counter() {
        let names = ["  drv dropped rx total", "  drv dropped rx total"].map(|name| (name.to_owned(), 2));
        let counters = DriverCounters::choose(names.to_vec());
        assert_eq!(counters.since(&DriverCounters::default())[0].count, 4);
    }
}
