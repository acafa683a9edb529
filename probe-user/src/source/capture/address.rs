//! IPv6 final addresses: extension headers may name others than the IPv6 header does.
//!
//! A routing header of type 0 or 2 that is not used up holds the final destination (RFC 2460 4.4, RFC 6275 6.4); a home
//! address option holds the sender (RFC 6275 6.3). Both are what TCP's checksum and connections go by.

use probe_ebpf::layout::{Endpoint, FROM_HI, FlowKey, Segment};
use probe_ebpf::parse::{Located, Reader, SliceReader};

const ROUTING: u8 = 43;
const DESTINATION_OPTIONS: u8 = 60;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const HOME_ADDRESS: u8 = 201;

/// Sender and receiver, sixteen bytes each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Addresses {
    pub(super) source: [u8; 16],
    pub(super) target: [u8; 16],
}

/// The addresses that extension headers put in the place of the IPv6 header's; `None` when those are the ones.
#[inline]
pub(super) fn effective(reader: &SliceReader<'_>, located: &Located) -> Option<Addresses> {
    if located.ip_version != 6 || located.tcp == located.ip + 40 {
        return None;
    }
    extended(reader, usize::from(located.ip), usize::from(located.tcp))
}

#[cold]
fn extended(reader: &SliceReader<'_>, ip: usize, tcp: usize) -> Option<Addresses> {
    let header = reader.bytes::<40>(ip)?;
    let (mut next, mut at) = (header[6], ip + 40);
    let (mut source, mut target) = (None, None);
    while at < tcp {
        let [following, len] = *reader.bytes::<2>(at)?;
        let len = match next {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(len) + 2) * 4,
            _ => (usize::from(len) + 1) * 8,
        };
        let body = reader.bytes.get(at..at + len)?;
        match next {
            ROUTING => target = final_destination(body).or(target),
            DESTINATION_OPTIONS => source = home_address(body).or(source),
            _ => {}
        }
        (next, at) = (following, at + len);
    }
    if source.is_none() && target.is_none() {
        return None;
    }
    let of_header = |from: usize| std::array::from_fn(|i| header[from + i]);
    Some(Addresses { source: source.unwrap_or_else(|| of_header(8)), target: target.unwrap_or_else(|| of_header(24)) })
}

/// Last address of a routing header with segments left.
fn final_destination(header: &[u8]) -> Option<[u8; 16]> {
    let (units, kind, left) = (header[1], header[2], header[3]);
    let holds_addresses = match kind {
        0 => units >= 2 && units % 2 == 0,
        2 => units == 2,
        _ => false,
    };
    if left == 0 || !holds_addresses {
        return None;
    }
    header.last_chunk().copied()
}

/// The home address among destination options.
fn home_address(header: &[u8]) -> Option<[u8; 16]> {
    let mut options = header.get(2..)?;
    while let [kind, rest @ ..] = options {
        if *kind == 0 {
            options = rest;
            continue;
        }
        let (len, rest) = rest.split_first()?;
        let value = rest.get(..usize::from(*len))?;
        if *kind == HOME_ADDRESS {
            return value.try_into().ok();
        }
        options = &rest[value.len()..];
    }
    None
}

/// Gives the segment to those addresses.
#[cold]
pub(super) fn readdress(segment: &mut Segment, addresses: &Addresses, domain: u32) {
    let (lo, hi) = (segment.key.lo().port, segment.key.hi().port);
    let (source, target) = if segment.record.from_hi() { (hi, lo) } else { (lo, hi) };
    let source = Endpoint::from_octets(addresses.source, source);
    let target = Endpoint::from_octets(addresses.target, target);
    let (key, from_hi) = FlowKey::normalised(source, target, domain);
    segment.key = key;
    segment.record.flags = segment.record.flags & !FROM_HI | if from_hi { FROM_HI } else { 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routing_header_that_is_used_up_changes_nothing() {
        let mut header = vec![6, 2, 0, 1, 0, 0, 0, 0];
        header.extend([9; 16]);
        assert_eq!(final_destination(&header), Some([9; 16]));
        header[3] = 0;
        assert_eq!(final_destination(&header), None);
        header[2..4].copy_from_slice(&[4, 1]);
        assert_eq!(final_destination(&header), None, "segment routing keeps its list the other way round");
    }

    #[test]
    fn a_home_address_among_padding() {
        let mut header = vec![6, 2, 0, 1, 0, 201, 16];
        header.extend([7; 16]);
        header.push(0);
        assert_eq!(home_address(&header), Some([7; 16]));
        header[6] = 200;
        assert_eq!(home_address(&header), None, "an option that ends after its header");
    }
}
