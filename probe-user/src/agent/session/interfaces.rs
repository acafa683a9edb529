//! Interfaces of a session: what was counted on each, attaching anew where the driver gives the program nothing, and an
//! interface that goes and comes back.
//!
//! An interface keeps its place, whatever index it has by then.

use std::collections::BTreeMap;

use probe_ebpf::frame_snapshot::OUTGOING;

use super::{Session, interface};
use crate::{
    agent::driver_silence::Finding,
    error::RunError,
    output,
    report::QueueUse,
    source::live::{engine::Engine, netdev, netdev::LinkCounters},
};

/// Attaching anew resets the link with some drivers: what does not help three times will not help.
const MOST_RENEWALS: u32 = 3;

impl Session {
    /// The session's time, nanoseconds since the Unix epoch.
    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.unix_ns()
    }

    /// Whether an interface that comes back can be attached again: sockets are bound to the queues of one that is gone.
    pub(crate) fn attaches_again(&self) -> bool {
        self.reader.is_none() && self.xsk.is_none()
    }

    /// The interface at `place`, last there at `seen_ns`, is gone, or its program is. Detaches what may still be attached to it
    /// elsewhere.
    pub(crate) fn release(&mut self, place: usize, seen_ns: u64) {
        let Some(attachment) = self.attachments.get_mut(place) else { return };
        let index = attachment.device.index;
        attachment.release();
        self.meters.forget(place);
        if let Some(Err(error)) = self.host.as_mut().map(|host| host.detach_from(index)) {
            output::say(&format!("rstprobe: {error}; `rstprobe detach` tries it again"));
        }
        let mut feed = self.feed.lock();
        feed.tracker().reconfigure(|config| config.unwatched.begin(place, seen_ns));
        // What was not seen may have been one.
        feed.tracker().doubt_acknowledgements();
    }

    /// Attaches to what is called `name` by now, as at the beginning; false when there is no such interface. Needs no
    /// more than `confinement::kept` keeps.
    ///
    /// # Errors
    /// It is there and cannot be attached; nothing is attached to it then.
    pub(crate) fn attach_again(&mut self, place: usize, name: &str) -> Result<bool, RunError> {
        if !netdev::is_there(name)? {
            return Ok(false);
        }
        let Some(attachment) = self.attachments.get_mut(place) else { return Ok(false) };
        attachment.attach_again(&mut self.engine, name, self.spares_host)?;
        if let Some(host) = &mut self.host
            && let Err(error) = host.attach_to(&mut self.engine, &attachment.device)
        {
            attachment.release();
            return Err(error.into());
        }
        let index = attachment.device.index;
        let described = interface(attachment, self.modes[place]);
        self.silence.begin_anew();
        let mut feed = self.feed.lock();
        let now_ns = self.clock.unix_ns();
        feed.tracker().reconfigure(|config| config.unwatched.end(place, now_ns));
        let indices = &mut self.indices[place];
        if !indices.contains(&index) {
            indices.push(index);
            feed.add_interface(described);
        }
        Ok(true)
    }

    /// Frames that the programs were called for on their way in: where it is watched, what this host sends is counted apart.
    fn received_frames(&self) -> u64 {
        if self.host.is_none() {
            return self.accounting.frames;
        }
        let queues = self.indices.iter().flat_map(|indices| queues(&self.engine, indices));
        queues.filter(|queue| queue.queue.is_some()).map(|queue| queue.frames).sum()
    }

    /// Says when the programs are given nothing of what the interfaces receive, and attaches them anew.
    pub(super) fn look_for_silence(&mut self, counters: &[Option<LinkCounters>]) {
        let Finding::Silent(packets) = self.silence.compare(counters, self.received_frames()) else { return };
        if self.renewals >= MOST_RENEWALS {
            return;
        }
        self.renewals += 1;
        let names: Vec<_> = self.attachments.iter().map(|one| one.device.name.as_str()).collect();
        let names = names.join(", ");
        output::say(&format!(
            "rstprobe: {names}: {packets} packets were received, and the driver handed the program none; attaching it anew"
        ));
        for attachment in self.attachments.iter_mut().filter(|one| one.attached_index().is_some()) {
            if let Err(error) = attachment.renew(&mut self.engine) {
                output::say(&format!("rstprobe: {error}; start rstprobe again, or use --mode generic"));
            }
        }
    }
}

/// What came in at each queue of one interface under all its indices, and what went out, if that is counted.
pub(super) fn queues(engine: &Engine, indices: &[u32]) -> Vec<QueueUse> {
    let mut sums: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let counted = engine.queues().into_iter().flat_map(|queues| indices.iter().flat_map(|index| queues.of(*index)));
    for (queue, count) in counted {
        let (frames, bytes) = sums.entry(queue).or_default();
        (*frames, *bytes) = (*frames + count.frames, *bytes + count.bytes);
    }
    let of = |(queue, (frames, bytes))| QueueUse { queue: (queue != OUTGOING).then_some(queue), frames, bytes };
    sums.into_iter().map(of).collect()
}
