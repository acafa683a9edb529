//! Frame of a capture, the interface that it was captured on, and where a format finds the next one.

use super::link_type::LinkType;

/// One frame as captured.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When, nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Length on the wire, as the capture says; what was captured may be less.
    pub wire_len: usize,
    /// What the bytes begin with.
    pub link: LinkType,
    /// What was captured.
    pub bytes: &'a [u8],
}

/// What a capture says of the interface that a frame was captured on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapturedOn<'a> {
    /// Section of the file, from 0; only pcapng, and captures that were joined, have more than one.
    pub section: u32,
    /// Number of the interface within its section, from 0.
    pub number: u32,
    /// Its name, if the file has one.
    pub name: Option<&'a str>,
    /// Type of link by its number in the file, of which [`LinkType`] may not know more.
    pub link_number: u16,
}

/// What one who is offered frames did with the last one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Took {
    /// Took it, and takes more.
    More,
    /// Took it, and takes no more.
    Last,
    /// Left it: it will be the next one.
    Nothing,
}

/// Takes frames.
pub trait Take {
    /// Takes the next one, or not.
    fn take(&mut self, frame: &Frame<'_>) -> Took;
}

/// What a capture has next.
pub(super) enum Next {
    /// A frame, which was consumed.
    Frame(Found),
    /// Nothing.
    End,
    /// Another capture.
    Joined,
}

/// Where the next frame is, relative to what was just consumed.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) time_ns: u64,
    pub(super) wire_len: usize,
    pub(super) link: LinkType,
    /// Number of the interface.
    pub(super) interface: u32,
    /// Distance from the first captured byte to the input's next byte.
    pub(super) back: usize,
    pub(super) len: usize,
}
