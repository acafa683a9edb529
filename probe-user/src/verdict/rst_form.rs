//! RST form: on every stack measured it tells an abort from a reply (RFC 9293 3.5.2, 3.10.7.1).

use probe_ebpf::layout::{ACK, HAS_TIMESTAMPS, SegmentRecord};

/// Which code path makes such a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// No ACK, window 0, no options: the answer to a segment with ACK that does not fit.
    Reply,
    /// ACK, sequence number 0, window 0, no options: the answer to a segment without ACK.
    Refuse,
    /// ACK and a window or timestamps: an application or kernel decided to abort.
    Abort,
    /// None of these: a device, or a stack not measured.
    Other,
}

impl Form {
    pub(crate) fn of(record: &SegmentRecord) -> Self {
        let ack = record.has(ACK);
        let bare = record.window == 0 && record.option_len == 0;
        // A reply may have to bear options of its own: MD5 (RFC 2385), AO (RFC 5925), MP_TCPRST (RFC 8684 3.6).
        if !ack && record.window == 0 && !record.has(HAS_TIMESTAMPS) {
            Self::Reply
        } else if ack && bare && record.seq == 0 {
            Self::Refuse
        } else if ack && (record.window > 0 || record.has(HAS_TIMESTAMPS)) {
            Self::Abort
        } else {
            Self::Other
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Refuse => "refuse",
            Self::Abort => "abort",
            Self::Other => "other",
        }
    }
}

/// Decodes the diagnostic payload of an RST (draft-ietf-tcpm-rst-diagnostic-payload): magic `33 AA`, a code, and a
/// private enterprise number that is 0 for the registered codes.
pub(crate) fn explained(note: u64) -> Option<String> {
    let [0x33, 0xaa, high, low, pen @ ..] = note.to_ne_bytes() else { return None };
    let code = u16::from_be_bytes([high, low]);
    let enterprise = u32::from_be_bytes(pen);
    if enterprise != 0 {
        return Some(format!("code {code} of enterprise {enterprise}"));
    }
    let text = match code {
        1 => "illegal option length",
        2 => "desynchronised",
        3 => "new data after close",
        4 => "abort",
        5 => "unexpected ACK",
        6 => "unexpected SYN",
        7 => "security compartment",
        8 => "malformed",
        9 => "not authorised",
        10 => "resource exceeded",
        11 => "network failure",
        12 => "reset received from peer",
        13 => "destination unreachable",
        14 => "connection timeout",
        15 => "too much outstanding data",
        16 => "unacceptable performance",
        17 => "middlebox interference",
        _ => return Some(format!("code {code}")),
    };
    Some(text.to_string())
}

/// The first payload bytes of an RST, when they read like words, as some devices put there (RFC 9293 3.5.3).
pub(crate) fn text(note: u64) -> Option<String> {
    let bytes = note.to_ne_bytes();
    // Words, or the beginning of a page.
    let like_words = (bytes[0].is_ascii_alphabetic() || bytes[0] == b'<')
        && bytes.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r' | b'\n'))
        && bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count() >= 4;
    like_words.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_the_measured_headers() {
        let record = |flags, seq, window, option_len| {
            Form::of(&SegmentRecord { flags, seq, window, option_len, ..SegmentRecord::default() })
        };
        assert_eq!(record(ACK, 0, 0, 0), Form::Refuse);
        assert_eq!(record(0, 77, 0, 0), Form::Reply);
        assert_eq!(record(ACK, 77, 64, 12), Form::Abort);
        assert_eq!(record(ACK | HAS_TIMESTAMPS, 77, 0, 12), Form::Abort);
        assert_eq!(record(ACK, 77, 0, 0), Form::Other);
    }

    #[test]
    fn diagnostic_payload_is_read_in_network_order() {
        let note = u64::from_ne_bytes([0x33, 0xaa, 0, 3, 0, 0, 0, 0]);
        assert_eq!(explained(note).as_deref(), Some("new data after close"));
        assert_eq!(explained(u64::from_ne_bytes(*b"blocked!")), None);
        assert_eq!(text(u64::from_ne_bytes(*b"blocked!")).as_deref(), Some("blocked!"));
    }
}
