//! How many requests may be sent again: a share of all, so that retries never double the load of servers that
//! are in trouble. Source: <https://github.com/grpc/proposal/blob/master/A6-client-retries.md>, "Throttling".

/// Tokens that each request adds: one of ten may be sent again.
const PER_REQUEST: f64 = 0.1;
/// Most tokens that are saved up, which is how many retries a sudden failure gets at once.
const TOKENS_MAX: f64 = 10.0;

/// The retries that are left.
#[derive(Debug)]
pub(super) struct RetryBudget {
    tokens: f64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { tokens: TOKENS_MAX }
    }
}

impl RetryBudget {
    /// A request was sent for the first time.
    pub(super) fn request(&mut self) {
        self.tokens = (self.tokens + PER_REQUEST).min(TOKENS_MAX);
    }

    /// Whether one may be sent again; takes it off.
    pub(super) fn take(&mut self) -> bool {
        let is_left = self.tokens >= 1.0;
        if is_left {
            self.tokens -= 1.0;
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_ten_is_sent_again() {
        let mut budget = RetryBudget::default();
        let at_once = std::iter::from_fn(|| budget.take().then_some(())).count();
        assert_eq!(at_once, 10);
        let mut again = 0;
        for _ in 0..1000 {
            budget.request();
            again += usize::from(budget.take());
        }
        assert!((99..=100).contains(&again), "{again}");
        (0..10_000).for_each(|_| budget.request());
        assert_eq!(std::iter::from_fn(|| budget.take().then_some(())).count(), 10, "no more is saved up");
    }
}
