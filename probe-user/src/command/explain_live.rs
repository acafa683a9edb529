//! `rstprobe explain -i IFACE`: watches interfaces for a while, then prints what is known of one connection.

use std::time::Instant;

use tokio::time::{MissedTickBehavior, interval};

use super::{explain_connection, zones};
use crate::{
    agent::{
        feed::SharedFeed,
        session::{Session, TICK},
        signals,
        signals::Signals,
    },
    error::RunError,
    explain::{
        Explanation, Segments,
        kept_segments::KeptSegments,
        ladder::{Completeness, SeenSegment},
        next_step::Neighbours,
        packets::Origin,
        search::Search,
    },
    output,
    plan::{DataPath, ExplainLivePlan, Which},
    record::Connection,
};

/// Segments of a connection, and how many came after them.
type Own = (Vec<SeenSegment>, u64);

/// Watches as planned and explains the connection that is meant.
///
/// # Errors
/// What prevents watching or printing; that no connection is meant.
pub(super) fn explain(plan: &ExplainLivePlan) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    runtime.block_on(watch(plan))
}

async fn watch(plan: &ExplainLivePlan) -> Result<(), RunError> {
    let zones = zones::load(plan.zones.as_ref(), zones::of_interfaces(&plan.live))?;
    if let Which::Meets(filter) = &plan.which {
        zones::check(filter.as_ref(), &zones)?;
    }
    let mut signals = Signals::listen()?;
    let mut session = Session::open(&plan.live, zones)?;
    let feed = session.feed();
    let time = humantime::format_duration(plan.duration);
    output::say(&format!("rstprobe: watching {} for {time}", plan.live.interfaces.join(", ")));
    let mut search = match &plan.which {
        Which::Id(id) => Search::by_id(*id),
        Which::Meets(filter) => Search::by_filter(filter.as_ref()),
    };
    let (mut outcome, started) = (Ok(()), Instant::now());
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while outcome.is_ok() && started.elapsed() < plan.duration {
        tokio::select! {
            () = signals.end() => break,
            _ = ticks.tick() => {}
        }
        outcome = session.tick();
        take(&feed, &mut search, session.take_closed());
    }
    session.detach_egress();
    signals::end_at_once_on_the_next();
    let closed = session.close();
    take(&feed, &mut search, closed.rest);
    let refused = feed.lock().kept.as_ref().map_or(0, KeptSegments::refused);
    if refused > 0 {
        output::say(&format!("rstprobe: {refused} segments found no room; ladders may lack some of theirs"));
    }
    let found = search.finish();
    outcome.and(closed.drained)?;
    explain_connection::say_choice(&found);
    let (one, (seen, beyond)) = found.best.ok_or(RunError::NoSuchConnection { of: found.seen })?;
    let completeness = match plan.live.datapath {
        DataPath::Count => Completeness::Counted,
        DataPath::AfXdp => Completeness::Captured,
    };
    let neighbours = Neighbours::default();
    let segments = Segments { seen, beyond, completeness, neighbours, recorded: None };
    let origin = Origin::Interfaces(plan.live.interfaces.clone());
    explain_connection::print(&Explanation::new(one, segments, &origin), plan.format)
}

/// Takes what has ended, each with its segments; those of the others are forgotten.
fn take(feed: &SharedFeed, search: &mut Search<'_, Own>, ended: Vec<Connection>) {
    let mut feed = feed.lock();
    for one in ended {
        let own = feed.kept.as_mut().map(|kept| kept.take(&one)).unwrap_or_default();
        search.take(one, |_| own);
    }
}
