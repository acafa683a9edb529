//! The same frames by capture, by XDP counting and through AF_XDP: the same records.
//!
//! Thousands of conversations are sent over a veth pair into an attached probe (depth full, action drop), and written
//! to a capture with the time at which each was sent; `rstprobe read` of it must say what the live probe said.
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use probe_tests::{
    conversation, oracle,
    parity::{Differences, Path, compare, documents, listing, nonsense},
    pcap::Random,
    tier::{privileged, say},
};
use probe_user::source::capture::CaptureFile;

/// Of so many records one at most is judged otherwise live than from a capture.
const LIKE_ONE_IN: usize = 150;

/// Ten thousand conversations in all; half of them at a time, which is what can be replayed before the first timers.
fn generated(path: Path, seed: u64) {
    let frames = conversation::traffic(&mut Random::new(seed), 5000).expect("frames");
    let [live, read] = documents(path, &frames);
    let Differences { connections, facts, causes, apart } = compare(path, &live, &read, |_| true);
    assert!(connections >= 5000, "only {connections} connections");
    assert!(facts.is_empty(), "{}", listing(&facts));
    match path {
        // The live probe keeps only some segments of an epoch verbatim.
        Path::Count => assert!(causes.len() * LIKE_ONE_IN <= connections, "{}", listing(&causes)),
        _ => assert!(causes.is_empty(), "{}", listing(&causes)),
    }
    let (name, differ, apart_ms) = (path.name(), causes.len(), apart * 1e3);
    say(&format!("{name}: {connections} records, {differ} judged otherwise; times at most {apart_ms:.3} ms apart"));
}

#[test]
fn generated_conversations() {
    privileged("parity", "generated_conversations", || {
        generated(Path::Count, 7);
        generated(Path::Count, 8);
    });
}

#[test]
fn generated_conversations_through_afxdp() {
    privileged("parity", "generated_conversations_through_afxdp", || {
        generated(Path::AfXdp, 7);
        generated(Path::AfXdp, 8);
    });
}

#[test]
fn each_direction_on_a_socket_of_its_own() {
    privileged("parity", "each_direction_on_a_socket_of_its_own", || generated(Path::AfXdpTwoLegs, 9));
}

/// Zeek's random conversations, with their order and without their time; `None` where they are not at hand.
fn random(seed: &str) -> Option<Vec<Vec<u8>>> {
    let Some(folder) = oracle::folder() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have ../shared/oracle");
        say(&format!("SKIP {seed}: no captures at ../shared/oracle"));
        return None;
    };
    let file = folder.join("zeek-random").join(seed).with_extension("pcap");
    let mut capture = CaptureFile::open(&file).expect("a capture");
    let mut frames = vec![];
    while let Some(frame) = capture.next_frame().expect("readable") {
        frames.push(frame.bytes.to_vec());
    }
    Some(frames)
}

/// The counting path: what makes sense is the same, and nearly all of the rest.
fn counted(seed: &str) {
    let Some(frames) = random(seed) else { return };
    privileged("parity", seed, || {
        let nonsense = nonsense(&frames);
        let [live, read] = documents(Path::Count, &frames);
        let sane = compare(Path::Count, &live, &read, |ends| !nonsense.contains(ends));
        assert!(sane.connections >= 2000, "only {} connections", sane.connections);
        assert!(sane.facts.is_empty(), "{}", listing(&sane.facts));
        // The live probe keeps only some segments of an epoch verbatim.
        assert!(sane.causes.len() * LIKE_ONE_IN <= sane.connections, "{}", listing(&sane.causes));
        // One slot may hold what become several records when a conversation makes no sense.
        let all = compare(Path::Count, &live, &read, |_| true);
        let differing = all.facts.len() + all.causes.len();
        assert!(differing * 100 <= all.connections, "{}", listing(&all.facts));
        say(&format!("{} of {} records, {} sane; {differing} differ", all.connections, seed, sane.connections));
    });
}

/// AF_XDP has every frame: nothing differs, sense or not.
fn read_from_sockets(seed: &str) {
    let Some(frames) = random(seed) else { return };
    privileged("parity", &format!("{seed} through AF_XDP"), || {
        let [live, read] = documents(Path::AfXdp, &frames);
        let all = compare(Path::AfXdp, &live, &read, |_| true);
        assert!(all.connections >= 2000, "only {} connections", all.connections);
        assert!(all.facts.is_empty(), "{}", listing(&all.facts));
        assert!(all.causes.is_empty(), "{}", listing(&all.causes));
        say(&format!("afxdp: {} of {seed} records, none differs", all.connections));
    });
}

#[test]
fn seed101() {
    counted("seed101");
    read_from_sockets("seed101");
}

#[test]
fn seed102() {
    counted("seed102");
    read_from_sockets("seed102");
}
