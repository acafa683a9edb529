//! `rstprobe snapshot` and `rstprobe run`: watch, then print; or print while watching. What is printed: `output/view.rs`.

use std::time::Instant;

use tokio::time::{MissedTickBehavior, interval};

use super::{
    live_losses::{self, Told},
    zones,
};
use crate::{
    agent::{
        descriptors,
        interface_watch::Interfaces,
        session::{Closed, Session, TICK},
        signals,
        signals::Signals,
    },
    error::RunError,
    output,
    output::{overwriting, view::View, writer::Stdout},
};
use crate::{plan::WatchPlan, report::Window, sandbox::Policy, source::Domain};

/// Watches as planned and prints.
///
/// # Errors
/// What prevents watching or printing.
pub(crate) fn watch(plan: &WatchPlan, policy: Policy) -> Result<(), RunError> {
    descriptors::ensure()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    runtime.block_on(watch_async(plan, policy))
}

async fn watch_async(plan: &WatchPlan, policy: Policy) -> Result<(), RunError> {
    output::refuse_terminal(plan.view.compression)?;
    overwriting::refuse_overwriting(&plan.view, plan.live.evidence.as_ref(), &[])?;
    let zones = zones::load(plan.zones.as_ref(), zones::of_interfaces(&plan.live))?;
    zones::check(plan.view.filter.as_ref(), &zones)?;
    zones::check(plan.live.evidence.as_ref().map(|evidence| &evidence.of), &zones)?;
    // Handlers first: a signal that comes while attaching must not leave before the final drain.
    let mut signals = Signals::listen()?;
    let mut view = View::open(&plan.view, Stdout::Direct)?;
    let mut session = Session::open(&plan.live, zones, policy)?;
    // A thread, and so within what the session has left itself.
    view.print_by(Stdout::of_traffic(plan.view.compression)?);
    let window = live_losses::window(&plan.live, &session);
    let mut interfaces = Interfaces::new(session.attachments(), session.now_ns());
    announce(plan, &session);
    let mut outcome = view.begin(session.started_ns);
    let started = Instant::now();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while outcome.is_ok() && plan.duration.is_none_or(|duration| started.elapsed() < duration) {
        tokio::select! {
            () = signals.end() => break,
            _ = ticks.tick() => {}
        }
        outcome = session
            .tick()
            .and_then(|()| view.take(&mut session.take_closed()))
            .and_then(|()| interfaces.look(&mut session));
        view.progress(started.elapsed(), "");
    }
    session.detach_egress();
    interfaces.look_last(&mut session);
    // From here on a signal is a second one, or there is nothing more to interrupt but the printing.
    signals::end_at_once_on_the_next();
    // Whatever happened, what was measured is drained and printed; a reader that has gone wants none of it.
    let closed = session.close();
    view.end_progress();
    match outcome {
        Err(RunError::BrokenPipe) if plan.view.json_out.is_none() => Err(RunError::BrokenPipe),
        outcome => finish(view, window, closed, interfaces).and(outcome),
    }
}

/// Prints, whatever goes wrong; then tells the first thing that did.
fn finish(mut view: View, mut window: Window, mut closed: Closed, interfaces: Interfaces) -> Result<(), RunError> {
    let taken = view.take_last(std::mem::take(&mut closed.rest));
    let gone = interfaces.gone();
    let gaps = interfaces.into_gaps(closed.ended_ns);
    live_losses::complete(&mut window, &mut closed, gaps);
    let Told { losses, books, flood, difference } = live_losses::told(&mut closed, gone, &window);
    let printed = view.finish(window, losses, books, flood, &closed.stats);
    closed.drained.and(taken).and(printed)?;
    match difference {
        0 => Ok(()),
        difference => Err(RunError::Unbalanced(difference)),
    }
}

fn announce(plan: &WatchPlan, session: &Session) {
    let names: Vec<_> = session
        .attachments()
        .iter()
        .zip(session.modes())
        .map(|(attachment, mode)| format!("{} ({}, {mode})", attachment.device.name, attachment.device.driver))
        .collect();
    let until = plan.duration.map_or_else(
        || "until interrupted".to_string(),
        |duration| format!("for {}", humantime::format_duration(duration)),
    );
    let which = plan.view.filter.as_ref().map_or_else(String::new, |filter| format!("; only what meets `{filter}`"));
    output::say(&format!("rstprobe: attached to {}; watching {until}{which}", names.join(", ")));
    for attachment in session.attachments() {
        if attachment.device.strips_vlan == Some(true) && plan.live.engine.domain == Domain::Vlan {
            output::say(&format!(
                "rstprobe: {0}: the NIC strips VLAN tags, --domain vlan sees none; `ethtool -K {0} rxvlan off` keeps them",
                attachment.device.name
            ));
        }
    }
}
