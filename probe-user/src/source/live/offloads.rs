//! Offloads of an interface (`ethtool -k`): which are on, and which the host or the driver holds fixed.

use std::io;

use super::ethtool;

/// One offload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offload {
    /// The kernel's name of it, which `ethtool -K` takes: `rx-gro-hw`, `rx-lro`, `rx-checksum`.
    pub name: String,
    /// It is on.
    pub on: bool,
    /// It cannot be changed.
    pub fixed: bool,
}

/// Offloads that drivers refuse XDP for: hardware GRO, LRO, and receive checksums on virtio_net.
pub const DECIDING: [&str; 3] = ["rx-gro-hw", "rx-lro", "rx-checksum"];

impl std::fmt::Display for Offload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (state, fixed) = (if self.on { "on" } else { "off" }, if self.fixed { " [fixed]" } else { "" });
        write!(f, "{} {state}{fixed}", self.name)
    }
}

/// Those of [`DECIDING`] that the interface has.
///
/// # Errors
/// What the ioctl says.
pub fn deciding(interface: &str) -> io::Result<Vec<Offload>> {
    let mut offloads = all(interface)?;
    offloads.retain(|offload| DECIDING.contains(&offload.name.as_str()));
    Ok(offloads)
}

/// All of them, in the kernel's order.
fn all(interface: &str) -> io::Result<Vec<Offload>> {
    let names = ethtool::feature_names(interface)?;
    let states = ethtool::feature_states(interface, names.len())?;
    Ok(decode(names, &states))
}

/// `states` holds, for each 32 features, the words available, requested, active and never changed
/// (`struct ethtool_get_features_block`). Features without a name are none.
fn decode(names: Vec<String>, states: &[[u32; 4]]) -> Vec<Offload> {
    let offload = |(number, name): (usize, String)| {
        let [available, _, active, never_changed] = states.get(number / 32).copied()?;
        let is_in = |word: u32| word >> (number % 32) & 1 == 1;
        let fixed = !is_in(available) || is_in(never_changed);
        (!name.is_empty()).then(|| Offload { name, on: is_in(active), fixed })
    };
    names.into_iter().enumerate().filter_map(offload).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_is_what_may_not_or_never_change() {
        let names = ["rx-checksum", "", "rx-lro", "loopback"].map(str::to_owned).to_vec();
        let offloads = decode(names, &[[0b1100, 0, 0b0101, 0b1000]]);
        let text: Vec<String> = offloads.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["rx-checksum on [fixed]", "rx-lro on", "loopback off [fixed]"]);
    }

    #[test]
    fn the_second_block_is_of_the_next_32() {
        let mut names = vec![String::new(); 40];
        names[33] = "rx-gro-hw".to_owned();
        let offloads = decode(names.clone(), &[[0; 4], [0b10, 0, 0b10, 0]]);
        assert_eq!(offloads, [Offload { name: "rx-gro-hw".to_owned(), on: true, fixed: false }]);
        assert_eq!(decode(names, &[[0; 4]]), [], "nothing is known of it");
    }

    #[test]
    fn the_loopback_device_has_offloads() {
        // Without an interface there is nothing to ask; every network namespace has this one.
        let offloads = all("lo").expect("the ioctl needs no privileges");
        let loopback = offloads.iter().find(|offload| offload.name == "loopback").expect("it has this one");
        assert!(loopback.on && loopback.fixed, "{loopback}");
    }
}
