//! Small programs that write to a packet, each in a way of its own, and some that do not.

use super::*;

type Code = [u8; 8];

fn code(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Code {
    let ([o0, o1], [i0, i1, i2, i3]) = (offset.to_le_bytes(), immediate.to_le_bytes());
    [code, source << 4 | destination, o0, o1, i0, i1, i2, i3]
}

fn load(destination: u8, source: u8, offset: i16) -> Code {
    code(0x61, destination, source, offset, 0)
}

fn load_long(destination: u8, source: u8, offset: i16) -> Code {
    code(0x79, destination, source, offset, 0)
}

fn store(destination: u8, source: u8, offset: i16) -> Code {
    code(0x7b, destination, source, offset, 0)
}

fn store_byte(destination: u8, offset: i16) -> Code {
    code(0x72, destination, 0, offset, 7)
}

fn copy(destination: u8, source: u8) -> Code {
    code(0xbf, destination, source, 0, 0)
}

fn set(destination: u8, value: i32) -> Code {
    code(0xb7, destination, 0, 0, value)
}

fn add(destination: u8, value: i32) -> Code {
    code(0x07, destination, 0, 0, value)
}

fn call(helper: i32) -> Code {
    code(0x85, 0, 0, 0, helper)
}

fn call_function() -> Code {
    code(0x85, 0, 1, 0, -1)
}

const EXIT: Code = [0x95, 0, 0, 0, 0, 0, 0, 0];

/// `r0 = XDP_PASS; exit`.
fn pass() -> [Code; 2] {
    [set(0, 2), EXIT]
}

/// r2 = data, r3 = data_end.
fn packet() -> [Code; 2] {
    [load(2, 1, 0), load(3, 1, 4)]
}

/// A function: name, code, relocations.
type Part = (&'static str, Vec<u8>, Vec<(u64, String)>);

struct Object {
    section: &'static str,
    name: &'static str,
    parts: Vec<Part>,
}

impl Object {
    fn xdp(code: &[&[Code]]) -> Self {
        Self { section: "xdp", name: "program", parts: vec![] }.with("program", code, &[])
    }

    /// Of another kind or name; `relocations` by instruction.
    fn with(mut self, name: &'static str, code: &[&[Code]], relocations: &[(u64, &str)]) -> Self {
        let relocations = relocations.iter().map(|(at, name)| (at * 8, (*name).to_owned())).collect();
        self.parts.push((name, code.concat().concat(), relocations));
        self
    }

    fn of(section: &'static str, name: &'static str, code: &[&[Code]], relocations: &[(u64, &str)]) -> Self {
        Self { section, name, parts: vec![] }.with(name, code, relocations)
    }

    fn findings(&self) -> Vec<String> {
        let functions = self.parts.iter().map(|(name, code, relocations)| Function {
            name: (*name).to_owned(),
            section: if *name == self.name { self.section } else { ".text" }.to_owned(),
            code,
            relocations: relocations.clone(),
        });
        check(&functions.collect::<Vec<_>>()).findings
    }

    #[track_caller]
    fn is_found(&self, what: &str) {
        let findings = self.findings();
        assert!(findings.iter().any(|finding| finding.contains(what)), "`{what}` is not in {findings:?}");
    }

    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.findings(), Vec::<String>::new());
    }
}

#[test]
fn a_store_through_a_packet_pointer_is_found() {
    Object::xdp(&[&packet(), &[store_byte(2, 5)], &pass()]).is_found("instruction 2 may write to the packet");
    Object::xdp(&[&packet(), &[set(4, 1), store(2, 4, 0)], &pass()]).is_found("instruction 3 may write to the packet");
}

#[test]
fn copies_and_sums_of_one_are_packet_pointers() {
    // By a constant, by a number that is read, and from the end backwards.
    Object::xdp(&[&packet(), &[copy(5, 2), add(5, 14), store_byte(5, 0)], &pass()]).is_found("to the packet");
    let variable = [load(4, 2, 0), copy(5, 2), code(0x0f, 5, 4, 0, 0), store_byte(5, 0)];
    Object::xdp(&[&packet(), &variable, &pass()]).is_found("to the packet");
    Object::xdp(&[&packet(), &[add(3, -1), store_byte(3, 0)], &pass()]).is_found("to the packet");
    // A number plus a packet pointer, and what no verifier takes.
    Object::xdp(&[&packet(), &[set(5, 14), code(0x0f, 5, 2, 0, 0), store_byte(5, 0)], &pass()]).is_found("packet");
    Object::xdp(&[&packet(), &[code(0x57, 2, 0, 0, -2), store_byte(2, 0)], &pass()]).is_found("to the packet");
}

#[test]
fn a_packet_pointer_comes_back_from_the_stack() {
    Object::xdp(&[&packet(), &[store(10, 2, -8), load_long(6, 10, -8), store_byte(6, 0)], &pass()])
        .is_found("to the packet");
    // By another pointer to the stack, and at an offset that is not known.
    let other = [copy(6, 10), add(6, -16), store(6, 2, 8), load_long(7, 10, -8), store_byte(7, 0)];
    Object::xdp(&[&packet(), &other, &pass()]).is_found("to the packet");
    let unknown =
        [store(10, 2, -8), copy(6, 10), load(4, 2, 0), code(0x1f, 6, 4, 0, 0), load_long(7, 6, 0), store_byte(7, 0)];
    Object::xdp(&[&packet(), &unknown, &pass()]).is_found("to the packet");
    // What was written over it is no packet pointer.
    let over = [store(10, 2, -8), store(10, 10, -8), load_long(6, 10, -8), store_byte(6, -1)];
    Object::xdp(&[&packet(), &over, &pass()]).is_clean();
}

#[test]
fn on_one_of_two_paths_is_enough() {
    // r6 = r10 - 8; if r3 == 0 skip; r6 = data.
    let paths = [copy(6, 10), add(6, -8), code(0x15, 3, 0, 1, 0), copy(6, 2), store_byte(6, 0)];
    Object::xdp(&[&packet(), &paths, &pass()]).is_found("to the packet");
    // Round a loop: only the second time.
    let round = [copy(6, 10), add(6, -8), store_byte(6, 0), copy(6, 2), add(3, -1), code(0x55, 3, 0, -4, 0)];
    Object::xdp(&[&packet(), &round, &pass()]).is_found("instruction 4 may write to the packet");
}

#[test]
fn atomic_operations_are_stores() {
    for operation in [0x00, 0x01, 0x40, 0xe1, 0xf1] {
        let atomic = [set(4, 1), code(0xdb, 2, 4, 0, operation)];
        Object::xdp(&[&packet(), &atomic, &pass()]).is_found("instruction 3 may write to the packet");
    }
    // A load that the newest kernels have in the same place.
    let acquired = [set(4, 1), code(0xdb, 4, 10, -8, 0x100)];
    Object::xdp(&[&packet(), &acquired, &pass()]).is_found("instruction 3 does what is not known");
    // And bring back what was there: exchanged out of the stack.
    let exchanged = [store(10, 2, -8), set(4, 1), code(0xdb, 10, 4, -8, 0xe1), store_byte(4, 0)];
    Object::xdp(&[&packet(), &exchanged, &pass()]).is_found("instruction 5 may write to the packet");
}

#[test]
fn functions_get_packet_pointers_in_several_ways() {
    // As an argument.
    let called = |code: &[Code]| -> Vec<Code> { code.iter().copied().chain([call_function()]).chain(pass()).collect() };
    let object = |code: &[Code], at: u64, function: &[Code]| {
        Object::of("xdp", "program", &[code], &[(at, "function")]).with("function", &[function], &[])
    };
    let argument = called(&[load(2, 1, 0), copy(1, 2)]);
    object(&argument, 2, &[store_byte(1, 3), set(0, 0), EXIT])
        .is_found("function (called by program): instruction 0 may write to the packet");
    // By way of the context, which it is given.
    object(&called(&[]), 0, &[load(6, 1, 0), store_byte(6, 0), set(0, 0), EXIT])
        .is_found("function (called by program)");
    // Out of the stack of who called it.
    let shown = called(&[load(2, 1, 0), store(10, 2, -8), copy(1, 10), add(1, -8)]);
    object(&shown, 4, &[load_long(6, 1, 0), store_byte(6, 0), set(0, 0), EXIT])
        .is_found("function (called by program)");
    // Returned.
    let returned: Vec<Code> = [call_function(), store_byte(0, 0)].into_iter().chain(pass()).collect();
    object(&returned, 0, &[load(0, 1, 0), EXIT]).is_found("program: instruction 1 may write to the packet");
    // Written into the stack of who called it.
    let filled: Vec<Code> = [copy(6, 1), set(4, 0), store(10, 4, -8), copy(2, 10), add(2, -8), call_function()]
        .into_iter()
        .chain([load_long(7, 10, -8), store_byte(7, 0)])
        .chain(pass())
        .collect();
    object(&filled, 5, &[load(6, 1, 0), store(2, 6, 0), set(0, 0), EXIT]).is_found("program: instruction 7 may write");
    // One that does nothing of the kind.
    object(&argument, 2, &[load(0, 1, 3), EXIT]).is_clean();
}

#[test]
fn helpers_that_write_packets_are_found_by_name() {
    for (helper, name) in [
        (9, "bpf_skb_store_bytes"),
        (44, "bpf_xdp_adjust_head"),
        (65, "bpf_xdp_adjust_tail"),
        (190, "bpf_xdp_store_bytes"),
        (23, "bpf_redirect"),
        (12, "bpf_tail_call"),
        (9999, "helper 9999"),
    ] {
        Object::xdp(&[&[call(helper)], &pass()]).is_found(&format!("instruction 0 calls {name}, which is not known"));
    }
    // Known ones that are told to write there.
    Object::xdp(&[&packet(), &[copy(1, 2), set(2, 4), set(3, 0), call(113)], &pass()]).is_found("to the packet");
    // Only what hands frames to sockets may do this.
    Object::xdp(&[&[call(54)], &pass()]).is_found("calls bpf_xdp_adjust_meta, and hands no frame to sockets");
    Object::xdp(&[&[call(51)], &pass()]).is_found("calls bpf_redirect_map, and hands no frame to sockets");
    Object::xdp(&[&[code(0x85, 0, 2, 0, 77)], &pass()]).is_found("calls a function of the kernel");
}

#[test]
fn context_and_metadata_are_not_written_either() {
    Object::xdp(&[&[set(2, 0), store(1, 2, 0)], &pass()]).is_found("to the context");
    Object::xdp(&[&[load(2, 1, 8), store_byte(2, 0)], &pass()]).is_found("to the metadata");
    let stamps = [load(2, 1, 8), store_byte(2, 0)];
    Object::of("xdp", "rstprobe_redirect", &[&stamps, &pass()], &[]).is_clean();
    // But not the packet, which begins where the metadata ends.
    Object::of("xdp", "rstprobe_redirect", &[&packet(), &[store_byte(2, 0)], &pass()], &[]).is_found("to the packet");
    // Where the classifier has its packet.
    let sent = |at| [load(2, 1, at), store_byte(2, 0), set(0, -1), EXIT];
    for at in [76, 80] {
        Object::of("classifier", "program", &[&sent(at)], &[]).is_found("to the packet");
    }
    Object::of("classifier", "program", &[&sent(4)], &[]).is_found("writes to what is not known");
}

#[test]
fn own_memory_may_be_written() {
    let map = [store(10, 1, -8), call(1), code(0x15, 0, 0, 1, 0), store_byte(0, 0)];
    Object::xdp(&[&map, &pass()]).is_clean();
    let ring = [call(131), code(0x15, 0, 0, 3, 0), store_byte(0, 0), copy(1, 0), call(132)];
    Object::xdp(&[&ring, &pass()]).is_clean();
    // How long the packet is, in the place of an index.
    let length = [copy(4, 3), code(0x1f, 4, 2, 0, 0), copy(6, 4), call(1), code(0x0f, 0, 6, 0, 0), store_byte(0, 0)];
    Object::xdp(&[&packet(), &length, &pass()]).is_clean();
    // A number is no memory.
    Object::xdp(&[&[set(2, 4096), store_byte(2, 0)], &pass()]).is_found("writes to what is not known");
}

#[test]
fn return_values_are_those_that_were_asked_for() {
    let wide = [code(0x18, 1, 0, 0, 0), code(0, 0, 0, 0, 0)];
    let action = |name: &'static str, global: &'static str| {
        Object::of("xdp", name, &[&wide, &[load(0, 1, 0), EXIT]], &[(0, global)])
    };
    action("program", "ACTION").is_clean();
    action("program", "DEPTH").is_found("may return");
    for value in [0, 1, 3, 4, 5] {
        Object::xdp(&[&[set(0, value), EXIT]]).is_found("may return");
    }
    // What is read of the packet, and what is computed, is not known.
    Object::xdp(&[&packet(), &[load(0, 2, 0), EXIT]]).is_found("returns what is not known");
    Object::xdp(&[&[set(0, 1), add(0, 1), EXIT]]).is_found("returns what is not known");
    // One path of two.
    Object::xdp(&[&packet(), &[set(0, 2), code(0x15, 3, 0, 1, 0), set(0, 1), EXIT]]).is_found("may return");
    for (value, is_clean) in [(-1, true), (0, false), (2, false), (7, false)] {
        let object = Object::of("classifier", "program", &[&[set(0, value), EXIT]], &[]);
        assert_eq!(object.findings().is_empty(), is_clean, "{value}");
    }
    Object::of("xdp", "rstprobe_redirect", &[&[set(0, 4), EXIT]], &[]).is_clean();
    Object::of("tracepoint/tcp/x", "program", &[&[load(0, 1, 0), EXIT]], &[]).is_clean();
    Object::of("kprobe", "program", &[&pass()], &[]).is_found("of no kind that is known");
}

#[test]
fn a_redirected_frame_falls_back_to_the_action_only() {
    let wide = [code(0x18, 3, 0, 0, 0), code(0, 0, 0, 0, 0)];
    let object = |global: &'static str| {
        let sign = [copy(1, 0), code(0xc7, 1, 0, 0, 63), code(0xac, 0, 1, 0, 0), code(0x1c, 0, 1, 0, 0), EXIT];
        Object::of("xdp", "rstprobe_redirect", &[&wide, &[load(3, 3, 0), call(51)], &sign], &[(0, global)])
    };
    object("ACTION").is_clean();
    object("DEPTH").is_found("calls bpf_redirect_map with another last resort than ACTION");
}
