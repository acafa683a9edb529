//! Key of a row: an address, or an address and a port, as words. Every connection is looked for by several keys: small ones
//! are compared and hashed in a few steps, and more of them stay near the processor.

use std::net::{IpAddr, SocketAddr};

use crate::record::Cause;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    /// An IPv4 address in the upper half; below, the bits that follow, a cause, and the port.
    word: u64,
    /// An IPv6 address, in halves.
    upper: u64,
    lower: u64,
}

/// Set for IPv6: a mapped address is not the one that it maps.
const V6: u64 = 1 << 31;
/// Set where there is a port.
const SERVICE: u64 = 1 << 30;
const CAUSE_SHIFT: u32 = u16::BITS;

impl Key {
    #[inline]
    pub(super) fn client(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self { word: u64::from(address.to_bits()) << 32, upper: 0, lower: 0 },
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                Self { word: V6, upper: (bits >> 64) as u64, lower: bits as u64 }
            }
        }
    }

    #[inline]
    pub(super) fn server(server: SocketAddr) -> Self {
        let key = Self::client(server.ip());
        Self { word: key.word | SERVICE | u64::from(server.port()), ..key }
    }

    /// That of a server and a cause, and whether the server reset.
    #[inline]
    pub(super) fn with_cause(self, cause: Cause, by_server: bool) -> Self {
        Self { word: self.word | ((cause as u64) << 1 | u64::from(by_server)) << CAUSE_SHIFT, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_as_different_as_what_they_are_of() {
        let addresses =
            ["0.0.0.0", "10.0.0.1", "0.0.0.10", "::", "::a00:1", "::ffff:10.0.0.1", "2001:db8::1", "2001:db8::"];
        let addresses = addresses.map(|text| text.parse::<IpAddr>().expect("an address"));
        let mut keys = BTreeSet::new();
        let mut put = |key: Key| assert!(keys.insert((key.word, key.upper, key.lower)), "{key:?}");
        for address in addresses {
            put(Key::client(address));
            for port in [0, 1, 80, u16::MAX] {
                let server = Key::server(SocketAddr::new(address, port));
                // The first of them is no cause, and nothing is kept by it.
                for &cause in Cause::ALL {
                    put(server.with_cause(cause, false));
                    put(server.with_cause(cause, true));
                }
            }
        }
    }
}
