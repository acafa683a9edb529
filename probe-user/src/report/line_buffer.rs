//! Line buffer: text of many lines on its way to be written, in memory that is used again.

use super::room::{Room, Times};

/// Room that is made when there is too little: it is filled with zeros first, so not much.
const MORE: usize = 16 << 10;

/// See the module.
pub struct LineBuffer {
    /// Longer than what is written, so that there is room.
    bytes: Vec<u8>,
    len: usize,
    times: Times,
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self { bytes: Vec::new(), len: 0, times: Times::new() }
    }
}

impl LineBuffer {
    /// Bytes of text.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Without any.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the text and keeps its memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Uses the memory of a text that is not needed any more.
    pub fn begin(&mut self, memory: String) {
        (self.bytes, self.len) = (memory.into_bytes(), 0);
    }

    /// The text, and the memory with it.
    pub fn finish(&mut self) -> String {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(std::mem::take(&mut self.len));
        // All that is put here is text.
        String::from_utf8(bytes).unwrap_or_else(|other| String::from_utf8_lossy(other.as_bytes()).into_owned())
    }

    /// Appends any text.
    pub fn push(&mut self, text: &str) {
        self.append(text.len(), |room, _| room.put(text.as_bytes()));
    }

    /// Appends what `write` puts there, `most` bytes at most.
    #[inline]
    pub(super) fn append(&mut self, most: usize, write: impl FnOnce(&mut Room<'_>, &mut Times)) {
        if self.bytes.len() - self.len < most {
            self.make_room(most);
        }
        let mut room = Room::new(&mut self.bytes[self.len..]);
        write(&mut room, &mut self.times);
        self.len += room.len();
    }

    #[cold]
    fn make_room(&mut self, most: usize) {
        self.bytes.resize(self.len + most.max(MORE), 0);
    }
}
