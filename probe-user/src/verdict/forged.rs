//! Forged resets: rules for RSTs that did not come from the host whose address they bear.

use super::{Finding, Reset};
use crate::{
    record::{Cause, Confidence, ResetBy},
    tcp::{endpoint::Kind, marks::RESP},
    verdict::{injection, rst_form::Form},
};

/// Ways that tell a nearer sender: on a busy host a handshake takes some milliseconds, however short the way.
const LONG_WAY_NS: u64 = 3_000_000;
/// A box that answers in such a part of the time is nearer. The handshake may have waited for addresses to be resolved.
const NEARER: u64 = 32;
/// RSTs to both ends within this time come from one device.
const BOTH_NS: u64 = 2_000_000;

/// 18: both ends got an RST at once, and no end resets in answer to an RST (RFC 9293 3.10.7.1).
pub(crate) fn device_reset_both(reset: &Reset<'_>) -> Option<Finding> {
    let other = reset.case.track.rare()?.rsts[1 - reset.side].as_ref()?;
    let apart = other.record.time_ns.saturating_sub(reset.rst.record.time_ns);
    // Both RSTs of another TTL: a host that was reset also answers data that come late, within the same time. One hop is a
    // route change, or a copy from behind a router.
    let strange = reset.is_foreign() && injection::is_of_another_host(other);
    (apart <= BOTH_NS && strange).then_some((Cause::DeviceResetBoth, Confidence::Medium, None))
}

/// An RST that answers a segment in a fraction of the time in which its host answered before: a firewall nearer than the host
/// has begun to reject (nftables `reject with tcp reset`), or forgot the connection.
pub(crate) fn too_soon(reset: &Reset<'_>) -> Option<Finding> {
    // A true reply bears the number that the segment which provoked it acknowledges.
    let is_exact = reset.rst.record.seq == reset.rst.sender.acked;
    let is_answer = reset.form == Form::Reply && is_exact && reset.rst.answers_peer && !reset.rst.sender.has_sent_fin();
    // Its host had spoken since the handshake.
    let is_open = !matches!(reset.rst.sender.kind, Kind::Nothing | Kind::Syn);
    // In a burst the time since its last segment is not the time of the answer.
    if !is_answer || !is_open || reset.in_flight(1 - reset.side) || reset.kernel_reason().is_some() || reset.rst.climbed
    {
        return None;
    }
    // The way from here to the host and back, as the handshake showed it.
    let whole_ns = reset.case.round_trip_ns();
    let to_server_ns = reset.case.track.handshake().nanoseconds();
    let way_ns = if reset.side == RESP { to_server_ns } else { whole_ns.saturating_sub(to_server_ns) };
    (way_ns >= LONG_WAY_NS && whole_ns > 0 && reset.rst.idle_ns < way_ns / NEARER).then_some((
        Cause::RefusedByFirewall,
        Confidence::Medium,
        Some(ResetBy::Middle),
    ))
}

/// 17: marks of injection add up.
pub(crate) fn injected(reset: &Reset<'_>) -> Option<Finding> {
    // Its sender's own kernel said that it sent it.
    if reset.kernel_reason().is_some() {
        return None;
    }
    injection::suspicion(reset.rst, reset.form).map(|confidence| (Cause::InjectedSuspect, confidence, None))
}
