//! Loss statement: what is in no connection and why, and whether everything was seen.

use std::fmt::Write as _;

use super::{Loss, Window, flood, interface_counters, quality::Quality, text};
use crate::printable;

/// Frames of long connections that evidence does without.
const ON_PURPOSE: &str = "evidence.between";
/// What may have been TCP, if it could be read.
const UNREADABLE: [&str; 2] = ["rejected.later_fragment", "rejected.encrypted"];
/// Counters of what was no TCP segment.
const NOT_TCP: &str = "rejected.";

/// Beginning of the statement where all was seen and nothing was lost.
pub const NOTHING_LOST: &str = "Nothing was lost";

pub(super) const HALF_SEEN: &str = "Only what comes in was seen, half of each connection: no verdict here is sure, and what was not seen may have \
                happened. --host sees both halves.\n";

/// What is to be known before any table: that half was not seen, or that segments were only counted; `None` otherwise.
pub fn view_notice(window: &Window, flood: &flood::Flood) -> Option<String> {
    let half = if window.is_one_way { HALF_SEEN } else { "" };
    let notice = half.to_owned() + &flood::headline(flood);
    (!notice.is_empty()).then(|| notice.trim_end().to_owned())
}

/// What is not in the connections, and why; that nothing was lost, only where also everything was seen.
pub fn loss_statement(losses: &[Loss], window: &Window, quality: &Quality) -> String {
    let mut out = String::new();
    let mut line =
        |arguments: std::fmt::Arguments<'_>| writeln!(out, "{arguments}").expect("a String takes everything");
    let list = |losses: &[&Loss]| {
        losses.iter().map(|loss| format!("{} {}", loss.name, loss.count)).collect::<Vec<_>>().join(", ")
    };
    let (matter, rest): (Vec<&Loss>, Vec<&Loss>) =
        losses.iter().filter(|loss| loss.count > 0).partition(|loss| loss.matters);
    let (unreadable, rest): (Vec<&Loss>, Vec<&Loss>) =
        rest.into_iter().partition(|loss| UNREADABLE.contains(&loss.name));
    let unseen = unseen(window, quality, !unreadable.is_empty());
    match (matter.is_empty(), unseen.is_empty()) {
        (true, true) if window.has_no_tcp => line(format_args!("\nNo TCP segment was seen.")),
        (true, true) => line(format_args!("\n{NOTHING_LOST}: every TCP segment seen is accounted for.")),
        (true, false) => line(format_args!(
            "\nEvery TCP segment seen is accounted for, but not all was seen: {}.",
            unseen.join("; ")
        )),
        (false, is_all_seen) => {
            line(format_args!(
                "\nNot (fully) in the connections above: {} (`rstprobe explain {}` says what that is)",
                list(&matter),
                matter[0].name
            ));
            if !is_all_seen {
                line(format_args!("Nor was all seen: {}.", unseen.join("; ")));
            }
        }
    }
    for interface in &window.interfaces {
        let driver = interface.received.as_ref().map(|received| &received.driver);
        if let Some(notice) =
            driver.and_then(|driver| driver.notice(&printable::escaped(&interface.name), window.action))
        {
            line(format_args!("{notice}"));
        }
    }
    for interface in &window.interfaces {
        if let Some(queues) = interface_counters::queues(&printable::escaped(&interface.name), &interface.queues) {
            line(format_args!("{queues}"));
        }
    }
    let (on_purpose, rest): (Vec<&Loss>, Vec<&Loss>) = rest.into_iter().partition(|loss| loss.name == ON_PURPOSE);
    let (not_tcp, also): (Vec<&Loss>, Vec<&Loss>) = rest.into_iter().partition(|loss| loss.name.starts_with(NOT_TCP));
    let rest = [
        ("Not readable as TCP", unreadable),
        ("Not TCP segments", not_tcp),
        ("Noticed, and counted all the same", also),
        ("Left out on purpose", on_purpose),
    ];
    for (title, losses) in rest {
        if !losses.is_empty() {
            line(format_args!("{title}: {}", list(&losses)));
        }
    }
    out
}

/// Why not everything was seen, as far as that can be told.
fn unseen(window: &Window, quality: &Quality, has_unreadable: bool) -> Vec<String> {
    let mut why = Vec::new();
    if window.is_cut_short {
        why.push("the capture could not be read to its end".to_owned());
    }
    if window.is_one_way {
        why.push("what this host sent was not watched".to_owned());
    }
    for interface in &window.interfaces {
        let Some(first) = interface.gaps.told().first() else { continue };
        let name = printable::escaped(&interface.name);
        let seconds = interface.gaps.seconds();
        let times =
            if interface.gaps.count() == 1 { String::new() } else { format!(", {} times", interface.gaps.count()) };
        let first = text::timestamp(first.from_ns);
        why.push(format!("{name} was away and not watched for {seconds:.1} s at most, from {first} on{times}"));
    }
    if quality.whole.one_sided > 0 {
        let connections = quality.whole.one_sided;
        let noun = if connections == 1 { "connection" } else { "connections" };
        why.push(format!("{connections} {noun} in one direction only"));
    }
    // Where data was deliberately not recorded missing bytes tell nothing.
    if quality.whole.gapped > 0 && !quality.shed {
        let perhaps = if quality.whole.gapped > quality.wrong_checksums {
            "never passed here"
        } else {
            "never passed here, or were left out for a wrong checksum"
        };
        why.push(format!("of {} connections bytes were acknowledged that {perhaps}", quality.whole.gapped));
    }
    if has_unreadable {
        why.push("some packets cannot be read as TCP, see below".to_owned());
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::CaptureLoss;

    fn loss(name: &'static str, count: u64, matters: bool) -> Loss {
        Loss { name, count, matters }
    }

    #[test]
    fn nothing_was_lost_only_where_all_was_seen() {
        let whole = CaptureLoss { connections: 5, gapped: 1, ..CaptureLoss::default() };
        let (window, quality) = (Window::default(), Quality::default());
        let said = |window: &Window, quality: &Quality, losses: &[Loss]| loss_statement(losses, window, quality);
        let all = [loss("rejected.not_tcp", 3, false), loss("checksum.tcp", 0, true)];
        let well = said(&window, &quality, &all);
        assert_eq!(
            well,
            "\nNothing was lost: every TCP segment seen is accounted for.\nNot TCP segments: rejected.not_tcp 3\n"
        );
        let empty = Window { has_no_tcp: true, ..Window::default() };
        assert_eq!(said(&empty, &quality, &[]), "\nNo TCP segment was seen.\n");
        let cut = Window { is_cut_short: true, ..Window::default() };
        let one_way = Window { is_one_way: true, ..Window::default() };
        let half = Quality { whole: CaptureLoss { one_sided: 7, ..CaptureLoss::default() }, ..Quality::default() };
        let gapped = Quality { whole, ..Quality::default() };
        for (window, quality, losses, why) in [
            (&cut, &quality, &[][..], "the capture could not be read to its end"),
            (&one_way, &quality, &[], "what this host sent was not watched"),
            (&window, &half, &[], "7 connections in one direction only"),
            (&window, &gapped, &[], "of 1 connections bytes were acknowledged"),
            (&window, &quality, &[loss("rejected.encrypted", 2, false)], "some packets cannot be read as TCP"),
        ] {
            let text = said(window, quality, losses);
            assert!(text.starts_with("\nEvery TCP segment seen is accounted for, but not all was seen: "), "{text}");
            assert!(text.contains(why), "{text}");
        }
        let both = said(&cut, &half, &[loss("link_unsupported", 10, true)]);
        assert!(
            both.starts_with("\nNot (fully) in the connections above: link_unsupported 10 (`rstprobe explain link_unsupported` says what that is)\nNor was all seen: the"),
            "{both}"
        );
        let shed = Quality { shed: true, ..gapped };
        assert!(said(&window, &shed, &[]).starts_with("\nNothing was lost"), "missing bytes were left out on purpose");
    }

    #[test]
    fn what_might_have_been_tcp_is_not_called_something_else() {
        let losses = [
            loss("rejected.not_tcp", 1, false),
            loss("rejected.encrypted", 2, false),
            loss("rejected.later_fragment", 3, false),
            loss("cropped", 4, false),
        ];
        let text = loss_statement(&losses, &Window::default(), &Quality::default());
        assert!(text.contains("Not readable as TCP: rejected.encrypted 2, rejected.later_fragment 3\n"), "{text}");
        assert!(text.contains("Not TCP segments: rejected.not_tcp 1\n"), "{text}");
        assert!(text.contains("Noticed, and counted all the same: cropped 4\n"), "{text}");
    }
}
