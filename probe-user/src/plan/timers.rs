//! Timeouts other than the usual ones, by name.

use super::PlanError;
use crate::tracker::Timers;

pub(super) fn timers(settings: &[String]) -> Result<Timers, PlanError> {
    let mut timers = Timers::default();
    for setting in settings {
        let refused = || PlanError::Timer(setting.clone());
        let (name, time) = setting.split_once('=').ok_or_else(refused)?;
        let time = humantime::parse_duration(time).map_err(|_| refused())?;
        let ns = u64::try_from(time.as_nanos()).ok().filter(|ns| *ns > 0).ok_or_else(refused)?;
        match name {
            "attempt" => timers.attempt = ns,
            "close" => timers.close = ns,
            "linger" => timers.linger = ns,
            "inactive" => timers.inactive = ns,
            "inactive-handshake" => timers.inactive_handshake = ns,
            "inactive-interactive" => timers.inactive_interactive = ns,
            _ => return Err(refused()),
        }
    }
    Ok(timers)
}
