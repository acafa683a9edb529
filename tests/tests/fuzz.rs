//! The fuzz targets on stable Rust: with the inputs that are kept of each, and with all that were ever found to break
//! something, by name.

use probe_tests::fuzz::{TARGETS, corpus, target};

#[test]
fn kept_inputs_break_nothing() {
    for one in TARGETS {
        let inputs = corpus::inputs(one.name).expect("kept inputs");
        assert!(inputs.len() >= 20, "{}: {}", one.name, inputs.len());
        for input in inputs {
            (one.run)(&input);
        }
    }
}

#[test]
fn beginnings_of_kept_inputs_break_nothing() {
    for one in TARGETS {
        for input in corpus::inputs(one.name).expect("kept inputs") {
            for end in [0, 1, input.len() / 2, input.len().saturating_sub(1)] {
                (one.run)(&input[..end]);
            }
        }
    }
}

/// What broke something once, as hexadecimal digits.
fn holds(name: &str, digits: &str) {
    let input = corpus::bytes(digits).expect("digits");
    (target(name).expect("a target").run)(&input);
}

/// An RST that says it has 4 GiB of text: the length without the text was got by taking it off a sum that had wrapped.
#[test]
fn an_rst_with_more_text_than_sequence_numbers() {
    let digits = "013659ba5cf64d7a84a7454e09f063b697a9e939fef710c192a76e0237aa207bbd5c97372e08234065b23633100de9d418cf\
         877f09408a7d08a117b42fbefad03303bc12327899190acc8c727d4860a6e39bf2e6efdf4b227bdd8147a90b20a6c20b7338\
         59c6cf1c0085104f6d83255e78cc9ef04ce46ac8e3af5342ef6848959e646ff5eb09abbb6d4e11c1520fd32f7721f23e7689\
         1901060200001106140000050602000015061400000006020000100612000000061400000306180003130610000013061400\
         0003060200001306140000";
    holds("pcapng", digits);
}

/// A snoop file behind a pcap file of big-endian numbers: its header was taken for a frame of two bytes, its version, by
/// those who take frames that are in memory, as `rstprobe read` does.
#[test]
fn a_snoop_file_joined_to_a_big_endian_pcap_file() {
    let digits = "a1b2c3d40002000400000000000000000000ffff0000000100000001000000000000000e0000000e00010203040506070809\
        0a0b0c0d736e6f6f7000000000000002000000040000000e0000000e00000028000000000000000100000000000102030405\
        060708090a0b0c0d0000";
    holds("capture", digits);
}

/// A frame of 2029-03-30T14:02:27.000112Z in a little-endian pcap file: its time reads as the magic number of snoop, and was
/// taken for a joined file by those who take one frame at a time.
#[test]
fn a_frame_whose_time_is_the_magic_number_of_snoop() {
    let digits = "d4c3b2a1020004000000000000000000ffff000001000000736e6f6f700000000e0000000e00000000010203040506070809\
        0a0b0c0d746e6f6f000000000e0000000e000000000102030405060708090a0b0c0d";
    holds("capture", digits);
}
