//! Sandbox of commands that read captures: what they still need in it, and when they enter it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::RunError,
    output::{self, file_identity},
    plan::{EvidencePlan, ViewPlan},
    sandbox::{
        self, Needs, Policy,
        capabilities::{self, Capability},
        landlock::{Access, Grant},
        seccomp::Calls,
    },
};

/// By these root opens files that are others'.
const OTHERS_FILES: [Capability; 2] = [Capability::CAP_DAC_OVERRIDE, Capability::CAP_DAC_READ_SEARCH];

/// A command that reads captures, which may have been made to take it over: it is in the sandbox before the first byte is read.
///
/// Two steps, because nothing takes the place of something else, nor is made, before the first capture is known to be one:
/// until then outputs can be opened, which is all that is lost after it.
pub(super) struct Reading {
    policy: Policy,
    /// To be opened when they are read.
    inputs: Vec<Grant>,
    /// Where files come and go to the end.
    folder: Option<PathBuf>,
}

impl Reading {
    /// Enters it. `later` are captures that are not open yet.
    ///
    /// # Errors
    /// It is required and lacks something.
    pub(super) fn enter<'a>(
        policy: Policy,
        later: impl Iterator<Item = &'a Path>,
        outputs: Outputs<'_>,
    ) -> Result<Self, RunError> {
        let inputs: Vec<_> = later.map(|path| grant(path, Access::Read)).collect();
        let opened = outputs.grants();
        let writes = !opened.is_empty();
        let needs = Needs {
            files: [&inputs[..], &opened].concat(),
            calls: Calls::Captures { writes },
            // Outputs that are opened later may be in a folder of somebody else's.
            capabilities: if writes { OTHERS_FILES.into() } else { Vec::new() },
        };
        say(&sandbox::enter(policy, &needs)?);
        Ok(Self { policy, inputs, folder: outputs.folder().map(Path::to_owned) })
    }

    /// Outputs are open: what is needed to the end is to read what was named, and the folder of evidence.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub(super) fn outputs_are_open(&self) -> Result<(), RunError> {
        let folder = self.folder.as_deref();
        let files: Vec<_> = self.inputs.iter().cloned().chain(folder.map(Grant::kept)).collect();
        let kept = folder.map(capabilities::to_write_into).unwrap_or_default();
        Ok(sandbox::narrow(self.policy, &files, &kept)?)
    }
}

/// Files that are written.
#[derive(Clone, Copy, Default)]
pub(super) struct Outputs<'a> {
    pub(super) view: Option<&'a ViewPlan>,
    pub(super) evidence: Option<&'a EvidencePlan>,
}

impl Outputs<'_> {
    /// The folder of evidence, whose files come and go.
    fn folder(&self) -> Option<&Path> {
        self.evidence.filter(|evidence| !evidence.is_file).map(|evidence| evidence.path.as_path())
    }

    /// What opening them takes.
    fn grants(&self) -> Vec<Grant> {
        let page = self.view.and_then(|view| view.page.as_ref()).and_then(|page| page.file());
        let json = self.view.and_then(|view| view.json_out.as_deref());
        let evidence = self.evidence.filter(|evidence| evidence.is_file).map(|evidence| evidence.path.as_path());
        let files = [page, json, evidence].into_iter().flatten().map(of_file);
        files.chain(self.folder().map(of_folder)).collect()
    }
}

fn grant(path: &Path, access: Access) -> Grant {
    Grant { path: path.to_owned(), access }
}

/// A file that is there is written to; another one is made where its path leads, and removed if nothing was written.
fn of_file(path: &Path) -> Grant {
    if fs::metadata(path).is_ok() {
        return grant(path, Access::Write);
    }
    grant(folder_of(&file_identity::target(path)), Access::Keep)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A folder that is there, or the nearest above it in which it is made.
fn of_folder(path: &Path) -> Grant {
    if path.is_dir() {
        return grant(path, Access::Keep);
    }
    let above = path.ancestors().skip(1).find(|above| above.is_dir());
    grant(above.unwrap_or(Path::new(".")), Access::KeepBeneath)
}

/// Says what is lacking, once.
fn say(entered: &sandbox::Entered) {
    if let Some(lacks) = entered.lacks() {
        output::say(&format!("rstprobe: {lacks}"));
    }
}
