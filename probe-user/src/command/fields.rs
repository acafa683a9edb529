//! `rstprobe fields`: prints the field table.

use crate::{cli::FieldsFormatArg, error::RunError, output, report::field_list};

/// Prints every field of a connection.
///
/// # Errors
/// What writing to standard output says.
pub(super) fn fields(format: FieldsFormatArg) -> Result<(), RunError> {
    match format {
        FieldsFormatArg::Table => output::data(&field_list::table()),
        FieldsFormatArg::Json => output::data_document(&field_list::json()),
        FieldsFormatArg::Markdown => output::data(&field_list::markdown()),
    }
}
