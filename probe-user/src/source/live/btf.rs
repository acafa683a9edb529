//! Kernel type information (BTF): where a structure of this kernel keeps a member.
//!
//! `aya-obj` parses BTF as well, and keeps members to itself. The format is that of Documentation/bpf/btf.rst.

use std::fs;

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_INT: u32 = 1;
const KIND_DECL_TAG: u32 = 17;
const KIND_ENUM64: u32 = 19;
/// Structures within structures, at most.
const MAX_DEPTH: usize = 8;

/// All types of a kernel.
pub(super) struct Btf {
    bytes: Vec<u8>,
    /// Where each type begins in `bytes`, by id less 1.
    types: Vec<usize>,
    strings: usize,
}

impl Btf {
    /// Those of this kernel; `None` when it has none (CONFIG_DEBUG_INFO_BTF) or they may not be read.
    pub(super) fn of_this_kernel() -> Option<Self> {
        Self::parse(fs::read(VMLINUX).ok()?)
    }

    /// From the bytes of a BTF blob of this machine's byte order.
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let header = |at: usize| word(&bytes, at).and_then(|value| usize::try_from(value).ok());
        let magic = u16::from_ne_bytes(*bytes.first_chunk::<2>()?);
        if magic != MAGIC {
            return None;
        }
        let (header_len, type_at, type_len, strings) = (header(4)?, header(8)?, header(12)?, header(16)?);
        let begin = header_len.checked_add(type_at)?;
        let end = begin.checked_add(type_len)?;
        let mut types = Vec::new();
        let mut at = begin;
        while at < end {
            types.push(at);
            let info = word(&bytes, at + 4)?;
            at += 12 + trailing_len(info >> 24 & 31, info & 0xffff);
        }
        Some(Self { strings: header_len.checked_add(strings)?, bytes, types })
    }

    /// Offset of a member of a structure, bytes, looked for in unnamed structures and unions within it as well. `None` for
    /// bit fields and for what is not there.
    pub(super) fn offset(&self, structure: &str, member: &str) -> Option<u32> {
        let named = |&&at: &&usize| {
            let info = word(&self.bytes, at + 4).unwrap_or(0);
            info >> 24 & 31 == KIND_STRUCT && info & 0xffff > 0 && self.is_named(at, structure)
        };
        let bits = self.bit_offset(*self.types.iter().find(named)?, member, MAX_DEPTH)?;
        (bits % 8 == 0).then_some(bits / 8)
    }

    fn bit_offset(&self, at: usize, member: &str, depth: usize) -> Option<u32> {
        let info = word(&self.bytes, at + 4)?;
        if !matches!(info >> 24 & 31, KIND_STRUCT | KIND_UNION) || depth == 0 {
            return None;
        }
        // With `kind_flag`, the upper eight bits of an offset are the width of a bit field.
        let has_widths = info >> 31 != 0;
        (0..(info & 0xffff) as usize).find_map(|nth| {
            let entry = at + 12 + nth * 12;
            let (id, offset) = (word(&self.bytes, entry + 4)?, word(&self.bytes, entry + 8)?);
            let (width, offset) = if has_widths { (offset >> 24, offset & 0xff_ffff) } else { (0, offset) };
            if self.is_named(entry, member) {
                return (width == 0).then_some(offset);
            }
            let inner = *self.types.get((id as usize).checked_sub(1)?)?;
            let within =
                if self.is_named(entry, "") { self.bit_offset(inner, member, depth - 1)? } else { return None };
            Some(offset + within)
        })
    }

    /// Whether the type or member that begins at `at` has this name.
    fn is_named(&self, at: usize, name: &str) -> bool {
        let Some(begin) = word(&self.bytes, at).map(|offset| self.strings + offset as usize) else { return false };
        let text = self.bytes.get(begin..begin + name.len() + 1);
        text.is_some_and(|text| text.ends_with(&[0]) && text.starts_with(name.as_bytes()))
    }
}

/// Bytes that follow the twelve which each type begins with.
fn trailing_len(kind: u32, count: u32) -> usize {
    let each = match kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => return 4,
        KIND_ARRAY => return 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12,
        KIND_ENUM | KIND_FUNC_PROTO => 8,
        _ => 0,
    };
    each * count as usize
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_ne_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct skb { u32 a:4; union { struct { void *head; }; u64 b; }; }` and an integer before it.
    fn blob() -> Vec<u8> {
        let strings = b"\0int\0skb\0a\0head\0b\0";
        let (int, skb, a, head, b) = (1_u32, 5_u32, 9_u32, 11_u32, 16_u32);
        let kind = |kind: u32, count: u32| kind << 24 | count;
        let types: Vec<u32> = [
            // 1: an integer.
            vec![int, kind(KIND_INT, 0), 4, 32],
            // 2: unnamed structure with `head` at 64 bits.
            vec![0, kind(KIND_STRUCT, 1), 16, head, 1, 64],
            // 3: unnamed union of 2 and `b`.
            vec![0, kind(KIND_UNION, 2), 16, 0, 2, 0, b, 1, 0],
            // 4: the structure, with a bit field.
            vec![skb, 1 << 31 | kind(KIND_STRUCT, 2), 24, a, 1, 4 << 24, 0, 3, 32],
        ]
        .concat();
        let type_len = types.len() as u32 * 4;
        let mut bytes = Vec::new();
        bytes.extend(MAGIC.to_ne_bytes());
        bytes.extend([1, 0]);
        for value in [24, 0, type_len, type_len, strings.len() as u32] {
            bytes.extend(value.to_ne_bytes());
        }
        bytes.extend(types.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn members_of_unnamed_members_are_found() {
        let btf = Btf::parse(blob()).expect("whole");
        assert_eq!(btf.offset("skb", "head"), Some(12));
        assert_eq!(btf.offset("skb", "b"), Some(4));
        assert_eq!(btf.offset("skb", "a"), None, "a bit field");
        assert_eq!(btf.offset("skb", "he"), None);
        assert_eq!(btf.offset("sk", "head"), None);
    }

    #[test]
    fn what_is_cut_or_of_another_order_is_nothing() {
        let bytes = blob();
        for len in 0..24 {
            assert!(Btf::parse(bytes[..len].to_vec()).is_none());
        }
        assert!(Btf::parse(bytes[..40].to_vec()).is_none());
        let mut other = bytes;
        other.swap(0, 1);
        assert!(Btf::parse(other).is_none());
    }
}
