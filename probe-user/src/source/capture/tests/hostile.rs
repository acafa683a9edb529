//! Captures that say more of their interfaces than anybody can want to keep.

use super::*;

/// A description with a name and without anything else.
fn named(order: Order, name: &[u8]) -> Vec<u8> {
    let mut body = [&order.u16(1)[..], &order.u16(0), &order.u32(0)].concat();
    body.extend([&order.u16(2)[..], &order.u16(name.len() as u16), name].concat());
    block(order, 1, &body)
}

fn name_of(description: Vec<u8>) -> Option<String> {
    let order = BOTH[0];
    let file = [section(order), description, enhanced(order, 0, 5, &syn())].concat();
    let mut capture = CaptureFile::from_reader(Cursor::new(file)).expect("a capture");
    let (_, on) = capture.next_with_interface().expect("undamaged").expect("a frame");
    on.name.map(str::to_owned)
}

#[test]
fn a_name_is_kept_as_far_as_names_go() {
    let order = BOTH[0];
    assert_eq!(name_of(interface(order, 1, None)), None);
    assert_eq!(name_of(named(order, b"eth0")).as_deref(), Some("eth0"));
    let longest = "x".repeat(256);
    assert_eq!(name_of(named(order, longest.as_bytes())), Some(longest.clone()), "to the last letter");
    assert_eq!(name_of(named(order, (longest + "y").as_bytes())), Some("x".repeat(253) + "…"));
    // Cut within a character, and three bytes for each that is no UTF-8.
    assert_eq!(name_of(named(order, "é".repeat(200).as_bytes())), Some("é".repeat(126) + "…"));
    assert_eq!(name_of(named(order, &[0xff].repeat(60_000))), Some("\u{fffd}".repeat(84) + "…"));
}

#[test]
fn interfaces_beyond_a_bound_are_not_kept_and_their_frames_counted() {
    let order = BOTH[0];
    let bound = 1 << 16;
    let frame = |number| enhanced(order, number, 5, &syn());
    let descriptions = interface(order, 1, None).repeat(bound as usize + 2);
    let section_with = |frames: &[Vec<u8>]| [section(order), descriptions.clone(), frames.concat()].concat();
    let file = [section_with(&[frame(bound - 1), frame(bound), frame(bound + 1), frame(0)]), section_with(&[frame(3)])];
    let (times, accounting, error) = read(file.concat());
    assert!(error.is_none(), "{error:?}");
    assert_eq!((times.len(), accounting.tcp, accounting.link_unsupported), (5, 3, 2));
    let named: Vec<_> = accounting.unsupported.iter().map(|(what, frames)| (what.to_string(), *frames)).collect();
    assert_eq!(named, [("interface after the first 65536".to_owned(), 2)]);
    // What was never described is damage, as before; also after a section that described more.
    let few = [section(order), interface(order, 1, None), frame(bound)].concat();
    for file in [section_with(&[frame(bound + 2)]), [section_with(&[]), few].concat()] {
        assert!(matches!(read(file).2, Some(CaptureError::Damaged { .. })));
    }
}
