//! `rstprobe explain`: prints what is known of a cause or a kind of finding, or of one connection of a capture.

use super::explain_connection;
use crate::{cli::ExplainArgs, error::RunError, output, plan::ExplainPlan, report::explanation};

/// Prints the explanation of one id, or the list of all; of a capture that of one connection.
///
/// # Errors
/// [`RunError::Unexplained`] for an id that is none, and what writing says.
pub(super) fn explain(args: ExplainArgs) -> Result<(), RunError> {
    if !args.read.is_empty() {
        return explain_connection::explain(&ExplainPlan::try_from(args)?);
    }
    let Some(id) = args.id.as_deref().or(args.cause.as_deref()) else { return output::data(&explanation::list()) };
    match explanation::of(id) {
        Some(text) => output::data(&text),
        None => Err(RunError::Unexplained { id: id.to_owned(), closest: closest(id) }),
    }
}

/// The id that was probably meant.
fn closest(typed: &str) -> Option<&'static str> {
    let distance = |id: &&str| strsim::osa_distance(typed, id);
    explanation::ids().min_by_key(distance).filter(|id| distance(id) <= typed.len() / 3 + 1)
}
