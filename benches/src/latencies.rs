//! Many latencies in little memory: counts in buckets a sixteenth of an octave wide.

use std::time::Duration;

/// Buckets in an octave: what is read back is at most 4.4 % too long.
const PARTS: f64 = 16.0;
/// From one microsecond to more than an hour.
const BUCKETS: usize = 32 * PARTS as usize;

/// A histogram of durations.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Latencies {
    /// Takes one in.
    pub fn add(&mut self, took: Duration) {
        let microseconds = (took.as_secs_f64() * 1e6).max(1.0);
        let at = (microseconds.log2() * PARTS) as usize;
        self.counts[at.min(BUCKETS - 1)] += 1;
        self.total += 1;
    }

    /// Takes in all of another.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, more)| *own += more);
        self.total += other.total;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The duration in milliseconds that this share (0 to 1) did not pass; 0 where there are none.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let wanted = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return ((at + 1) as f64 / PARTS).exp2() / 1e3;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close_to_the_truth() {
        let mut all = Latencies::default();
        assert_eq!(all.quantile_ms(0.99), 0.0);
        let mut half = Latencies::default();
        for microseconds in 1..=1000 {
            let into = if microseconds % 2 == 0 { &mut all } else { &mut half };
            into.add(Duration::from_micros(microseconds));
        }
        all.merge(&half);
        assert_eq!(all.count(), 1000);
        for (share, want) in [(0.5, 0.5), (0.99, 0.99), (1.0, 1.0)] {
            let got = all.quantile_ms(share);
            assert!((want..want * 1.05).contains(&got), "{share}: {got} for {want}");
        }
    }
}
