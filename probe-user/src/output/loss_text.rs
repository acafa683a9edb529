//! Loss text: the loss statement and what is to be said of the capture, as they stand below what is printed.

use crate::{
    aggregate::CaptureLoss,
    output,
    report::{Loss, Window, flood::Flood, losses, quality::Quality},
    tracker::TrackerStats,
};

/// Losses of data segments that are ours and not the capture's.
const DELIBERATE: [&str; 2] = ["shed.data_segments", "untracked.data_segments"];
/// Segments that were left out for a wrong checksum.
const WRONG_CHECKSUMS: [&str; 2] = ["checksum.tcp", "checksum.ip"];

/// How good the capture is, of everything: of what is shown, and of what is not.
pub(crate) fn quality(whole: CaptureLoss, losses: &[Loss], stats: &TrackerStats) -> Quality {
    Quality {
        copies: stats.copies,
        whole,
        shed: losses.iter().any(|loss| DELIBERATE.contains(&loss.name) && loss.count > 0),
        wrong_checksums: losses.iter().filter(|loss| WRONG_CHECKSUMS.contains(&loss.name)).map(|loss| loss.count).sum(),
    }
}

/// The loss statement, and what is to be said of the capture; each with an end of line.
pub(crate) fn statement(counted: &[Loss], window: &Window, quality: &Quality) -> String {
    let notices = quality.notices();
    losses::loss_statement(counted, window, quality)
        + &notices.iter().flat_map(|notice| [notice.as_str(), "\n"]).collect::<String>()
}

/// Says on standard error what is to be known of the view: that half was not seen, that segments were only counted.
pub(crate) fn say_view(window: &Window, flood: &Flood) {
    if let Some(notice) = losses::view_notice(window, flood) {
        output::say(&notice);
    }
}

/// Says the statement on standard error where it is more than that nothing was lost: standard output has data only.
pub(crate) fn say_unless_whole(statement: &str, quality: &Quality) {
    if !statement.trim_start().starts_with(losses::NOTHING_LOST) || !quality.notices().is_empty() {
        output::say(statement.trim());
    }
}
