//! `rstprobe detach`: removes what a killed rstprobe has left on interfaces; and the same at every start.

use std::fmt::Write as _;

use crate::{error::RunError, output};
use crate::{
    plan::DetachPlan,
    printable,
    source::live::{
        LiveError,
        leftover::{self, Leftover, State},
        netdev::{self, Netdev},
        privilege::Capability,
    },
};

/// Removes what nobody alive owns from the named interfaces, or from all, and says what was removed and what stays.
///
/// # Errors
/// Privileges are missing, or the first thing that could not be removed; the rest was removed and told then.
pub(crate) fn detach(plan: &DetachPlan) -> Result<(), RunError> {
    let devices = match plan.interfaces.as_slice() {
        [] => netdev::list()?,
        names => names.iter().map(|name| Netdev::find(name)).collect::<Result<_, _>>()?,
    };
    if !Capability::NetAdmin.is_held() {
        return Err(missing());
    }
    let (removed, errors, unknown) = leftover::remove_ownerless(&devices);
    let mut text = String::new();
    for one in removed {
        text.write_fmt(format_args!("{one}\n")).expect("a String takes everything");
    }
    for one in unknown.iter().chain(&owned(&devices)) {
        text.write_fmt(format_args!("{}: stays: {one}\n", one.name)).expect("a String takes everything");
    }
    for device in &devices {
        if let Some(holder) = device.xdp.as_ref().filter(|holder| holder.program_name.is_none()) {
            let id = holder.program_id;
            text.write_fmt(format_args!(
                "{}: stays: XDP program id {id} ({}): only CAP_SYS_ADMIN sees its name, and so its owner\n",
                device.name, holder.mode
            ))
            .expect("a String takes everything");
        }
    }
    if text.is_empty() && errors.is_empty() {
        let on = if plan.interfaces.is_empty() { "any interface".to_string() } else { plan.interfaces.join(", ") };
        text = format!("nothing of rstprobe's is left on {on}\n");
    }
    output::data(&printable::lines(&text))?;
    match errors.into_iter().next() {
        None => Ok(()),
        // Held, but not in the user namespace that owns the interface.
        Some(LiveError::Detach { source, .. }) if source.source.raw_os_error() == Some(libc::EPERM) => Err(missing()),
        Some(error) => Err(error.into()),
    }
}

fn missing() -> RunError {
    let binary = std::env::current_exe().map_or_else(|_| "rstprobe".to_string(), |path| printable::path(&path));
    LiveError::Privilege { missing: vec![Capability::NetAdmin], binary }.into()
}

/// What running instances use on `devices`.
fn owned(devices: &[Netdev]) -> Vec<Leftover> {
    let found = devices.iter().filter_map(|device| leftover::find(device).ok()).flatten();
    found.filter(|one| one.state() == State::Owned).collect()
}

/// At a start: removes what nobody alive owns from all interfaces of this network namespace, and says so. What cannot be
/// removed is told and stays.
///
/// # Errors
/// The kernel does not list the interfaces.
pub(crate) fn clear() -> Result<(), RunError> {
    let (removed, errors, unknown) = leftover::remove_ownerless(&netdev::list_without_drivers()?);
    for one in removed {
        output::say(&format!("rstprobe: {one}"));
    }
    for error in errors {
        output::say(&format!("rstprobe: {error}; going on"));
    }
    for one in unknown {
        output::say(&format!("rstprobe: {}: stays: {one}", one.name));
    }
    Ok(())
}

/// For `doctor`: what of rstprobe's is on an interface, in use or left, beyond what has the XDP hook by a link.
pub(crate) fn described(device: &Netdev) -> Vec<String> {
    let found = match leftover::find(device) {
        Ok(found) => found,
        Err(error) => return vec![format!("unknown: {error}")],
    };
    let of = |one: &Leftover| match one.state() {
        State::Ownerless => {
            Some(format!("{one}: `rstprobe detach -i {}` removes it, as the next start does", one.name))
        }
        State::Unknown => Some(one.to_string()),
        State::Owned => one.is_filter().then(|| one.to_string()),
    };
    found.iter().filter_map(of).collect()
}
