//! RST options: signatures (MD5, TCP-AO) and the reset reasons of Multipath TCP.

use super::{Located, Reader};

/// The option of an RST that says most of where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum RstOption {
    /// None of these, or none that could be read.
    #[default]
    None,
    /// TCP MD5 signature (RFC 2385): its sender has the key, or copied somebody who has.
    Md5,
    /// TCP authentication option (RFC 5925).
    Ao,
    /// MP_TCPRST with its reason (RFC 8684 3.6): 0 unspecified, 1 MPTCP error, 2 lack of resources, 3 prohibited, 4 too
    /// much outstanding data, 5 unacceptable performance, 6 middlebox interference.
    Mptcp(u8),
    /// MP_FASTCLOSE (RFC 8684 3.5): the whole Multipath connection was aborted.
    MptcpFastClose,
}

impl RstOption {
    /// Stable name for outputs; `None` when there is nothing to name.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::None => return None,
            Self::Md5 => "md5",
            Self::Ao => "ao",
            Self::MptcpFastClose => "mptcp_fast_close",
            Self::Mptcp(reason) => match reason {
                0 => "mptcp_unspecified",
                1 => "mptcp_error",
                2 => "mptcp_lack_of_resources",
                3 => "mptcp_prohibited",
                4 => "mptcp_too_much_outstanding_data",
                5 => "mptcp_unacceptable_performance",
                6 => "mptcp_middlebox_interference",
                _ => "mptcp_other",
            },
        })
    }
}

const MD5: u8 = 19;
const AO: u8 = 29;
const MPTCP: u8 = 30;
/// Subtypes of [`MPTCP`] (RFC 8684 8.2).
const FAST_CLOSE: u8 = 7;
const TCP_RST: u8 = 8;

/// The first such option of a segment; stops at a malformed one, as at one that was not captured.
pub fn rst_option<R: Reader>(reader: &R, located: &Located) -> RstOption {
    let mut at = located.tcp as usize + 20;
    let end = located.tcp as usize + located.tcp_header_len as usize;
    while at < end {
        let Some(&[kind]) = reader.bytes::<1>(at) else { break };
        match kind {
            0 => break,
            1 => at += 1,
            _ => {
                let Some(&[_, size]) = reader.bytes::<2>(at) else { break };
                if size < 2 || at + size as usize > end {
                    break;
                }
                match read(reader, at, kind, size) {
                    RstOption::None => at += size as usize,
                    found => return found,
                }
            }
        }
    }
    RstOption::None
}

/// One option by its kind and length.
fn read<R: Reader>(reader: &R, at: usize, kind: u8, size: u8) -> RstOption {
    match (kind, size) {
        (MD5, 18) => RstOption::Md5,
        (AO, 4..) => RstOption::Ao,
        (MPTCP, 4..) => match reader.bytes::<4>(at) {
            Some(&[_, _, subtype, reason]) if subtype >> 4 == TCP_RST => RstOption::Mptcp(reason),
            Some(&[_, _, subtype, _]) if subtype >> 4 == FAST_CLOSE => RstOption::MptcpFastClose,
            _ => RstOption::None,
        },
        _ => RstOption::None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::parse::SliceReader;

    fn of(options: &[u8], captured: usize) -> RstOption {
        let mut tcp: Vec<u8> = std::vec![0; 20];
        tcp.extend(options);
        let located = Located { tcp_header_len: tcp.len() as u8, ..Located::default() };
        rst_option(&SliceReader::whole(&tcp[..captured.min(tcp.len())]), &located)
    }

    #[test]
    fn each_option_is_told() {
        let md5 = [&[1, 1, 19, 18][..], &[7; 16]].concat();
        let after_timestamps = [&[1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 29, 16, 1, 2][..], &[9; 12]].concat();
        for (options, expected) in [
            (&md5[..], RstOption::Md5),
            (&after_timestamps, RstOption::Ao),
            (&[30, 4, 0x80, 3], RstOption::Mptcp(3)),
            (&[30, 12, 0x70, 0, 1, 2, 3, 4, 5, 6, 7, 8], RstOption::MptcpFastClose),
            (&[30, 4, 0x10, 3], RstOption::None),
            (&[1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0], RstOption::None),
            (&[0, 0, 30, 4, 0x80, 3, 0, 0], RstOption::None),
            (&[30, 0, 0x80, 3], RstOption::None),
            (&[30, 40, 0x80, 3], RstOption::None),
            (&[], RstOption::None),
        ] {
            assert_eq!(of(options, usize::MAX), expected, "{options:?}");
            for captured in 0..20 + options.len() {
                let cut = of(options, captured);
                assert!(cut == RstOption::None || cut == expected);
            }
        }
        assert_eq!(of(&[30, 4, 0x80, 3], 23), RstOption::None, "its reason was not captured");
    }

    #[test]
    fn names_are_there_and_differ() {
        let mut names: Vec<_> =
            (0..8).map(RstOption::Mptcp).chain([RstOption::Md5, RstOption::Ao, RstOption::MptcpFastClose]).collect();
        let all = names.len();
        names.sort_by_key(|option| option.name());
        names.dedup_by_key(|option| option.name());
        assert_eq!((names.len(), RstOption::None.name()), (all, None));
    }
}
