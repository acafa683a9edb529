//! The quick way on frames of all sorts: it finds what the other finds, to the bit, or nothing at all.

use proptest::prelude::*;

use super::*;

/// What a frame is made of before anything is done to it.
#[derive(Clone, Debug)]
struct Shape {
    addresses: [[u8; 4]; 2],
    ports: [u16; 2],
    flags: u8,
    options: Vec<u8>,
    payload: Vec<u8>,
    /// Bytes after the packet, as Ethernet pads.
    padding: usize,
    noise: [u8; 16],
}

const USUAL: [u8; 12] = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
const OF_A_SYN: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];

fn shapes() -> impl Strategy<Value = Shape> {
    let address = prop_oneof![Just([10, 0, 0, 1]), Just([10, 0, 0, 2]), any::<[u8; 4]>()];
    let port = prop_oneof![Just(80), Just(81), any::<u16>()];
    let options = prop_oneof![
        3 => Just(Vec::new()),
        2 => Just(USUAL.to_vec()),
        1 => Just(OF_A_SYN.to_vec()),
        2 => proptest::collection::vec(any::<u8>(), 0..11).prop_map(|some| some.repeat(4)[..some.len() * 4].to_vec()),
    ];
    let payload = prop_oneof![
        Just(Vec::new()),
        proptest::collection::vec(any::<u8>(), 0..300),
        (0..300_usize).prop_map(|len| vec![0xff; len]),
    ];
    let flags = prop_oneof![Just(0x02), Just(0x10), Just(0x14), any::<u8>()];
    let ends = (proptest::array::uniform2(address), proptest::array::uniform2(port));
    (ends, flags, options, payload, 0..8_usize, any::<[u8; 16]>()).prop_map(
        |((addresses, ports), flags, options, payload, padding, noise)| Shape {
            addresses,
            ports,
            flags,
            options,
            payload,
            padding,
            noise,
        },
    )
}

impl Shape {
    fn frame(&self) -> Vec<u8> {
        let Self { addresses, ports, flags, options, payload, noise, .. } = self;
        let tcp_header = 20 + options.len();
        let total = (20 + tcp_header + payload.len()) as u16;
        let mut frame = [&noise[..12], &[8, 0, 0x45, noise[12]], &total.to_be_bytes()].concat();
        frame.extend([noise[13], noise[14], noise[15] & 0xc0, 0, noise[0], 6, 0, 0]);
        frame.extend(addresses.concat());
        frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        frame.extend(&noise[1..9]);
        frame.extend([(tcp_header as u8 / 4) << 4 | noise[9] & 0x0f, *flags, noise[10], noise[11], 0, 0, 0, 0]);
        frame.extend(options);
        frame.extend(payload);
        frame.extend(vec![0xa5; self.padding]);
        frame
    }
}

/// Makes both checksums right, as far as headers lie where they are expected.
fn repair(frame: &mut [u8]) {
    let Some(total) = frame.get(16..18).map(|total| usize::from(u16::from_be_bytes([total[0], total[1]]))) else {
        return;
    };
    if !(40..=frame.len() - 14).contains(&total) {
        return;
    }
    frame[24..26].fill(0);
    let sum = !checksum::fold(checksum::sum(&frame[14..34], 0));
    frame[24..26].copy_from_slice(&sum.to_ne_bytes());
    frame[50..52].fill(0);
    let pseudo = [&frame[26..34], &[0, 6], &(total as u16 - 20).to_be_bytes()].concat();
    let sum = !checksum::fold(checksum::sum(&frame[34..14 + total], checksum::sum(&pseudo, 0)));
    frame[50..52].copy_from_slice(&sum.to_ne_bytes());
}

/// Whether the quick way was enough, after both have been compared.
fn compare(frame: &Frame<'_>, verify: bool) -> bool {
    let new = || Decoder::new(verify, Encapsulations { enabled: ALL, max_depth: 4 }, Domain::Vlan);
    let (mut quick, mut both, mut other) = (new(), new(), new());
    let expected = other.decode(frame);
    let was_enough = quick.decode_plain(frame, &mut Segment::default()).is_some();
    let found = decode_quickly(&mut both, frame);
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    assert_eq!(both.accounting(), other.accounting());
    let nothing = Accounting::default();
    assert_eq!(quick.accounting(), if was_enough { other.accounting() } else { &nothing });
    was_enough
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn undamaged_frames_need_nothing_else(shape in shapes(), verify: bool, time_ns: u64, longer in 0..3_usize) {
        let mut bytes = shape.frame();
        repair(&mut bytes);
        let frame = Frame { time_ns, wire_len: bytes.len() + longer, link: LinkType::Ethernet, bytes: &bytes };
        prop_assert!(compare(&frame, verify));
        let no_tunnels = Encapsulations { enabled: 0, max_depth: 0 };
        let decoded = decode_quickly(&mut Decoder::new(true, no_tunnels, Domain::None), &frame);
        prop_assert!(decoded.is_some_and(|decoded| !decoded.bad_checksum && !decoded.payload_cut));
    }

    #[test]
    fn damaged_and_cut_frames_are_the_same_to_both(
        shape in shapes(),
        edits in proptest::collection::vec((12..70_usize, any::<u8>()), 0..4),
        flips in proptest::collection::vec((0..400_usize, 0..8_u32), 0..3),
        repaired: bool,
        verify: bool,
        cut in prop_oneof![Just(0), 0..80_usize, 0..400_usize],
        missing in prop_oneof![Just(0), 0..80_usize],
    ) {
        let mut bytes = shape.frame();
        repair(&mut bytes);
        for (at, value) in edits {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if repaired {
            repair(&mut bytes);
        }
        for (at, bit) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        let wire_len = bytes.len().saturating_sub(missing);
        bytes.truncate(bytes.len().saturating_sub(cut));
        compare(&Frame { time_ns: 7, wire_len, link: LinkType::Ethernet, bytes: &bytes }, verify);
    }

    #[test]
    fn any_bytes_are_the_same_to_both(bytes in proptest::collection::vec(any::<u8>(), 0..120), wire_len in 0..200_usize) {
        compare(&Frame { time_ns: 7, wire_len, link: LinkType::Ethernet, bytes: &bytes }, false);
    }

    #[test]
    fn long_captures_lose_nothing_where_the_buffer_ends(
        order in 0..2_usize,
        shapes in proptest::collection::vec(shapes(), 1..40),
        repeated in 1..40_usize,
    ) {
        let frames: Vec<Vec<u8>> = shapes.iter().map(Shape::frame).collect();
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let frames = frames.repeat(repeated);
        prop_assert_eq!(read(pcap(BOTH[order], 0xa1b2_c3d4, 1, &frames)).0.len(), frames.len());
    }
}
