//! Interface counters: what kernel, NIC and driver counted on the watched interfaces since watching began.

use crate::output;
use crate::{
    report::{self, Received},
    source::live::{
        attach::Attachment,
        driver_losses::{DriverCounters, DriverLoss},
        netdev::{self, LinkCounters},
    },
};

/// The counters of the interfaces when watching began. One that cannot be asked is no reason not to watch it.
pub(crate) struct InterfaceMeters {
    links: Vec<Option<LinkCounters>>,
    drivers: Vec<Result<DriverCounters, String>>,
}

impl InterfaceMeters {
    /// Reads them.
    pub(crate) fn read(attachments: &[Attachment]) -> Self {
        let links = Self::links(attachments);
        let driver =
            |attachment: &Attachment| DriverCounters::read(attachment.device.index).map_err(|error| error.to_string());
        Self { links, drivers: attachments.iter().map(driver).collect() }
    }

    /// The kernel's counters of the interfaces alone.
    pub(crate) fn links(attachments: &[Attachment]) -> Vec<Option<LinkCounters>> {
        // There is no interface 0: what is not attached has no counters.
        let indices: Vec<u32> = attachments.iter().map(|one| one.attached_index().unwrap_or(0)).collect();
        netdev::counters(&indices).unwrap_or_else(|_| vec![None; indices.len()])
    }

    /// Says whose drivers have no counters of their own.
    pub(crate) fn tell_absent(&self, attachments: &[Attachment]) {
        for (attachment, driver) in attachments.iter().zip(&self.drivers) {
            if let Err(why) = driver {
                let name = &attachment.device.name;
                output::say(&format!("rstprobe: {name}: the driver's own loss counters cannot be read: {why}"));
            }
        }
    }

    /// The interface at this place was away: what was counted before went with it, and what is counted from now on is a part.
    pub(crate) fn forget(&mut self, place: usize) {
        self.links[place] = None;
    }

    /// What has been counted since, by interface; nothing for one that is gone, or was.
    pub(crate) fn since(&self, attachments: &[Attachment]) -> Vec<Option<Received>> {
        let now = Self::read(attachments);
        let links = now.links.iter().zip(&self.links);
        let drivers = now.drivers.iter().zip(&self.drivers).map(|(now, before)| grown(now, before));
        links.zip(drivers).map(|((now, before), driver)| received(*now, *before, driver)).collect()
    }
}

fn received(
    now: Option<LinkCounters>,
    before: Option<LinkCounters>,
    driver: report::DriverCounters,
) -> Option<Received> {
    let LinkCounters { rx_packets, rx_dropped, rx_missed, rx_errors } = now?.since(&before?);
    Some(Received { packets: rx_packets, dropped: rx_dropped, missed: rx_missed, errors: rx_errors, driver })
}

fn grown(now: &Result<DriverCounters, String>, before: &Result<DriverCounters, String>) -> report::DriverCounters {
    match (now, before) {
        (Ok(now), Ok(before)) => {
            let loss =
                |DriverLoss { name, count, queues, by_program }| report::DriverLoss { name, count, queues, by_program };
            let grown = now.since(before).into_iter().map(loss).collect();
            report::DriverCounters { known: now.len(), absent: None, grown }
        }
        (Err(why), _) | (_, Err(why)) => {
            report::DriverCounters { absent: Some(why.clone()), ..report::DriverCounters::default() }
        }
    }
}
