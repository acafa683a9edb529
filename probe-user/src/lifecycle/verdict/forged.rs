//! Resets that did not come from the host whose address they bear.

use super::super::{Cause, Confidence, injection};
use super::{Finding, Reset};

/// RSTs to both ends within this time come from one device.
const BOTH_NS: u64 = 2_000_000;

/// 18: both ends got an RST at once, and no end resets in answer to an RST (RFC 9293 3.10.7.1).
pub(super) fn device_reset_both(reset: &Reset<'_>) -> Option<Finding> {
    let other = reset.case.track.rare()?.rsts[1 - reset.side].as_ref()?;
    let apart = other.record.time_ns.saturating_sub(reset.rst.record.time_ns);
    // Both RSTs of another TTL: a host that was reset also answers data that come late, within the same time. One hop is a
    // route change, or a copy from behind a router.
    let strange = reset.is_foreign() && injection::is_of_another_host(other);
    (apart <= BOTH_NS && strange).then_some((Cause::DeviceResetBoth, Confidence::Medium, None))
}

/// 17: marks of injection add up.
pub(super) fn injected(reset: &Reset<'_>) -> Option<Finding> {
    // Its sender's own kernel said that it sent it.
    if reset.kernel_reason().is_some() {
        return None;
    }
    injection::suspicion(reset.rst, reset.form).map(|confidence| (Cause::InjectedSuspect, confidence, None))
}
