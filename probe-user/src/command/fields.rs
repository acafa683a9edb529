//! `rstprobe fields`: prints the field table.

use crate::{
    cli::{FieldsArgs, FieldsFormatArg},
    error::RunError,
    output,
    report::field_list,
};

/// Prints every field of a connection, or of a group.
///
/// # Errors
/// What writing to standard output says.
pub(super) fn fields(args: &FieldsArgs) -> Result<(), RunError> {
    match args.format {
        _ if args.groups => output::data(&field_list::groups()),
        FieldsFormatArg::Table => output::data(&field_list::table()),
        FieldsFormatArg::Json => output::data_document(&field_list::json()),
        FieldsFormatArg::Markdown => output::data(&field_list::markdown()),
    }
}
