//! `rstprobe explain -i IFACE`: watches interfaces for a while, then prints what is known of one connection.

use std::time::Instant;

use tokio::time::{MissedTickBehavior, interval};

use super::{
    explain_connection,
    live_losses::{self, Told},
    zones,
};
use crate::{
    agent::{
        descriptors,
        feed::SharedFeed,
        interface_watch::Interfaces,
        session::{Session, TICK},
        signals,
        signals::Signals,
    },
    aggregate::CaptureLoss,
    error::RunError,
    explain::{
        Explanation, Segments,
        kept_segments::{KeptSegments, Taken},
        ladder::Completeness,
        next_step::Neighbours,
        packets::Origin,
        search::{Found, Search},
    },
    output::{self, loss_text},
    plan::{DataPath, ExplainFormat, ExplainLivePlan, Which},
    record::Connection,
    report::{Window, prose},
    sandbox::Policy,
    tracker::TrackerStats,
};

/// Watches as planned and explains the connection that is meant.
///
/// # Errors
/// What prevents watching or printing; that no connection is meant.
pub(super) fn explain(plan: &ExplainLivePlan, policy: Policy) -> Result<(), RunError> {
    descriptors::ensure()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    runtime.block_on(watch(plan, policy))
}

async fn watch(plan: &ExplainLivePlan, policy: Policy) -> Result<(), RunError> {
    let zones = zones::load(plan.zones.as_ref(), zones::of_interfaces(&plan.live))?;
    if let Which::Meets(filter) = &plan.which {
        zones::check(filter.as_ref(), &zones)?;
    }
    let mut signals = Signals::listen()?;
    let mut session = Session::open(&plan.live, zones, policy)?;
    let feed = session.feed();
    let mut window = live_losses::window(&plan.live, &session);
    let mut interfaces = Interfaces::new(session.attachments(), session.now_ns());
    let time = humantime::format_duration(plan.duration);
    output::say(&format!("rstprobe: attached to {}; watching for {time}", plan.live.interfaces.join(", ")));
    let mut search = match &plan.which {
        Which::Id(id) => Search::by_id(*id),
        Which::Meets(filter) => Search::by_filter(filter.as_ref()),
    };
    let mut whole = CaptureLoss::default();
    let (mut outcome, started) = (Ok(()), Instant::now());
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while outcome.is_ok() && started.elapsed() < plan.duration {
        tokio::select! {
            () = signals.end() => break,
            _ = ticks.tick() => {}
        }
        outcome = session.tick().and_then(|()| interfaces.look(&mut session));
        take(&feed, &mut search, &mut whole, session.take_closed());
    }
    session.detach_egress();
    interfaces.look_last(&mut session);
    signals::end_at_once_on_the_next();
    let mut closed = session.close();
    take(&feed, &mut search, &mut whole, std::mem::take(&mut closed.rest));
    let refused = feed.lock().kept.as_ref().map_or(0, KeptSegments::refused);
    if refused > 0 {
        output::say(&format!("rstprobe: {refused} segments found no room; ladders may lack some of theirs"));
    }
    let gone = interfaces.gone();
    let gaps = interfaces.into_gaps(closed.ended_ns);
    live_losses::complete(&mut window, &mut closed, gaps);
    let told = live_losses::told(&mut closed, gone, &window);
    let explained = explain_found(plan, search.finish());
    let said = say_losses(plan.format, whole, &told, window, &closed.stats);
    outcome.and(closed.drained).and(explained).and(said)?;
    match told.difference {
        0 => Ok(()),
        difference => Err(RunError::Unbalanced(difference)),
    }
}

/// Prints the explanation of what was found.
fn explain_found(plan: &ExplainLivePlan, found: Found<Taken>) -> Result<(), RunError> {
    explain_connection::say_choice(&found);
    let (one, taken) = found.best.ok_or(RunError::NoSuchConnection { of: found.seen })?;
    let (seen, beyond) = taken.into_segments();
    let completeness = match plan.live.datapath {
        DataPath::Count => Completeness::Counted,
        DataPath::AfXdp => Completeness::Captured,
    };
    let neighbours = Neighbours::default();
    let segments = Segments { seen, beyond, completeness, neighbours, recorded: None };
    let origin = Origin::Interfaces(plan.live.interfaces.clone());
    explain_connection::print(&Explanation::new(one, segments, &origin), plan.format)
}

/// What was not seen, or is in no connection, of everything that was watched: below the text, and otherwise on standard error.
fn say_losses(
    format: ExplainFormat,
    whole: CaptureLoss,
    told: &Told,
    mut window: Window,
    stats: &TrackerStats,
) -> Result<(), RunError> {
    window.has_no_tcp = told.books.iter().any(|(name, count)| *name == "tcp" && *count == 0);
    let quality = loss_text::quality(whole, &told.losses, stats);
    let statement = loss_text::statement(&told.losses, &window, &quality);
    loss_text::say_view(&window, &told.flood);
    if format == ExplainFormat::Table {
        return output::data(&prose::reflowed(&statement, output::style(0)));
    }
    loss_text::say_unless_whole(&statement, &quality);
    Ok(())
}

/// Takes what has ended, each with its segments; those of the others are forgotten.
fn take(feed: &SharedFeed, search: &mut Search<'_, Taken>, whole: &mut CaptureLoss, ended: Vec<Connection>) {
    let mut feed = feed.lock();
    for one in ended {
        whole.add(&one);
        let own = feed.kept.as_mut().map(|kept| kept.take(&one)).unwrap_or_default();
        search.take(one, |_| own);
    }
}
