//! Per-service flood counts: a bounded table of the segments that got no flow slot, by destination service.
//!
//! A fixed number of services; the smallest make room for larger ones, and their counts go to the rest.

use std::collections::HashMap;

use probe_ebpf::layout::{Endpoint, FlagCounts, Segment, ServiceRow};

use super::accounting::add_flags;

/// Services with a row of their own.
pub const MAX_SERVICES: usize = 512;

/// What was counted of one service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ServiceCounts {
    /// Control segments, by flag: SYNs and FINs sent to it, SYN-ACKs sent by it, RSTs by it (refusals) or to it.
    pub flags: FlagCounts,
    /// Segments without SYN, FIN and RST, sent to it.
    pub data: u64,
    /// Of `flags`, openings that were found again and are in a connection after all.
    pub claimed: FlagCounts,
}

impl ServiceCounts {
    /// What is in no connection, by flag.
    pub fn left(&self) -> FlagCounts {
        FlagCounts {
            syn: self.flags.syn.saturating_sub(self.claimed.syn),
            syn_ack: self.flags.syn_ack.saturating_sub(self.claimed.syn_ack),
            fin: self.flags.fin.saturating_sub(self.claimed.fin),
            rst: self.flags.rst.saturating_sub(self.claimed.rst),
        }
    }

    /// Control segments that are in no connection.
    pub fn left_sum(&self) -> u64 {
        let FlagCounts { syn, syn_ack, fin, rst } = self.left();
        syn + syn_ack + fin + rst
    }

    fn size(&self) -> u64 {
        self.left_sum() + self.data
    }

    fn add(&mut self, other: &Self) {
        add_flags(&mut self.flags, &other.flags);
        add_flags(&mut self.claimed, &other.claimed);
        self.data += other.data;
    }
}

/// A service: where it is, and in which domain.
pub type ServiceKey = (Endpoint, u32);

/// Counts by service.
#[derive(Clone, Debug)]
pub struct Services {
    rows: HashMap<ServiceKey, ServiceCounts, foldhash::fast::RandomState>,
    rest: ServiceCounts,
    max: usize,
}

impl Default for Services {
    fn default() -> Self {
        Self::new(MAX_SERVICES)
    }
}

impl Services {
    /// At most `max` services with rows of their own.
    pub fn new(max: usize) -> Self {
        Self { rows: HashMap::default(), rest: ServiceCounts::default(), max }
    }

    /// Adds what one CPU counted in one epoch.
    pub fn add_row(&mut self, row: &ServiceRow) {
        let counts = ServiceCounts { flags: row.flags(), data: row.data.into(), ..ServiceCounts::default() };
        let [a, b] = row.address;
        self.add((Endpoint { a, b, port: row.place as u16 }, (row.place >> 32) as u32), counts);
    }

    /// Adds what has no row.
    pub fn add_rest(&mut self, flags: &FlagCounts, data: u64) {
        self.rest.add(&ServiceCounts { flags: *flags, data, ..ServiceCounts::default() });
    }

    /// Notes that an opening that was counted here is in a connection now.
    pub fn claim(&mut self, segment: &Segment) {
        let (a, b, place) = probe_ebpf::flood::service(&segment.key, &segment.record);
        let key = (Endpoint { a, b, port: place as u16 }, (place >> 32) as u32);
        self.rows.get_mut(&key).unwrap_or(&mut self.rest).claimed.add(segment.record.flags);
    }

    fn add(&mut self, key: ServiceKey, counts: ServiceCounts) {
        if let Some(row) = self.rows.get_mut(&key) {
            row.add(&counts);
            return;
        }
        if self.rows.len() >= self.max {
            let smallest = self.rows.iter().map(|(key, row)| (row.size(), *key)).min();
            let Some((_, smallest)) = smallest.filter(|(size, _)| *size < counts.size()) else {
                self.rest.add(&counts);
                return;
            };
            if let Some(row) = self.rows.remove(&smallest) {
                self.rest.add(&row);
            }
        }
        self.rows.insert(key, counts);
    }

    /// Services of which something is in no connection, those with the most control segments first.
    pub fn by_size(&self) -> Vec<(ServiceKey, ServiceCounts)> {
        let mut rows: Vec<_> = self.rows.iter().map(|(key, row)| (*key, *row)).collect();
        rows.retain(|(_, row)| row.size() > 0);
        rows.sort_unstable_by_key(|(key, row)| (std::cmp::Reverse((row.left_sum(), row.data)), *key));
        rows
    }

    /// All services without a row of their own.
    pub fn rest(&self) -> &ServiceCounts {
        &self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(port: u64, syn: u32) -> ServiceRow {
        ServiceRow { address: [0, 9], place: port | probe_ebpf::layout::ROW_USED, syn, ..ServiceRow::default() }
    }

    #[test]
    fn the_largest_have_rows_and_nothing_is_lost() {
        let mut services = Services::new(3);
        for port in 1..=100 {
            services.add_row(&row(port, port as u32));
        }
        services.add_row(&row(100, 5));
        services.add_rest(&FlagCounts { fin: 2, ..FlagCounts::default() }, 3);
        let rows = services.by_size();
        assert_eq!(
            rows.iter().map(|((end, _), row)| (end.port, row.flags.syn)).collect::<Vec<_>>(),
            [(100, 105), (99, 99), (98, 98)]
        );
        let sum: u64 = rows.iter().map(|(_, row)| row.flags.syn).sum::<u64>() + services.rest().flags.syn;
        assert_eq!(sum, 5050 + 5);
        assert_eq!((services.rest().flags.fin, services.rest().data), (2, 3));
    }
}
