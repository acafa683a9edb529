//! Attaching the classifier to what an interface sends: by tcx where the kernel has it (Linux 6.6), else as a filter on the
//! clsact qdisc.
//!
//! Which of them is decided by trying ([`super::kernel_features`]): a distribution's kernel may have tcx at an earlier
//! version, or lack it at a later one. A tcx link goes with the process. A filter does not: it is removed when its [`EgressLink`] is dropped, so on every
//! end but `kill -9` and the like, and what those leave is recognised by [`super::leftover`].

use std::{io, os::fd::AsFd as _, sync::Arc};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    tc::{SchedClassifierLink, TcAttachOptions},
};
use thiserror::Error;

use super::{
    LiveError,
    clsact::{self, Hook},
    kernel_features::{Feature, KernelFeatures},
    netdev::Netdev,
    owner::{Mark, Owner, Turn},
    rtnetlink::Refusal,
};

/// How to attach to egress.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EgressHook {
    /// By tcx, and by clsact where the kernel has no tcx.
    #[default]
    Auto,
    /// By tcx only.
    Tcx,
    /// By clsact only.
    Clsact,
}

/// Why the kernel refused an attachment to egress.
#[derive(Debug, Error)]
pub enum EgressRefusal {
    /// A tcx link.
    #[error("by tcx: {}", .0)]
    Tcx(#[source] io::Error),
    /// A filter.
    #[error("by a filter on the clsact qdisc: {}", .0)]
    Clsact(#[source] Refusal),
    /// Both.
    #[error("{tcx}; {clsact}")]
    Both {
        /// The link.
        tcx: Box<EgressRefusal>,
        /// The filter.
        #[source]
        clsact: Box<EgressRefusal>,
    },
}

/// One attachment to egress. Dropping it detaches.
pub(super) enum EgressLink {
    /// Detaches when it is dropped.
    Tcx {
        _link: SchedClassifierLink,
    },
    Clsact(ClsactFilter),
}

/// Attaches the loaded classifiers of one process.
pub(super) struct Egress {
    hook: EgressHook,
    /// Made when the first filter is.
    owner: Option<Arc<Owner>>,
    /// What was said when tcx was refused and a filter took its place.
    tcx_refused: Option<String>,
}

impl Egress {
    /// Nothing is attached yet.
    pub(super) fn new(hook: EgressHook) -> Self {
        Self { hook, owner: None, tcx_refused: None }
    }

    /// Why filters took the place of tcx links, if they did.
    pub(super) fn tcx_refused(&self) -> Option<&str> {
        self.tcx_refused.as_deref()
    }

    /// Attaches a loaded classifier.
    ///
    /// # Errors
    /// What the kernel said to each way that was tried.
    pub(super) fn attach(&mut self, program: &mut SchedClassifier, to: &Netdev) -> Result<EgressLink, LiveError> {
        let refused = |source| LiveError::Egress { name: to.name.clone(), source };
        match self.hook {
            EgressHook::Tcx => tcx(program, to).map_err(refused),
            EgressHook::Clsact => self.clsact(program, to).map_err(refused),
            EgressHook::Auto => {
                let link = match tcx(program, to) {
                    Ok(link) => return Ok(link),
                    // A refusal by a kernel that has tcx is an error, never a silent downgrade.
                    Err(link) if KernelFeatures::of_this_kernel().has(Feature::Tcx) == Some(true) => {
                        return Err(refused(link));
                    }
                    Err(link) => link,
                };
                let text = link.to_string();
                let filter = self
                    .clsact(program, to)
                    .map_err(|filter| refused(EgressRefusal::Both { tcx: Box::new(link), clsact: Box::new(filter) }))?;
                self.tcx_refused.get_or_insert(text);
                Ok(filter)
            }
        }
    }

    fn clsact(&mut self, program: &SchedClassifier, to: &Netdev) -> Result<EgressLink, EgressRefusal> {
        let refused = |source: io::Error| EgressRefusal::Clsact(source.into());
        let owner = match &self.owner {
            Some(owner) => Arc::clone(owner),
            None => Arc::clone(self.owner.insert(Arc::new(Owner::new().map_err(refused)?))),
        };
        let info = program.info().map_err(|error| refused(io_error(error)))?;
        let fd = program.fd().map_err(|error| refused(io_error(error)))?;
        let _turn = Turn::wait();
        let added_clsact = clsact::add_qdisc(to.index).map_err(EgressRefusal::Clsact)?;
        let mark = Mark { pid: std::process::id(), number: owner.number, tag: info.tag(), added_clsact };
        if let Err(refusal) = clsact::add_filter(to.index, fd.as_fd(), &mark.to_string()) {
            // The first refusal is the one to tell.
            let _emptied = added_clsact && clsact::delete_empty_qdisc(to.index).is_ok();
            return Err(EgressRefusal::Clsact(refusal));
        }
        Ok(EgressLink::Clsact(ClsactFilter { name: to.name.clone(), index: to.index, mark: Some(mark), _owner: owner }))
    }
}

fn tcx(program: &mut SchedClassifier, to: &Netdev) -> Result<EgressLink, EgressRefusal> {
    let refused = |error| EgressRefusal::Tcx(io_error(error));
    let last = TcAttachOptions::TcxOrder(LinkOrder::default());
    let id = program.attach_with_options(&to.name, TcAttachType::Egress, last).map_err(refused)?;
    Ok(EgressLink::Tcx { _link: program.take_link(id).map_err(refused)? })
}

fn io_error(error: ProgramError) -> io::Error {
    match error {
        ProgramError::SyscallError(error) => error.io_error,
        other => io::Error::other(other.to_string()),
    }
}

/// A filter on the clsact qdisc. Dropping it removes both, the qdisc only when it was added for this filter and nothing else
/// is on it by then.
pub(super) struct ClsactFilter {
    name: String,
    index: u32,
    /// `None` when it was removed.
    mark: Option<Mark>,
    /// Lives for as long as the filter.
    _owner: Arc<Owner>,
}

impl EgressLink {
    /// It is no link, and stays until it is removed.
    pub(super) fn is_filter(&self) -> bool {
        matches!(self, Self::Clsact(_))
    }

    /// Detaches.
    ///
    /// # Errors
    /// The kernel kept something.
    pub(super) fn detach(self) -> Result<(), LiveError> {
        match self {
            Self::Tcx { .. } => Ok(()),
            Self::Clsact(mut filter) => filter.remove().map_err(|source| LiveError::Detach {
                name: filter.name.clone(),
                what: "egress filter",
                source,
            }),
        }
    }
}

impl ClsactFilter {
    /// Removes what is still there of it; nothing when the interface has gone, and everything with it.
    fn remove(&mut self) -> Result<(), Refusal> {
        let Some(mark) = self.mark.take() else { return Ok(()) };
        let _turn = Turn::wait();
        remove(self.index, Hook::Egress, &mark).map(drop)
    }
}

impl Drop for ClsactFilter {
    fn drop(&mut self) {
        // What stays now is found by the next start, and by `rstprobe detach`; there is nobody here to tell.
        let _gone: bool = self.remove().is_ok();
    }
}

/// Removes the filter of that mark if it is still there, and then the qdisc, if that was added for it and nothing
/// else is on it; true when the qdisc went. To be called within a [`Turn`].
///
/// # Errors
/// What the kernel refused.
pub(super) fn remove(index: u32, hook: Hook, mark: &Mark) -> Result<bool, Refusal> {
    let name = mark.to_string();
    let filters = clsact::filters(index, hook)?;
    let Some(filter) = filters.iter().find(|filter| filter.name.as_deref() == Some(&*name)) else { return Ok(false) };
    clsact::delete_filter(index, hook, filter)?;
    Ok(mark.added_clsact && clsact::delete_empty_qdisc(index)?)
}
