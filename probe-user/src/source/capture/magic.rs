//! Magic numbers: recognises what each capture format begins with, at the start of a file and where a record would be.

use super::error::CaptureError;
use super::input::Input;

/// Block type of a pcapng section header; reads the same in both byte orders.
pub(super) const PCAPNG: u32 = 0x0a0d_0d0a;
/// Byte order of a pcapng section, in the order of its host.
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type, length, and the last field of a pcapng block, or the byte order of a section.
pub(super) const PCAPNG_HEAD: usize = 12;
/// First bytes of a snoop file (RFC 1761).
pub(super) const SNOOP: [u8; 8] = *b"snoop\0\0\0";
/// And the version that follows, the only one known.
pub(super) const SNOOP_VERSION: u32 = 2;
/// Header of a pcap record.
pub(super) const RECORD_HEADER: usize = 16;
/// Kuznetzov's variant has 8 bytes more per record.
const KUZNETZOV_HEADER: usize = 24;

/// Byte order (true for big endian), unit (true for nanoseconds) and record header of a file that begins with `magic`, big
/// endian.
pub(super) fn pcap_variant(magic: u32) -> Option<(bool, bool, usize)> {
    let is_little = magic & 0xff == 0xa1;
    let (nanoseconds, record_header) = match if is_little { magic.swap_bytes() } else { magic } {
        0xa1b2_c3d4 => (false, RECORD_HEADER),
        0xa1b2_3c4d => (true, RECORD_HEADER),
        0xa1b2_cd34 => (false, KUZNETZOV_HEADER),
        _ => return None,
    };
    Some((!is_little, nanoseconds, record_header))
}

/// Whether the first four bytes, big endian, are those of a file of this format.
pub(super) fn is_pcap(magic: u32) -> bool {
    pcap_variant(magic).is_some()
}

/// Whether a file header is at hand, and no record that happens to begin like one: version 2, and nothing in the fields
/// that nobody uses, which of a record would be its length.
#[cold]
fn is_pcap_header(input: &mut Input) -> Result<bool, CaptureError> {
    input.fill(RECORD_HEADER)?;
    let Some(header) = input.available().first_chunk::<RECORD_HEADER>() else { return Ok(false) };
    let version = if header[0] == 0xa1 { [header[4], header[5]] } else { [header[5], header[4]] };
    Ok(version == [0, 2] && header[8..16] == [0; 8])
}

/// Whether a section header is at hand, and not something that happens to begin like one.
#[cold]
fn is_section(input: &mut Input) -> Result<bool, CaptureError> {
    input.fill(PCAPNG_HEAD)?;
    let magic = input.available().get(8..PCAPNG_HEAD).and_then(|magic| magic.first_chunk());
    let magic = magic.map_or(0, |&magic| u32::from_ne_bytes(magic));
    Ok(magic == BYTE_ORDER_MAGIC || magic.swap_bytes() == BYTE_ORDER_MAGIC)
}

/// Whether another capture begins where a record would: files are joined by `cat`, which none of the formats but pcapng
/// foresees.
#[inline]
pub(super) fn is_joined(input: &mut Input) -> Result<bool, CaptureError> {
    let Some(magic) = input.available().first_chunk::<4>() else { return Ok(false) };
    let magic = u32::from_be_bytes(*magic);
    Ok(if is_pcap(magic) {
        is_pcap_header(input)?
    } else if magic == PCAPNG {
        is_section(input)?
    } else if SNOOP.starts_with(&magic.to_be_bytes()) {
        // With its version, which of a record is the length: the magic number alone is a moment of 30 March 2029.
        let version = SNOOP_VERSION.to_be_bytes();
        input.fill(SNOOP.len() + version.len())?;
        input.available().strip_prefix(&SNOOP).is_some_and(|rest| rest.starts_with(&version))
    } else {
        false
    })
}
