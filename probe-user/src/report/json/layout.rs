//! Layout of a connection's JSON: its keys in their order, made once of the field table.

use std::{mem::discriminant, sync::LazyLock};

use crate::record::{Field, Json, Scope, field_table::FIELDS};

/// A key and what is there.
pub(super) struct Item {
    pub(super) key: &'static str,
    pub(super) what: What,
}

/// What is to be written of a connection.
pub(super) enum What {
    /// A field's value, null where the record has none.
    Field(&'static Field, Scope),
    /// The text of the cause.
    CauseText,
    /// What the verdict rests on.
    Facts,
    /// An object of these.
    Object(Vec<Item>),
}

/// Everything of a connection that has a key, in the order of the table.
pub(super) static ITEMS: LazyLock<Vec<Item>> = LazyLock::new(|| {
    let mut items = Items::default();
    for fields in FIELDS.chunk_by(|one, next| discriminant(&one.json) == discriminant(&next.json)) {
        let object = |scope| What::Object(items_of(fields, scope));
        match fields[0].json {
            Json::Absent => (),
            Json::Line(_) => items.add_fields(fields, Scope::Both),
            Json::Cause(_) => items.add("cause", What::Object(cause(fields))),
            Json::End(_) => {
                items.add("client", object(Scope::Client));
                items.add("server", object(Scope::Server));
            }
            Json::Side(_) => {
                items.add("from_client", object(Scope::Client));
                items.add("from_server", object(Scope::Server));
            }
        }
    }
    items.0
});

/// The fields of `cause`, the text of the cause after its id, and at the end what the verdict rests on.
fn cause(fields: &'static [Field]) -> Vec<Item> {
    let mut items = Items::default();
    let (id, others) = fields.split_at(1);
    items.add_fields(id, Scope::Both);
    items.add("text", What::CauseText);
    items.add_fields(others, Scope::Both);
    items.add("evidence", What::Facts);
    items.0
}

fn items_of(fields: &'static [Field], scope: Scope) -> Vec<Item> {
    let mut items = Items::default();
    items.add_fields(fields, scope);
    items.0
}

/// Those of one object.
#[derive(Default)]
struct Items(Vec<Item>);

impl Items {
    fn add(&mut self, key: &'static str, what: What) {
        self.0.push(Item { key, what });
    }

    fn add_fields(&mut self, fields: &'static [Field], scope: Scope) {
        for field in fields {
            match field.json {
                Json::Absent => (),
                Json::Line(key) | Json::End(key) | Json::Cause(key) | Json::Side(key) => {
                    self.add(key, What::Field(field, scope));
                }
            }
        }
    }
}
