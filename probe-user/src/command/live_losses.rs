//! Live losses: what was not seen, and what is in no connection, once watching has ended.

use crate::{
    agent::session::{Closed, Session},
    output::{counters, counters::Unseen},
    plan::LivePlan,
    report::{InterfaceUse, Loss, WatchGaps, Window, flood::Flood},
    source::live::engine::{Action, Depth},
};

/// What is told below the connections.
pub(super) struct Told {
    pub(super) losses: Vec<Loss>,
    /// Every counter, for who checks the sums.
    pub(super) books: Vec<(&'static str, u64)>,
    pub(super) flood: Flood,
    /// Segments that should be in the sums and are not.
    pub(super) difference: u64,
}

/// What a session that has ended has counted; `gone` interfaces went away meanwhile, and did not come back.
pub(super) fn told(closed: &mut Closed, gone: u64, window: &Window) -> Told {
    let gaps = || window.interfaces.iter().map(|interface| &interface.gaps);
    let missed = closed.received.iter().flatten().map(|received| received.missed).sum();
    let unseen = Unseen {
        resets_lost: closed.resets_lost,
        host_events_lost: closed.host_events_lost,
        interfaces_gone: gone,
        gaps: gaps().map(WatchGaps::count).sum(),
        gaps_ns: gaps().map(WatchGaps::sum_ns).sum(),
        missed_by_nic: missed,
        not_given: closed.unseen,
    };
    let mut losses = counters::live(&closed.accounting, &closed.stats, &unseen);
    let mut books = counters::live_accounting(&closed.accounting, &closed.stats);
    books.extend([
        ("agent.stalls", closed.time.stalls),
        ("agent.stalled_ms", closed.time.stalled_ns / 1_000_000),
        ("clock.steps", closed.time.clock_steps),
    ]);
    let xsk = closed.xsk.take().unwrap_or_default();
    if xsk.redirected > 0 {
        losses.extend(counters::sockets(&xsk));
        books.extend(counters::socket_accounting(&xsk));
    }
    if let Some(evidence) = &closed.evidence {
        losses.extend(counters::evidence(evidence));
        books.extend(counters::evidence_accounting(evidence));
    }
    let difference = closed.accounting.difference() + xsk.difference();
    Told { losses, books, flood: counters::flood(&closed.services), difference }
}

/// What is watched, when watching begins.
pub(super) fn window(plan: &LivePlan, session: &Session) -> Window {
    let interfaces = session.attachments().iter().zip(session.modes()).map(|(attachment, mode)| InterfaceUse {
        name: attachment.device.name.clone(),
        mode,
        driver: attachment.device.driver.clone(),
        received: None,
        queues: Vec::new(),
        gaps: WatchGaps::default(),
    });
    Window {
        start_ns: session.started_ns,
        end_ns: session.started_ns,
        is_one_way: session.is_one_way,
        interfaces: interfaces.collect(),
        depth: match plan.engine.depth {
            Depth::Full => "full",
            Depth::Control => "control",
            Depth::Auto => "auto",
        },
        action: match plan.engine.action {
            Action::Pass => "pass",
            Action::Drop => "drop",
        },
        is_cut_short: false,
        has_no_tcp: false,
    }
}

/// Adds what is known of it when watching has ended; `gaps` in which each interface was away.
pub(super) fn complete(window: &mut Window, closed: &mut Closed, gaps: Vec<WatchGaps>) {
    for (interface, gaps) in window.interfaces.iter_mut().zip(gaps) {
        interface.gaps = gaps;
    }
    window.end_ns = closed.ended_ns;
    for (interface, received) in window.interfaces.iter_mut().zip(&closed.received) {
        interface.received.clone_from(received);
    }
    for (interface, queues) in window.interfaces.iter_mut().zip(std::mem::take(&mut closed.queues)) {
        interface.queues = queues;
    }
}
