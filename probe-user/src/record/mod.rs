//! Connection record: what is said of one connection, its words and their stable names. Pure data.
//!
//! Must not know: how a record comes about, how it is shown.

mod connection;
mod fact;
pub mod fact_meaning;
mod field;
pub mod field_table;
mod label;
mod names;

pub use connection::*;
pub use fact::{Fact, Value};
pub use field::*;
pub use label::{Labels, Name};
