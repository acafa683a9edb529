//! `rstprobe explain`: prints what is known of a cause, a kind of finding or a fact, or of one connection of a capture.

use super::explain_connection;
use crate::{
    cli::{ExplainArgs, help},
    error::RunError,
    filter::Filter,
    output,
    plan::ExplainPlan,
    record::field_table::FieldRef,
    report::{explanation, prose},
    sandbox::Policy,
};

/// Prints the explanation of one id, or the list of all; of a capture that of one connection.
///
/// # Errors
/// [`RunError::Unexplained`] for an id that is none, and what writing says.
pub(super) fn explain(args: ExplainArgs, policy: Policy) -> Result<(), RunError> {
    if !args.read.is_empty() {
        return explain_connection::explain(&ExplainPlan::try_from(args)?, policy);
    }
    let Some(id) = args.id.as_deref().or(args.cause.as_deref()) else {
        return output::data(&prose::reflowed(&explanation::list(), output::style(0)));
    };
    match explanation::page(id, output::style(0)) {
        Some(text) => output::data(&text),
        None => Err(refusal(id)),
    }
}

/// What is wrong with an id that nothing has: perhaps a source is missing, or another command was meant.
fn refusal(id: &str) -> RunError {
    let id = id.to_owned();
    if id.parse::<u64>().is_ok() {
        return RunError::NumberWithoutCapture(id);
    }
    if id.parse::<Filter>().is_ok() {
        return RunError::ConditionWithoutSource(id);
    }
    match FieldRef::find(&id) {
        Some(field) => RunError::ExplainedElsewhere { id, of: field.field.meaning.to_owned(), by: "fields".to_owned() },
        None if help::on(&id).is_some() => {
            RunError::ExplainedElsewhere { of: "a topic or a command".to_owned(), by: format!("help {id}"), id }
        }
        None => RunError::Unexplained { closest: closest(&id), id },
    }
}

/// The id that was probably meant.
fn closest(typed: &str) -> Option<&'static str> {
    let distance = |id: &&str| strsim::osa_distance(typed, id);
    explanation::ids().min_by_key(distance).filter(|id| distance(id) <= typed.len() / 3 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_explanation_is_told_with_what_was_probably_meant() {
        for (typed, said) in [
            ("287", "`287` is the number of a connection; name its capture: `rstprobe explain -r FILE 287`"),
            ("rst.count > 0", "`rstprobe explain -r FILE 'rst.count > 0'`"),
            ("data_after_clsoe", "did you mean `data_after_close`?"),
            ("cause=app_abort", "`rstprobe explain -i IFACE 'cause=app_abort'`"),
            ("zones", "`zones` is a topic or a command: `rstprobe help zones` has it"),
            ("duration", "`duration` is from the first to the last segment: `rstprobe fields` has it"),
            ("qwertyuiop", "`rstprobe explain` lists them"),
        ] {
            let error = refusal(typed);
            assert!(error.to_string().contains(said), "{error}");
            assert_eq!(error.exit_code(), crate::cli::exit::USAGE);
        }
    }
}
