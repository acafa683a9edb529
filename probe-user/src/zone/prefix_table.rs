//! Prefix table: finds the prefixes that an address lies in, the longest first.
//!
//! Prefixes are nested or apart, never half in each other. So the last one that begins at or below an address is either
//! one that holds it, or lies within the longest that does: a binary search, and then a walk outwards.

use std::net::IpAddr;

use ipnet::IpNet;

/// Values by prefix.
#[derive(Clone, Debug)]
pub struct PrefixTable<T> {
    /// IPv4 and IPv6, apart: `::/0` holds no IPv4 address.
    families: [Vec<Entry<T>>; 2],
}

#[derive(Clone, Debug)]
struct Entry<T> {
    first: u128,
    last: u128,
    /// Number of the longest prefix around this one.
    outer: Option<u32>,
    /// In the order in which they were given.
    values: Vec<T>,
}

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        Self { families: [Vec::new(), Vec::new()] }
    }
}

impl<T> FromIterator<(IpNet, T)> for PrefixTable<T> {
    fn from_iter<I: IntoIterator<Item = (IpNet, T)>>(given: I) -> Self {
        let mut table = Self::default();
        for (prefix, value) in given {
            let (family, first, last) = bounds(prefix);
            table.families[family].push(Entry { first, last, outer: None, values: vec![value] });
        }
        for entries in &mut table.families {
            nest(entries);
        }
        table
    }
}

impl<T> PrefixTable<T> {
    /// All values, by family and address.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.families.iter().flatten().flat_map(|entry| &entry.values)
    }

    /// Values of the prefixes that hold the address: of the longest first, of equal ones in the order given. IPv4 within
    /// IPv6 is IPv4.
    pub fn holding(&self, address: IpAddr) -> impl Iterator<Item = &T> {
        let (family, number) = number(address.to_canonical());
        let entries = &self.families[family];
        let mut at = entries.partition_point(|entry| entry.first <= number).checked_sub(1);
        while let Some(entry) = at.map(|at| &entries[at])
            && entry.last < number
        {
            at = entry.outer.map(|outer| outer as usize);
        }
        let outwards = std::iter::successors(at, |&at: &usize| entries[at].outer.map(|outer| outer as usize));
        outwards.flat_map(|at| &entries[at].values)
    }
}

/// Orders entries, joins those of one prefix, and notes what lies within what.
fn nest<T>(entries: &mut Vec<Entry<T>>) {
    // Stable: values of one prefix stay in order.
    entries.sort_by_key(|entry| (entry.first, std::cmp::Reverse(entry.last)));
    entries.dedup_by(|next, kept| {
        let is_same = (next.first, next.last) == (kept.first, kept.last);
        if is_same {
            kept.values.append(&mut next.values);
        }
        is_same
    });
    let mut around: Vec<u32> = Vec::new();
    for at in 0..entries.len() {
        while around.last().is_some_and(|&outer| entries[outer as usize].last < entries[at].first) {
            around.pop();
        }
        entries[at].outer = around.last().copied();
        around.push(at as u32);
    }
}

/// Family and number of an address.
fn number(address: IpAddr) -> (usize, u128) {
    match address {
        IpAddr::V4(address) => (0, u32::from(address).into()),
        IpAddr::V6(address) => (1, address.into()),
    }
}

/// Family, first and last address of a prefix.
fn bounds(prefix: IpNet) -> (usize, u128, u128) {
    let (family, first) = number(prefix.network());
    (family, first, number(prefix.broadcast()).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Prefixes of few bits and their neighbours, so that many are nested, equal and side by side.
    fn prefixes() -> impl Strategy<Value = Vec<IpNet>> {
        let four = (any::<[u8; 4]>(), 0..=32_u8).prop_map(|([a, b, c, d], len)| {
            IpNet::new([a & 0xc0, b & 0x81, c & 3, d & 1].into(), len).expect("a length that fits").trunc()
        });
        let six = (any::<[u16; 8]>(), 0..=128_u8).prop_map(|(mut words, len)| {
            words[0] = 0xfd00;
            words[1..7].fill(0);
            IpNet::new(words.into(), len).expect("a length that fits").trunc()
        });
        proptest::collection::vec(prop_oneof![four, six], 0..40)
    }

    fn addresses() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(|[a, b, c, d]| IpAddr::from([a & 0xc0, b & 0x81, c & 3, d & 1])),
            any::<u16>().prop_map(|low| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, low])),
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u16; 8]>().prop_map(IpAddr::from),
        ]
    }

    proptest! {
        #[test]
        fn the_longest_comes_first_as_in_a_search_of_all(prefixes in prefixes(), address in addresses()) {
            let table: PrefixTable<usize> = prefixes.iter().copied().zip(0..).collect();
            let mut naive: Vec<usize> = (0..prefixes.len()).filter(|&at| prefixes[at].contains(&address)).collect();
            naive.sort_by_key(|&at| (std::cmp::Reverse(prefixes[at].prefix_len()), at));
            prop_assert_eq!(table.holding(address).copied().collect::<Vec<_>>(), naive);
        }
    }

    #[test]
    fn families_are_apart_and_mapped_addresses_are_ipv4() {
        let table: PrefixTable<u8> = [("0.0.0.0/0", 4), ("::/0", 6), ("::ffff:0:0/96", 96)]
            .map(|(prefix, value)| (prefix.parse().expect("a prefix"), value))
            .into_iter()
            .collect();
        let of = |address: &str| table.holding(address.parse().expect("an address")).copied().collect::<Vec<_>>();
        assert_eq!((of("10.0.0.1"), of("::ffff:10.0.0.1"), of("::1")), (vec![4], vec![4], vec![6]));
        assert_eq!(PrefixTable::<u8>::default().holding([10, 0, 0, 1].into()).next(), None);
    }
}
