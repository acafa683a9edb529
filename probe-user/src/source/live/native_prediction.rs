//! Native XDP prediction: whether native attach will work, by link type, driver features, fixed offloads, MTU and queues;
//! and the next step once it was refused.

use std::{fs, io};

use super::{
    attach_mode::Mode,
    ethtool,
    kernel_features::{Feature, KernelFeatures},
    link_layer::LinkLayer,
    netdev::{Netdev, XdpFeatures},
    offloads::{self, Offload},
};

/// veth and most drivers hold one frame in one page: headroom (256) and skb_shared_info (320) leave this MTU, less the
/// Ethernet header and one VLAN tag.
pub const PAGE_MTU: u32 = 3498;

/// Whether native mode will do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Prediction {
    /// Nothing can be in the way.
    Works,
    /// The kernel will refuse, and why.
    Refused(String),
    /// Only the driver knows, and what is known.
    OnlyByTrying(String),
}

/// What shows of a device, without the device.
struct Facts<'a> {
    device: &'a Netdev,
    frags: bool,
    offloads: Vec<Offload>,
    /// Feature bits of a virtio device.
    virtio: Option<u64>,
    /// Receive queues at most.
    queues: Option<u32>,
    /// Of a veth: receive queues in use, and transmit queues in use of its other end, where that can be seen.
    veth_queues: (Option<u32>, Option<u32>),
    cpus: u32,
}

/// Foresees for the program with or without frags.
pub fn native(device: &Netdev, frags: bool) -> Prediction {
    let name = &device.name;
    let other_end = device.other_end.and_then(|index| ethtool::name_of(index).ok());
    let other_transmits = other_end.and_then(|name| ethtool::transmit_queues(&name).ok());
    Facts {
        device,
        frags,
        offloads: offloads::deciding(name).unwrap_or_default(),
        virtio: virtio_features(name),
        queues: ethtool::queue_limits(name).ok().map(|(_, max)| max),
        veth_queues: (ethtool::receive_queues(name).ok(), other_transmits),
        cpus: aya::util::nr_cpus().map_or(1, |cpus| cpus as u32),
    }
    .foresee()
}

// include/uapi/linux/virtio_net.h.
const VIRTIO_NET_F_CTRL_GUEST_OFFLOADS: u64 = 1 << 2;
/// CSUM, TSO4, TSO6, ECN, UFO, USO4, USO6 of the guest.
const VIRTIO_NET_GUEST_OFFLOADS: u64 = 1 << 1 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 54 | 1 << 55;

/// Feature bits that driver and host agreed on (`/sys/class/net/NAME/device/features`); `None` for other devices.
fn virtio_features(name: &str) -> Option<u64> {
    virtio_bits(&fs::read_to_string(format!("/sys/class/net/{name}/device/features")).ok()?)
}

/// One digit per bit, the first for bit 0.
fn virtio_bits(text: &str) -> Option<u64> {
    let digits = text.trim();
    let is_bits = digits.len() >= 64 && digits.bytes().all(|digit| matches!(digit, b'0' | b'1'));
    let bit = |(at, digit): (usize, u8)| u64::from(digit == b'1') << at;
    is_bits.then(|| digits.bytes().take(64).enumerate().map(bit).sum())
}

impl Facts<'_> {
    fn foresee(&self) -> Prediction {
        let Netdev { driver, features, mtu, link_layer, .. } = self.device;
        if *link_layer == LinkLayer::Ip {
            return Prediction::Refused("frames without an Ethernet header are understood in this mode".to_owned());
        }
        if driver == "loopback" {
            return Prediction::Refused("the loopback device has no native XDP".to_owned());
        }
        // Newer kernels report no native XDP then, and not why.
        if let (Some(receive), Some(transmit)) = self.veth_queues
            && driver == "veth"
            && receive < transmit
        {
            return Prediction::Refused(format!(
                "veth refuses it with fewer receive queues ({receive}) than the other end has transmit queues ({transmit})"
            ));
        }
        if features.is_some_and(|features| !features.native()) {
            return Prediction::Refused(format!("driver {driver} reports no native XDP"));
        }
        if *mtu > PAGE_MTU && !self.frags && matches!(driver.as_str(), "veth" | "virtio_net") {
            return Prediction::Refused(format!("MTU {mtu} is above {PAGE_MTU}, the most without multi-buffer XDP"));
        }
        match driver.as_str() {
            "virtio_net" => self.virtio_net(),
            "veth" => self.veth(),
            _ => Prediction::OnlyByTrying(self.what_is_known()),
        }
    }

    /// `veth_xdp_set` of drivers/net/veth.c. The other end may be in another network namespace, where nothing is known of it.
    fn veth(&self) -> Prediction {
        // As many as there are CPUs is what a pair is made with.
        if let (Some(receive), None) = self.veth_queues
            && receive < self.cpus
        {
            return Prediction::OnlyByTrying(format!(
                "veth refuses it when the other end, in another network namespace, has more than {receive} transmit queues"
            ));
        }
        if self.frags {
            return Prediction::Works;
        }
        Prediction::OnlyByTrying(format!(
            "without multi-buffer XDP veth refuses it when the other end has an MTU above {PAGE_MTU}"
        ))
    }

    /// `virtnet_xdp_set` of drivers/net/virtio_net.c.
    fn virtio_net(&self) -> Prediction {
        let fixed = fixed_by_host(&self.offloads);
        let is_refused = match self.virtio {
            Some(bits) => bits & VIRTIO_NET_F_CTRL_GUEST_OFFLOADS == 0 && bits & VIRTIO_NET_GUEST_OFFLOADS != 0,
            None => fixed.is_some_and(|offload| offload.name != "rx-checksum"),
        };
        if is_refused {
            let which = fixed.map_or_else(|| "offloads are".to_owned(), |offload| format!("{} is", offload.name));
            return Prediction::Refused(format!(
                "{which} fixed on by the host, and virtio_net refuses native XDP then"
            ));
        }
        if self.virtio.is_none() {
            return Prediction::OnlyByTrying(self.what_is_known());
        }
        // Kernels that tell of XDP features (6.3) share transmit queues; older ones may refuse.
        let wanted = self.queues.map(|most| (most, self.cpus + 1));
        match wanted.filter(|(most, wanted)| most < wanted && self.device.features.is_none()) {
            Some((most, wanted)) => Prediction::OnlyByTrying(format!(
                "older versions of virtio_net (before Linux 5.13 and what was carried back from it) refuse it without a \
                 transmit queue more for each CPU: {wanted} with one in use, and the device has {most}"
            )),
            None => Prediction::Works,
        }
    }

    fn what_is_known(&self) -> String {
        let Netdev { driver, features, mtu, .. } = self.device;
        let mut known = vec![match features {
            Some(_) => format!("driver {driver} reports native XDP"),
            None => format!("driver {driver} cannot be asked (Linux 6.3)"),
        }];
        if *mtu > PAGE_MTU {
            let takes = features.is_some_and(XdpFeatures::multi_buffer);
            known.push(match (self.frags, takes) {
                (true, true) => format!("MTU {mtu} is within what it reports"),
                (true, false) => format!("MTU {mtu} may be above what it takes"),
                (false, _) => format!("MTU {mtu} may be above what it takes without multi-buffer XDP"),
            });
        }
        let merging = self.offloads.iter().filter(|offload| offload.on && offload.name != "rx-checksum");
        known.extend(merging.map(|offload| format!("some drivers refuse it with {offload}")));
        known.join("; ")
    }
}

/// The offload that is in the way and that nobody here can switch off.
fn fixed_by_host(offloads: &[Offload]) -> Option<&Offload> {
    // In the order of `DECIDING`: checksums last, they mostly come with the others.
    let fixed = |name: &&str| offloads.iter().find(|offload| offload.name == *name && offload.on && offload.fixed);
    offloads::DECIDING.iter().find_map(fixed)
}

/// What to do about an attachment that was refused, by the kernel's words and what shows of the device.
pub(super) fn next_step(device: &Netdev, mode: Mode, frags: bool, words: &str, source: &io::Error) -> String {
    let errno = source.raw_os_error();
    if errno == Some(libc::EPERM) {
        return "see `rstprobe doctor` for the capabilities it needs".to_owned();
    }
    if mode == Mode::Generic {
        return "`rstprobe doctor` shows what is known of the interface; a capture can be read instead".to_owned();
    }
    let says = |texts: &[&str]| texts.iter().any(|text| words.to_ascii_lowercase().contains(text));
    if says(&["gro_hw", "gro-hw", "lro", "csum"]) {
        return without_offload(&device.name, &offloads::deciding(&device.name).unwrap_or_default());
    }
    if says(&["mtu"]) || errno == Some(libc::ERANGE) {
        let has_frags = !KernelFeatures::of_this_kernel().lacks(Feature::Frags);
        return smaller_mtu(device.mtu, frags, has_frags);
    }
    if says(&["queue", "ring"]) || matches!(errno, Some(libc::ENOSPC | libc::ENOMEM)) {
        return format!(
            "change its queues (`ethtool -l {0}` shows them, `ethtool -L {0}` sets them), or {GENERIC}",
            device.name
        );
    }
    GENERIC.to_owned()
}

const GENERIC: &str = "use --mode generic";

fn without_offload(name: &str, offloads: &[Offload]) -> String {
    let changeable = offloads.iter().find(|offload| offload.on && !offload.fixed && offload.name != "rx-checksum");
    match (fixed_by_host(offloads), changeable) {
        (Some(fixed), _) if fixed.name != "rx-checksum" => {
            format!("{} is fixed on by the host: {GENERIC}", fixed.name)
        }
        (_, Some(offload)) => format!("`ethtool -K {name} {} off` first, or {GENERIC}", offload.name),
        (Some(fixed), None) => format!("{} is fixed on by the host: {GENERIC}", fixed.name),
        (None, None) => GENERIC.to_owned(),
    }
}

fn smaller_mtu(mtu: u32, frags: bool, has_frags: bool) -> String {
    let lower = format!("lower the MTU to {PAGE_MTU} or less (of both ends of a veth pair; MTU {mtu} here)");
    match (frags, has_frags) {
        (true, _) => format!("lower the MTU ({mtu} here) to what the driver takes, or {GENERIC}"),
        (false, true) => format!("leave out --single-buffer, {lower}, or {GENERIC}"),
        (false, false) => format!("{lower}, or {GENERIC}; this kernel lacks multi-buffer XDP (Linux 5.18)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(driver: &str, mtu: u32, features: Option<XdpFeatures>) -> Netdev {
        Netdev {
            name: "x0".to_owned(),
            index: 9,
            mtu,
            up: true,
            link_layer: LinkLayer::Ethernet,
            driver: driver.to_owned(),
            xdp: None,
            strips_vlan: None,
            features,
            lro: None,
            other_end: None,
        }
    }

    fn offload(name: &str, on: bool, fixed: bool) -> Offload {
        Offload { name: name.to_owned(), on, fixed }
    }

    fn foresee(device: &Netdev, frags: bool, virtio: Option<u64>, offloads: Vec<Offload>) -> Prediction {
        let veth_queues = (Some(2), None);
        Facts { device, frags, offloads, virtio, queues: Some(1), veth_queues, cpus: 2 }.foresee()
    }

    const NATIVE: Option<XdpFeatures> = Some(XdpFeatures::of_bits(3));

    #[test]
    fn virtio_bits_are_read_from_the_first() {
        let text = format!("1100000110100000000000000000000000000000000000000000000{}\n", "1".repeat(73));
        let bits = virtio_bits(&text).expect("digits");
        assert_eq!(bits & 0b111, 0b11);
        assert_ne!(bits & 1 << 55, 0);
        assert_eq!(virtio_bits("0x1234"), None);
    }

    #[test]
    fn virtio_net_with_offloads_that_nobody_can_switch_off_is_refused() {
        let device = device("virtio_net", 1500, NATIVE);
        let fixed = vec![offload("rx-checksum", true, true), offload("rx-gro-hw", true, true)];
        let refused = foresee(&device, true, Some(1 << 1 | 1 << 7), fixed.clone());
        assert!(
            matches!(&refused, Prediction::Refused(why) if why.starts_with("rx-gro-hw is fixed on")),
            "{refused:?}"
        );
        assert_eq!(foresee(&device, true, None, fixed), refused, "without sysfs, by the offloads");
        assert_eq!(foresee(&device, true, Some(1 << 1 | 1 << 2 | 1 << 7), vec![]), Prediction::Works);
        assert_eq!(foresee(&device, true, Some(1 << 32), vec![]), Prediction::Works);
    }

    #[test]
    fn queues_matter_where_the_kernel_may_be_old() {
        let device = device("virtio_net", 1500, None);
        let found = foresee(&device, true, Some(1 << 32), vec![]);
        assert!(matches!(&found, Prediction::OnlyByTrying(why) if why.contains("transmit queue")), "{found:?}");
    }

    #[test]
    fn a_veth_with_fewer_queues_than_its_other_end_is_refused() {
        let device = device("veth", 1500, NATIVE);
        let of = |receive, transmit| {
            let veth_queues = (receive, transmit);
            let (offloads, virtio, queues) = (vec![], None, None);
            Facts { device: &device, frags: true, offloads, virtio, queues, veth_queues, cpus: 4 }.foresee()
        };
        assert!(matches!(of(Some(1), Some(4)), Prediction::Refused(why) if why.contains("transmit queues (4)")));
        assert_eq!(of(Some(4), Some(4)), Prediction::Works);
        assert_eq!(of(Some(4), Some(1)), Prediction::Works);
        assert!(
            matches!(of(Some(1), None), Prediction::OnlyByTrying(why) if why.contains("another network namespace"))
        );
        assert_eq!(of(Some(4), None), Prediction::Works, "as a pair is made");
        assert_eq!(of(None, None), Prediction::Works);
    }

    #[test]
    fn only_what_is_known_is_promised() {
        let of = |driver: &str, mtu, features, frags| foresee(&device(driver, mtu, features), frags, None, vec![]);
        assert_eq!(of("veth", 9000, NATIVE, true), Prediction::Works);
        assert!(matches!(of("veth", 9000, NATIVE, false), Prediction::Refused(why) if why.contains("MTU 9000")));
        assert!(matches!(of("veth", 1500, NATIVE, false), Prediction::OnlyByTrying(why) if why.contains("other end")));
        assert!(matches!(of("mlx5_core", 1500, NATIVE, true), Prediction::OnlyByTrying(_)));
        assert!(matches!(of("mlx5_core", 1500, None, true), Prediction::OnlyByTrying(why) if why.contains("6.3")));
        assert!(matches!(of("dummy", 1500, Some(XdpFeatures::of_bits(0)), true), Prediction::Refused(_)));
        assert!(matches!(of("loopback", 1500, None, true), Prediction::Refused(_)));
        let mut tun = device("tun", 1500, NATIVE);
        tun.link_layer = LinkLayer::Ip;
        assert!(matches!(foresee(&tun, true, None, vec![]), Prediction::Refused(_)));
    }

    #[test]
    fn what_to_do_follows_from_the_words_and_the_device() {
        let fixed = [offload("rx-gro-hw", true, true), offload("rx-checksum", true, true)];
        assert_eq!(without_offload("x0", &fixed), "rx-gro-hw is fixed on by the host: use --mode generic");
        let loose = [offload("rx-lro", true, false), offload("rx-checksum", true, true)];
        assert_eq!(without_offload("x0", &loose), "`ethtool -K x0 rx-lro off` first, or use --mode generic");
        let step = |words, errno, frags| {
            let source = io::Error::from_raw_os_error(errno);
            next_step(&device("e1000e", 9000, None), Mode::Native, frags, words, &source)
        };
        assert!(step("Too few free TX rings available", libc::ENOMEM, true).contains("ethtool -L x0"));
        assert!(step("MTU too large w/o XDP frags", libc::EINVAL, false).contains("MTU 9000"));
        assert!(step("", libc::ERANGE, true).starts_with("lower the MTU (9000 here)"));
        assert_eq!(step("", libc::EOPNOTSUPP, true), "use --mode generic");
        assert!(step("", libc::EPERM, true).contains("rstprobe doctor"));
        assert!(smaller_mtu(9000, false, false).ends_with("lacks multi-buffer XDP (Linux 5.18)"));
    }
}
