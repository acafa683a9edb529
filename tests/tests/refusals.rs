//! Refusals that explain themselves: interfaces that are not there, taken hooks, missing privileges, bad values; and what
//! `doctor` tells beforehand.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use probe_tests::{
    both_legs::{assert_calm, connections, ndjson, network, one_shot, refused, start, words},
    leftover,
    netns::{CLIENT_LEG, ENDPOINT_INTERFACE, SERVER_LEG},
    oneshot::OneShot,
    tier::privileged,
};

#[test]
fn an_unknown_interface_is_named_with_those_there_are() {
    privileged("refusals", "an_unknown_interface_is_named_with_those_there_are", || {
        let network = network();
        let finished = one_shot(&network, &["snapshot", "-i", "nowhere0"]);
        refused(&network, &finished, 2, &["nowhere0: no such interface", CLIENT_LEG, SERVER_LEG]);
    });
}

#[test]
fn one_bad_interface_attaches_none() {
    privileged("refusals", "one_bad_interface_attaches_none", || {
        let network = network();
        network.middle.ip(&format!("link set {SERVER_LEG} down")).expect("ip works");
        let finished = one_shot(&network, &words("run", &[]));
        refused(&network, &finished, 5, &[&format!("{SERVER_LEG}: the interface is down"), "ip link set"]);
    });
}

#[test]
fn a_taken_hook_is_told_with_its_holder() {
    privileged("refusals", "a_taken_hook_is_told_with_its_holder", || {
        let network = network();
        let probe = start(&network, "run", &["--format", "ndjson"]);
        let programs = leftover::attached(&network.middle).expect("ip works");
        let id = format!("id {}", programs.first().expect("attached"));
        let [whose, step] = ["another rstprobe, pid", "kill -INT"].map(|before| format!("{before} {}", probe.pid()));
        for mode in ["native", "generic"] {
            let second = one_shot(&network, &words("run", &["--mode", mode]));
            assert_eq!(second.status.code(), Some(5), "{}", second.stderr);
            for text in ["the XDP hook is taken by program", &id, &whose, &step, CLIENT_LEG] {
                assert!(second.stderr.contains(text), "`{text}` is not in: {}", second.stderr);
            }
            assert_calm(&second);
        }
        // And the first one is none the worse.
        connections(&network, 2);
        let finished = probe.stop().expect("it ends");
        assert_eq!(ndjson(&finished.stdout).last().expect("a summary")["connections"], 2);
    });
}

#[test]
fn missing_privileges_are_named_with_the_remedy() {
    privileged("refusals", "missing_privileges_are_named_with_the_remedy", || {
        let network = network();
        for command in [&["snapshot", "-i", CLIENT_LEG][..], &["run", "-i", CLIENT_LEG], &["doctor", "-i", CLIENT_LEG]]
        {
            let finished = OneShot::new(command).unprivileged().run_in(&network.middle).expect("it runs");
            refused(&network, &finished, 4, &["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "setcap cap_bpf"]);
            assert!(!finished.stderr.contains("CAP_NET_RAW"), "not needed for this: {}", finished.stderr);
        }
        let promiscuous = ["snapshot", "-i", CLIENT_LEG, "--promisc"];
        let finished = OneShot::new(promiscuous).unprivileged().run_in(&network.middle).expect("it runs");
        refused(&network, &finished, 4, &["CAP_NET_RAW", "CAP_BPF"]);
    });
}

#[test]
fn a_big_mtu_needs_many_buffers_or_the_generic_mode() {
    privileged("refusals", "a_big_mtu_needs_many_buffers_or_the_generic_mode", || {
        let network = network();
        for leg in [CLIENT_LEG, SERVER_LEG] {
            network.middle.ip(&format!("link set {leg} mtu 9000")).expect("ip works");
        }
        for end in [&network.client, &network.server] {
            end.ip(&format!("link set {ENDPOINT_INTERFACE} mtu 9000")).expect("ip works");
        }
        let finished = one_shot(&network, &words("snapshot", &["--single-buffer", "--for", "1s"]));
        refused(&network, &finished, 5, &["MTU 9000", "--mode generic", "3498"]);
        for more in [&["--single-buffer", "--mode", "generic"][..], &[]] {
            let probe = start(&network, "run", &[more, &["--format", "ndjson"]].concat());
            connections(&network, 2);
            let finished = probe.stop().expect("it ends");
            assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
            assert_eq!(ndjson(&finished.stdout).last().expect("a summary")["connections"], 2, "{more:?}");
        }
    });
}

#[test]
fn bad_values_are_wrong_usage() {
    privileged("refusals", "bad_values_are_wrong_usage", || {
        let network = network();
        let lines = [
            "--slots 1000",
            "--slots 32",
            "--slots x",
            "--log 0",
            "--drain 0ms",
            "--drain 11s",
            "--drain soon",
            "--for 0s",
            "--for 366days",
            "--max-connections 0",
            "--mode fast",
            "--depth deep",
            "--action accept",
            "--format xml",
            "--unheard-of",
        ];
        for line in lines {
            let more: Vec<&str> = line.split(' ').collect();
            let finished = one_shot(&network, &words("snapshot", &more));
            refused(&network, &finished, 2, &[more[0]]);
            assert_eq!(finished.stdout, "", "{line}");
        }
        refused(&network, &one_shot(&network, &words("run", &["--for=-1s"])), 2, &["--for"]);
        refused(&network, &one_shot(&network, &words("run", &["-i", CLIENT_LEG])), 2, &["named twice"]);
        refused(&network, &one_shot(&network, &["snapshot"]), 2, &["--interface"]);
        refused(&network, &one_shot(&network, &["read", "no-such.pcap"]), 2, &["no-such.pcap"]);
    });
}

#[test]
fn doctor_tells_the_facts() {
    privileged("refusals", "doctor_tells_the_facts", || {
        let network = network();
        let finished = one_shot(&network, &["doctor", "-i", CLIENT_LEG]);
        refused(&network, &finished, 0, &[]);
        let fact_of = |stdout: &str, name: &str| {
            let line = stdout.lines().find(|line| line.trim_start().starts_with(name));
            line.unwrap_or_else(|| panic!("no {name} in {stdout}")).trim().to_owned()
        };
        let fact = |name: &str| fact_of(&finished.stdout, name);
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("procfs");
        assert!(fact("kernel ").ends_with(release.trim()), "{}", fact("kernel "));
        assert!(fact("verifier").ends_with("accepts the program"));
        assert!(fact("interface").ends_with(CLIENT_LEG));
        assert!(fact("driver").ends_with("veth"));
        assert!(fact("state").ends_with("up"));
        assert!(fact("MTU").ends_with("1500"));
        assert!(fact("XDP hook").ends_with("free"));
        assert!(fact("would use").contains("native"));
        assert!(!finished.stdout.contains(SERVER_LEG), "only the interface that was named");
        let probe = start(&network, "run", &[]);
        let taken = one_shot(&network, &["doctor", "-i", CLIENT_LEG]);
        assert!(taken.stdout.contains("taken by program"), "{}", taken.stdout);
        assert_eq!(taken.status.code(), Some(5), "{}", taken.stderr);
        let whose = format!("of another rstprobe, pid {}", probe.pid());
        assert!(taken.stdout.contains(&whose) && taken.stderr.contains(&whose), "{}{}", taken.stdout, taken.stderr);
        assert!(
            fact_of(&taken.stdout, "would use").contains(&format!("kill -INT {}", probe.pid())),
            "{}",
            taken.stdout
        );
        assert_calm(&taken);
        drop(probe);
        network.middle.ip(&format!("link set {CLIENT_LEG} down")).expect("ip works");
        let down = one_shot(&network, &["doctor", "-i", CLIENT_LEG]);
        refused(&network, &down, 5, &[&format!("not ready: {CLIENT_LEG}: the interface is down")]);
        assert!(down.stdout.contains("would use"), "{}", down.stdout);
        refused(&network, &one_shot(&network, &["doctor", "-i", "nowhere0"]), 2, &["nowhere0", CLIENT_LEG]);
    });
}
