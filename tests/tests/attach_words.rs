//! Attachments that are refused, or only tried: what is told, in whose words, and that nothing stays.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::ffi::OsString;

use probe_tests::{
    leftover,
    netns::{Loop, SINK, SOURCE},
    oneshot::OneShot,
    probe::{Finished, Probe},
    sys::tun::Tun,
    tier::{privileged, say},
};

fn one_shot(place: &Loop, words: &[&str]) -> Finished {
    OneShot::new(words).run_in(&place.namespace).expect("it runs to its end")
}

fn place() -> Loop {
    let place = Loop::build().expect("a namespace");
    place.namespace.ip("link set lo up").expect("ip works");
    place
}

/// Asserts an exit code, texts on stderr, and that nothing is attached.
#[track_caller]
fn ended(place: &Loop, finished: &Finished, code: i32, texts: &[&str]) {
    let said = &finished.stderr;
    assert_eq!(finished.status.code(), Some(code), "{said}{}", finished.stdout);
    for text in texts {
        assert!(said.contains(text), "`{text}` is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(leftover::attached(&place.namespace).expect("ip works").len(), 0);
}

/// The line of `doctor` with this name.
#[track_caller]
fn fact<'a>(finished: &'a Finished, name: &str) -> &'a str {
    let found = finished.stdout.lines().find(|line| line.trim_start().starts_with(name));
    found.unwrap_or_else(|| panic!("no {name} in {}", finished.stdout))
}

#[test]
fn a_refused_attachment_is_told_in_the_kernels_words() {
    privileged("attach_words", "a_refused_attachment_is_told_in_the_kernels_words", || {
        let place = place();
        place.namespace.ip(&format!("link set {SOURCE} mtu 9000")).expect("ip works");
        let finished = one_shot(&place, &["snapshot", "-i", SINK, "--single-buffer", "--for", "1s"]);
        // drivers/net/veth.c: veth_xdp_set.
        let words = [&format!("{SINK}: driver veth refused native XDP: \""), "Peer MTU is too large", "--mode generic"];
        ended(&place, &finished, 5, &words);
        // net/core/dev.c: dev_xdp_attach.
        let finished = one_shot(&place, &["snapshot", "-i", "lo", "--for", "1s"]);
        let words = ["lo: driver loopback refused native XDP: \"", "XDP in native mode\"; use --mode generic"];
        ended(&place, &finished, 5, &words);
    });
}

#[test]
fn trying_tells_what_the_kernel_does_and_leaves_nothing() {
    privileged("attach_words", "trying_tells_what_the_kernel_does_and_leaves_nothing", || {
        let place = place();
        let finished = one_shot(&place, &["doctor", "--try", "-i", SINK]);
        ended(&place, &finished, 0, &["reset the link"]);
        assert!(fact(&finished, "tried native").ends_with("attached, and detached again"));
        assert!(fact(&finished, "would use").contains("native mode"));
        let finished = one_shot(&place, &["doctor", "--try", "-i", "lo"]);
        ended(&place, &finished, 0, &[]);
        assert!(fact(&finished, "would use").contains("--mode generic"));
        assert!(fact(&finished, "tried native").contains("driver loopback refused native XDP: \""));
        assert!(fact(&finished, "tried generic").ends_with("attached, and detached again"));
        // Where nothing is said of trying, nothing is tried.
        let finished = one_shot(&place, &["doctor", "-i", SINK]);
        ended(&place, &finished, 0, &[]);
        assert!(!finished.stdout.contains("tried") && finished.stderr.is_empty(), "{}", finished.stderr);
    });
}

#[test]
fn what_is_not_free_is_not_tried() {
    privileged("attach_words", "what_is_not_free_is_not_tried", || {
        let place = place();
        ended(&place, &one_shot(&place, &["doctor", "--try"]), 2, &["--interface"]);
        let words: Vec<OsString> = ["run", "-i", SINK].map(Into::into).to_vec();
        let probe = Probe::start(&place.namespace, &words).expect("it attaches");
        let before = leftover::attached(&place.namespace).expect("ip works");
        let finished = one_shot(&place, &["doctor", "--try", "-i", SINK]);
        assert_eq!(finished.status.code(), Some(5), "{}", finished.stderr);
        assert!(finished.stderr.contains("taken by program"), "{}", finished.stderr);
        assert!(!finished.stdout.contains("tried"), "{}", finished.stdout);
        let second = one_shot(&place, &["snapshot", "-i", SINK, "--mode", "generic", "--for", "1s"]);
        assert_eq!(second.status.code(), Some(5), "{}", second.stderr);
        assert!(second.stderr.contains("taken by program"), "{}", second.stderr);
        assert_eq!(leftover::attached(&place.namespace).expect("ip works"), before, "the one that runs goes on");
        drop(probe);
    });
}

#[test]
fn link_types_that_are_not_understood_are_refused_by_name() {
    privileged("attach_words", "link_types_that_are_not_understood_are_refused_by_name", || {
        let place = place();
        let types = [
            (280, "280 (CAN bus)"),
            (32, "32 (InfiniBand)"),
            (803, "803 (IEEE 802.11 with radiotap header)"),
            (824, "824 (netlink monitor)"),
        ];
        for (number, name) in types {
            let made = place.namespace.enter(|| {
                let tun = Tun::create("other0")?;
                tun.pose_as(number)?;
                Ok(tun)
            });
            let tun = match made {
                Ok(tun) => tun,
                Err(why) => {
                    say(&format!("SKIP link type {name}: {why}"));
                    continue;
                }
            };
            place.namespace.ip("link set other0 up").expect("ip works");
            let text = format!("other0: link type {name} is not understood");
            for command in [&["snapshot", "--for", "1s"][..], &["run", "--mode", "generic"], &["doctor", "--try"]] {
                let finished = one_shot(&place, &[command, &["-i", "other0"]].concat());
                ended(&place, &finished, 5, &[&text]);
                assert!(!finished.stdout.contains("tried"), "{}", finished.stdout);
            }
            drop(tun);
        }
    });
}

#[test]
fn doctor_and_kernel_agree_on_what_has_no_native_mode() {
    privileged("attach_words", "doctor_and_kernel_agree_on_what_has_no_native_mode", || {
        let place = place();
        for kind in ["dummy", "bridge"] {
            if let Err(why) = place.namespace.ip(&format!("link add other0 type {kind}")) {
                say(&format!("SKIP {kind}: {why}"));
                continue;
            }
            place.namespace.ip("link set other0 up").expect("ip works");
            let finished = one_shot(&place, &["doctor", "--try", "-i", "other0"]);
            ended(&place, &finished, 0, &[]);
            let (foreseen, tried) = (fact(&finished, "would use"), fact(&finished, "tried native"));
            assert!(foreseen.contains("--mode generic") || foreseen.contains("known only by trying"), "{foreseen}");
            assert!(tried.contains("refused native XDP: \""), "{tried}");
            place.namespace.ip("link del other0").expect("ip works");
        }
    });
}
