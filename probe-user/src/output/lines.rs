//! Lines on their way: records that a view has chosen, then their text, which any thread may make of them.

use crate::{
    error::RunError,
    record::Connection,
    report::{LineBuffer, json, lines::LineFormat},
};

/// Records in the order of their lines, or these lines. Its memory is used again for the next ones.
pub(crate) struct Lines {
    format: LineFormat,
    records: Vec<Connection>,
    /// Places of those that a later line may correct, in order.
    provisional: Vec<usize>,
    /// What corrects earlier lines, after all others.
    amended: Vec<Connection>,
    /// Records whose lines these are.
    len: u64,
    text: String,
    buffer: LineBuffer,
}

/// Of every field.
impl Default for Lines {
    fn default() -> Self {
        Self::new(LineFormat::Json)
    }
}

impl Lines {
    /// None yet.
    pub(crate) fn new(format: LineFormat) -> Self {
        Self {
            format,
            records: Vec::new(),
            provisional: Vec::new(),
            amended: Vec::new(),
            len: 0,
            text: String::new(),
            buffer: LineBuffer::default(),
        }
    }

    /// One more line of a record.
    pub(super) fn push(&mut self, connection: Connection, is_provisional: bool) {
        if is_provisional {
            self.provisional.push(self.records.len());
        }
        self.records.push(connection);
        self.len += 1;
    }

    /// One more line of each of these records, which no later line corrects; leaves none.
    pub(super) fn append(&mut self, connections: &mut Vec<Connection>) {
        self.len += connections.len() as u64;
        if self.records.is_empty() {
            std::mem::swap(&mut self.records, connections);
        } else {
            self.records.append(connections);
        }
    }

    /// A line that corrects an earlier one.
    pub(super) fn amend(&mut self, connections: Vec<Connection>) {
        self.amended.extend(connections);
    }

    /// Makes their text of the records, and forgets these.
    ///
    /// # Errors
    /// Never for records of the tracker.
    pub(crate) fn format(&mut self) -> Result<(), RunError> {
        self.buffer.begin(std::mem::take(&mut self.text));
        let mut provisional = self.provisional.drain(..).peekable();
        for (at, connection) in self.records.iter().enumerate() {
            let is_provisional = provisional.next_if_eq(&at).is_some();
            self.format.append(&mut self.buffer, connection, is_provisional);
        }
        self.records.clear();
        for connection in self.amended.drain(..) {
            self.buffer.push(&json::amendment_line(&connection)?);
        }
        self.text = self.buffer.finish();
        Ok(())
    }

    /// Makes text of these records.
    pub(super) fn format_all(&mut self, records: &[Connection]) {
        self.buffer.begin(std::mem::take(&mut self.text));
        for connection in records {
            self.format.append(&mut self.buffer, connection, false);
        }
        self.text = self.buffer.finish();
    }

    /// Their text, once it is made.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Records whose lines these are; the next ones are other lines.
    pub(super) fn take_len(&mut self) -> u64 {
        std::mem::take(&mut self.len)
    }
}
