//! Idle gaps: finds clusters of idle times before resets, which are a timeout at work (60 s of a proxy, 350 s of a balancer).
//!
//! A few counted buckets of 5 % width instead of all gaps: bounded per row, and near enough for a timeout's name.

/// Buckets kept; a new one takes the place of the rarest. A cluster that matters is among the most frequent.
const MAX_BUCKETS: usize = 16;
/// Width of a bucket: natural logarithm of 1.05, so that each ends 5 % above its beginning.
const LN_BUCKET_RATIO: f64 = 0.048_790_164_169_432_05;
/// Fewest resets that make a cluster.
const MIN_RESETS: u64 = 5;
/// Share of all idle resets from which neighbouring buckets are a cluster, per cent.
const MIN_SHARE_PER_CENT: u64 = 50;

/// An idle time that many resets have in common.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GapCluster {
    /// Mean of the idle times in it, seconds.
    pub seconds: f64,
    /// Resets in it.
    pub resets: u64,
    /// Resets after at least one second of idleness.
    pub of: u64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Number of bucket widths above one second.
    power: i32,
    resets: u64,
    sum_s: f64,
}

/// Idle times of one row.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    buckets: Vec<Bucket>,
    all: u64,
}

impl Gaps {
    /// Adds one, nanoseconds.
    #[cold]
    pub(super) fn add(&mut self, gap_ns: u64) {
        let seconds = (gap_ns.max(1)) as f64 / 1e9;
        let power = (seconds.ln() / LN_BUCKET_RATIO).floor() as i32;
        self.all += 1;
        let known = self.buckets.iter_mut().find(|bucket| bucket.power == power);
        if let Some(bucket) = known {
            bucket.resets += 1;
            bucket.sum_s += seconds;
            return;
        }
        if self.buckets.len() == MAX_BUCKETS
            && let Some(rarest) = (0..MAX_BUCKETS).min_by_key(|&at| self.buckets[at].resets)
        {
            self.buckets.swap_remove(rarest);
        }
        self.buckets.push(Bucket { power, resets: 1, sum_s: seconds });
    }

    /// Adds those of another row.
    pub(super) fn merge(&mut self, other: &Self) {
        self.all += other.all;
        for theirs in &other.buckets {
            match self.buckets.iter_mut().find(|bucket| bucket.power == theirs.power) {
                Some(bucket) => {
                    bucket.resets += theirs.resets;
                    bucket.sum_s += theirs.sum_s;
                }
                None => self.buckets.push(*theirs),
            }
        }
        self.buckets.sort_unstable_by_key(|bucket| (std::cmp::Reverse(bucket.resets), bucket.power));
        self.buckets.truncate(MAX_BUCKETS);
    }

    /// The most frequent idle time with its two neighbours, when enough of all share it.
    pub(super) fn cluster(&self) -> Option<GapCluster> {
        let near = |center: i32| self.buckets.iter().filter(move |bucket| (bucket.power - center).abs() <= 1);
        let resets = |center: i32| near(center).map(|bucket| bucket.resets).sum::<u64>();
        let center = self.buckets.iter().max_by_key(|bucket| (resets(bucket.power), bucket.resets))?.power;
        let (resets, sum_s) = (resets(center), near(center).map(|bucket| bucket.sum_s).sum::<f64>());
        let enough = resets >= MIN_RESETS && resets * 100 >= self.all * MIN_SHARE_PER_CENT;
        enough.then(|| GapCluster { seconds: sum_s / resets as f64, resets, of: self.all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(seconds: impl IntoIterator<Item = f64>) -> Gaps {
        let mut gaps = Gaps::default();
        #[expect(clippy::cast_sign_loss, reason = "positive test data")]
        seconds.into_iter().for_each(|seconds| gaps.add((seconds * 1e9) as u64));
        gaps
    }

    #[test]
    fn a_timeout_shows_as_a_cluster() {
        let around_a_minute = (0..20).map(|step| 60.0 + f64::from(step) * 0.05);
        let scattered = (0..10).map(|step| 3.0 * 1.7_f64.powi(step));
        let cluster = gaps(scattered.clone().chain(around_a_minute)).cluster().expect("20 of 30");
        assert!((cluster.seconds - 60.5).abs() < 1.0 && cluster.resets >= 20 && cluster.of == 30, "{cluster:?}");
        let mut merged = gaps(scattered.clone());
        merged.merge(&gaps([60.0; 20]));
        let cluster = merged.cluster().expect("20 of 30");
        assert!((cluster.seconds - 60.0).abs() < 0.1 && cluster.resets == 20 && cluster.of == 30, "{cluster:?}");
        assert_eq!(gaps(scattered).cluster(), None);
        assert_eq!(gaps([60.0; 4]).cluster(), None, "four are too few");
        assert_eq!(Gaps::default().cluster(), None);
    }

    #[test]
    fn a_cluster_survives_many_rare_gaps() {
        let rare = (0..200).map(|step| 1.06_f64.powi(step));
        let cluster = gaps([350.0; 300].into_iter().chain(rare)).cluster().expect("300 of 500");
        assert!((cluster.seconds - 350.0).abs() < 5.0, "{cluster:?}");
    }
}
