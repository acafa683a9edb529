//! `rstprobe fields`: prints the field table.

use crate::{cli::FieldsFormatArg, error::RunError, output, report::fields};

/// Prints every field of a connection.
///
/// # Errors
/// What writing to standard output says.
pub(super) fn fields(format: FieldsFormatArg) -> Result<(), RunError> {
    match format {
        FieldsFormatArg::Table => output::data(&fields::table()),
        FieldsFormatArg::Json => output::data_document(&fields::json()),
        FieldsFormatArg::Markdown => output::data(&fields::markdown()),
    }
}
