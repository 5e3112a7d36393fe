//! When a request waits a round: until every task of its thread that could run has run, and the sockets were asked
//! once more. Whoever else had a request ready has then put it into the queue, and one batch takes them all.
//!
//! No timer is involved, so a request without company loses a few microseconds. Where there was none for a while,
//! or where company is not known to pay, only some try, to notice when that changes.

/// Rounds without company after which most requests do not wait for any.
const LONELY_MAX: u32 = 8;
/// One of so many requests tries all the same.
const TRY_EVERY: u32 = 64;

/// What came of the rounds of late.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rounds {
    lonely: u32,
    passed: u32,
}

impl Rounds {
    /// Whether the next request waits a round, given that company pays or does not.
    pub(crate) fn waits(&mut self, pays: bool) -> bool {
        if pays && self.lonely < LONELY_MAX {
            return true;
        }
        self.passed += 1;
        if self.passed < TRY_EVERY {
            return false;
        }
        self.passed = 0;
        true
    }

    /// Several requests were in one batch.
    pub(crate) fn met_company(&mut self) {
        self.lonely = 0;
    }

    /// A round ended, and nobody else had come.
    pub(crate) fn was_alone(&mut self) {
        self.lonely = self.lonely.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(rounds: &mut Rounds, pays: bool) -> usize {
        (0..640).filter(|_| rounds.waits(pays)).count()
    }

    #[test]
    fn all_wait_where_there_is_company_and_some_where_there_is_none() {
        let mut rounds = Rounds::default();
        assert_eq!(waiting(&mut rounds, true), 640);
        assert_eq!(waiting(&mut rounds, false), 10);
        (0..LONELY_MAX).for_each(|_| rounds.was_alone());
        assert_eq!(waiting(&mut rounds, true), 10);
        rounds.met_company();
        assert_eq!(waiting(&mut rounds, true), 640);
    }
}
