//! The network cards of the driver guest: pairs of cards in one guest, each pair on two tap devices of a bridge, in a
//! network namespace that ends with QEMU.
//!
//! The first card of a pair is under test, the second, always virtio, is its peer. Taps are needed for what simpler
//! connections do not carry: several queues, and the offloads that a host announces to virtio.

use std::process::Command;

use super::PROGRAM;
use crate::{caps, sh};

/// A card under test.
struct Nic {
    /// As tables name it; the guest knows it by the number of its pair.
    model: &'static str,
    /// Options of the device.
    options: &'static str,
    /// Queues of its tap.
    queues: u32,
}

/// `guest_*=off`: a host that offloads nothing to the guest. `iommu_platform`: without it virtio_net has no zero-copy AF_XDP.
/// In the order of the pairs; `tests/src/guest/nics.rs` has the same.
const NICS: [Nic; 7] = [
    Nic {
        model: "virtio-net-pci",
        options: "iommu_platform=on,disable-legacy=on,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off",
        queues: 1,
    },
    Nic {
        model: "virtio-net-pci",
        options: "mq=on,vectors=10,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off",
        queues: 4,
    },
    Nic { model: "virtio-net-pci", options: "", queues: 1 },
    Nic { model: "virtio-net-pci", options: "ctrl_guest_offloads=off", queues: 1 },
    Nic { model: "vmxnet3", options: "", queues: 1 },
    Nic { model: "e1000e", options: "", queues: 1 },
    Nic { model: "igb", options: "", queues: 1 },
];

/// Builds the bridges and taps, then becomes what follows.
const SCRIPT: &str = r#"
set -e
ip link set lo up
for pair in 0 1 2 3 4 5 6; do
  ip link add name br$pair type bridge mcast_snooping 0
  ip link set br$pair addrgenmode none up
  for end in a b; do
    queues=; if [ $end$pair = a1 ]; then queues=multi_queue; fi
    ip tuntap add dev $end$pair mode tap vnet_hdr $queues
    ip link set $end$pair addrgenmode none mtu 9000 master br$pair up
  done
done
exec "$@"
"#;

/// QEMU within a network namespace of its own that has the bridges; its arguments follow.
pub(super) fn in_namespace() -> Command {
    let mut command = Command::new("unshare");
    if !caps::is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "sh", "-c", SCRIPT, "sh", PROGRAM]);
    command
}

/// What this QEMU says of the devices that it has; igb came with QEMU 8.0.
pub(super) fn models() -> String {
    sh::output(Command::new(PROGRAM).args(["-device", "help"])).unwrap_or_default()
}

/// Arguments of QEMU for all pairs whose card is among `models`, and the word of the kernel's command line that names them:
/// a guest that does not find one of these has lost it.
pub(super) fn devices(models: &str) -> (Vec<String>, String) {
    let mut words = Vec::new();
    let has = |nic: &Nic| models.contains(&format!("name \"{}\"", nic.model));
    let pairs: Vec<(usize, &Nic)> = NICS.iter().enumerate().filter(|(_, nic)| has(nic)).collect();
    for (pair, nic) in &pairs {
        let more = if nic.queues > 1 { format!(",queues={}", nic.queues) } else { String::new() };
        for (end, more) in [("a", more.as_str()), ("b", "")] {
            words.push("-netdev".to_owned());
            words.push(format!("tap,id={end}{pair},ifname={end}{pair},script=no,downscript=no,vhost=off{more}"));
        }
        let options = if nic.options.is_empty() { String::new() } else { format!(",{}", nic.options) };
        words.push("-device".to_owned());
        words.push(format!("{},netdev=a{pair},mac=52:54:00:00:{pair:02x}:01,romfile={options}", nic.model));
        words.push("-device".to_owned());
        words.push(format!("virtio-net-pci,netdev=b{pair},mac=52:54:00:00:{pair:02x}:02,romfile="));
    }
    let numbers: Vec<String> = pairs.iter().map(|(pair, _)| pair.to_string()).collect();
    (words, format!(" rstprobe.pairs={}", numbers.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_is_two_cards_on_two_taps() {
        let all = NICS.map(|nic| format!("name \"{}\", bus PCI\n", nic.model)).concat();
        let (words, pairs) = devices(&all);
        assert_eq!(words.iter().filter(|word| *word == "-device").count(), 2 * NICS.len());
        assert_eq!(pairs, " rstprobe.pairs=0,1,2,3,4,5,6");
        let (fewer, pairs) = devices(&all.replace("igb", "e1000"));
        assert_eq!((words.len() - fewer.len(), pairs.as_str()), (8, " rstprobe.pairs=0,1,2,3,4,5"));
        assert!(words.iter().any(|word| word.contains("ifname=a1") && word.ends_with("queues=4")));
        assert!(SCRIPT.contains("0 1 2 3 4 5 6;") && NICS.len() == 7);
    }
}
