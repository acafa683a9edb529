//! The drivers of emulated network cards: attach, count, AF_XDP, counters, VLAN tags, link and queues that change.
//!
//! QEMU has pairs of cards on a bridge of their own: the first of a pair is under test, the second is its peer. Each goes
//! into a namespace of its own, so that frames between them really leave the guest.

use std::{ffi::OsString, fs, io, process::Command, time::Instant};

use super::{Outcome, Verdict, ensure, row};
use crate::netns::Namespace;

mod checks;
mod link;

pub(super) use link::Pair;

/// What must come of attaching in native mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Native {
    /// It attaches.
    Works,
    /// The kernel refuses it; what it says then.
    Refused(&'static str),
}

/// A card under test.
struct Card {
    name: &'static str,
    native: Native,
    /// Whether the driver has AF_XDP without copies.
    zero_copy: bool,
}

/// virtio_net has AF_XDP without copies where the host announces an IOMMU (6.13), igb since 6.14. In the order of the pairs;
/// `xtask/src/vm/nics.rs` has the same.
const CARDS: [Card; 7] = [
    Card { name: "virtio_net, 1 queue, IOMMU", native: Native::Works, zero_copy: true },
    Card { name: "virtio_net, 4 queues", native: Native::Works, zero_copy: false },
    Card { name: "virtio_net, offloads", native: Native::Works, zero_copy: false },
    Card { name: "virtio_net, fixed offloads", native: Native::Refused("GRO_HW"), zero_copy: false },
    Card { name: "vmxnet3", native: Native::Works, zero_copy: false },
    Card { name: "e1000e", native: Native::Refused(""), zero_copy: false },
    Card { name: "igb", native: Native::Works, zero_copy: true },
];

/// All cards, a row for each part of each.
///
/// # Errors
/// When a part of one does not hold.
pub fn all() -> Outcome {
    let mut failed = 0;
    for (number, card) in CARDS.iter().enumerate() {
        let mut part = |name: &str, run: &dyn Fn() -> Outcome| {
            let start = Instant::now();
            let outcome = run();
            failed += usize::from(outcome.is_err());
            row(&format!("nics/{}/{name}", card.name), &outcome, start.elapsed().as_secs_f64());
        };
        let pair = match Pair::find(number) {
            Ok(Some(pair)) => pair,
            Ok(None) => {
                part("native", &|| absent(number));
                continue;
            }
            Err(error) => {
                let text = error.to_string();
                part("native", &|| Err(io::Error::other(text.clone())));
                continue;
            }
        };
        part("native", &|| checks::native(&pair, card.native));
        part("generic", &|| checks::generic(&pair));
        part("AF_XDP", &|| checks::afxdp(&pair, card.native, card.zero_copy));
        part("VLAN", &|| checks::vlan(&pair, card.native));
        part("link and queues", &|| checks::changes(&pair, card.native));
    }
    ensure(failed == 0, format!("{failed} checks failed"))?;
    Ok(Verdict::Holds(String::new()))
}

/// A card that is not there: QEMU does not have it, or the guest has lost it.
fn absent(number: usize) -> Outcome {
    let line = fs::read_to_string("/proc/cmdline")?;
    let pairs = line.split_whitespace().find_map(|word| word.strip_prefix("rstprobe.pairs=")).unwrap_or_default();
    ensure(pairs.split(',').all(|pair| pair != number.to_string()), "the card was put in, and no interface is its")?;
    Ok(Verdict::Skipped("this QEMU does not have it".to_owned()))
}

/// Runs a program of the guest inside a namespace.
fn inside(namespace: &Namespace, words: &[&str]) -> io::Result<String> {
    let output = namespace.enter(|| Command::new(words[0]).args(&words[1..]).output())?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure(output.status.success(), format!("`{}`: {said}", words.join(" ")))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Name of the interface with this address in the guest's first namespace.
fn named(address: &str) -> io::Result<Option<String>> {
    for entry in fs::read_dir("/sys/class/net")?.flatten() {
        if fs::read_to_string(entry.path().join("address")).is_ok_and(|text| text.trim() == address) {
            return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// Words of a snapshot of the card under test.
fn words(interface: &str, more: &[&str]) -> Vec<OsString> {
    lasting("1h", interface, more)
}

fn lasting(time: &str, interface: &str, more: &[&str]) -> Vec<OsString> {
    ["snapshot", "-i", interface, "--for", time, "--format", "json"].iter().chain(more).map(OsString::from).collect()
}
