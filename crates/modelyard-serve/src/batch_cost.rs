//! What batches cost of late, measured: it decides whose thread does the work, and whether company pays.
//!
//! A batch is taken to cost `fixed + row · rows`. The line goes through two averages that forget: what one row
//! takes alone, and what batches of several take.

use std::time::Duration;

use crate::cost::SHORT;

/// What a row must save in company before it waits a round for it: gathering, joining and taking apart cost
/// one to two microseconds a request (measured with a network that computes next to nothing).
const SAVED_MIN_S: f64 = 4e-6;
/// And that part of what its own rows cost: long requests gain little, and are copied to be joined.
const SAVED_SHARE_MIN: f64 = 0.25;
/// What a new measurement weighs.
const NEW: f64 = 0.125;
/// A run that took so many times what was expected was held up by something else.
const HELD_UP: f64 = 3.0;
const EXPECTED_MIN_S: f64 = 1e-7;

/// Averages of late.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct BatchCost {
    /// Of all runs: whoever is held up on the caller's thread holds up the caller, whatever the reason.
    all: Averages,
    /// With runs that were held up cut short: what company saves is a matter of what a run takes by itself.
    usual: Averages,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Averages {
    /// Seconds of a batch of one row.
    one: Option<f64>,
    /// Rows and seconds of batches of several.
    many: Option<(f64, f64)>,
}

impl BatchCost {
    /// Takes in a measurement.
    pub(crate) fn observe(&mut self, rows: usize, took: Duration) {
        let (rows, seconds) = (rows as f64, took.as_secs_f64());
        self.all.observe(rows, seconds);
        let expected = self.usual.line().map(|(fixed, row)| (fixed + row * rows).max(EXPECTED_MIN_S));
        self.usual.observe(rows, expected.map_or(seconds, |expected| seconds.min(HELD_UP * expected)));
    }

    /// Whether this many rows in one batch are short work. What was never measured counts as long.
    pub(crate) fn is_short(&self, rows: usize) -> bool {
        let Some((fixed, row)) = self.all.line() else { return false };
        fixed + row * rows as f64 <= SHORT.as_secs_f64()
    }

    /// Whether a request of so many rows gains more by sharing its batch than waiting a round costs.
    pub(crate) fn company_pays(&self, rows: usize) -> bool {
        let Some((fixed, row)) = self.usual.line() else { return false };
        fixed >= SAVED_MIN_S.max(SAVED_SHARE_MIN * row * rows as f64)
    }
}

impl Averages {
    fn observe(&mut self, rows: f64, seconds: f64) {
        let towards = |average: f64, value: f64| average + NEW * (value - average);
        if rows <= 1.0 {
            self.one = Some(self.one.map_or(seconds, |one| towards(one, seconds)));
        } else {
            let before = self.many.unwrap_or((rows, seconds));
            self.many = Some((towards(before.0, rows), towards(before.1, seconds)));
        }
    }

    /// Seconds of a batch before its first row, and of each row. Until both kinds of batches were seen, each
    /// row is taken to cost as much as the first.
    fn line(&self) -> Option<(f64, f64)> {
        match (self.one, self.many) {
            (Some(one), Some((rows, seconds))) => {
                let row = ((seconds - one) / (rows - 1.0)).clamp(0.0, one);
                Some((one - row, row))
            }
            (Some(one), None) => Some((0.0, one)),
            (None, Some((rows, seconds))) => Some((0.0, seconds / rows)),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    #[test]
    fn work_is_short_once_it_was_seen_to_be() {
        let mut cost = BatchCost::default();
        assert!(!cost.is_short(1));
        cost.observe(10, us(100));
        assert!(cost.is_short(40) && !cost.is_short(41), "each row as dear as the first");
        cost.observe(1, us(10));
        assert!(cost.is_short(40) && !cost.is_short(41), "the line through both");
        cost.observe(1, Duration::from_millis(10));
        assert!(!cost.is_short(1), "one long run makes it careful");
        for _ in 0..60 {
            cost.observe(1, us(10));
        }
        assert!(cost.is_short(30), "and many short ones make it trust again");
    }

    #[test]
    fn a_batch_costs_less_than_its_rows_alone() {
        let mut cost = BatchCost::default();
        cost.observe(1, us(50));
        assert!(cost.is_short(8) && !cost.is_short(9));
        cost.observe(9, us(130));
        assert!(cost.is_short(36) && !cost.is_short(37), "40 before the first, 10 for each");
    }

    #[test]
    fn company_pays_where_the_first_row_is_dear_and_the_request_short() {
        let mut cost = BatchCost::default();
        assert!(!cost.company_pays(1), "nothing is known");
        cost.observe(1, us(50));
        assert!(!cost.company_pays(1), "nothing is known of batches");
        cost.observe(9, us(130));
        assert!(cost.company_pays(1) && cost.company_pays(16) && !cost.company_pays(17));
        let mut small = BatchCost::default();
        small.observe(1, us(3));
        small.observe(8, us(3));
        assert!(!small.company_pays(1), "waiting costs more than the whole run");
        small.observe(1, Duration::from_millis(20));
        assert!(!small.company_pays(1), "the processor was taken away for once");
        (0..10).for_each(|_| small.observe(1, us(60)));
        assert!(small.company_pays(1), "it has become dear");
        let mut even = BatchCost::default();
        even.observe(1, us(100));
        even.observe(8, us(900));
        assert!(!even.company_pays(1), "batches cost more than their rows alone");
    }
}
