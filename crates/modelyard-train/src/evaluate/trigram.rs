//! The baseline of language models: an interpolated Kneser-Ney trigram over the same tokens.
//!
//! Kneser and Ney 1995, in the modified form of Chen and Goodman 1999 ("An empirical study of smoothing techniques for
//! language modeling", section 3): three discounts an order, estimated from the counts of counts.

use std::collections::HashMap;

use modelyard_data::{Language, NO_TOKEN, NextTokens};

/// A trigram model of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigram {
    /// After two tokens, after one, after none.
    orders: [Order; 3],
    /// The share of each token where nothing else is known.
    even: f64,
}

/// How often each token follows each context, and what is taken from those counts for tokens that never did.
#[derive(Clone, Debug, Default, PartialEq)]
struct Order {
    counts: HashMap<(u64, u32), u32>,
    contexts: HashMap<u64, Context>,
    discounts: [f64; 3],
}

/// What follows one context.
#[derive(Clone, Debug, Default, PartialEq)]
struct Context {
    total: u64,
    /// How many different tokens were counted once, twice, more often.
    kinds: [u32; 3],
}

/// Two tokens as one context.
fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

/// 0, 1 or 2 for a count of one, two, or more.
fn kind(count: u32) -> usize {
    (count.clamp(1, 3) - 1) as usize
}

impl Order {
    fn new(counts: HashMap<(u64, u32), u32>) -> Self {
        let mut order = Self { counts, ..Self::default() };
        let mut of_counts = [0u64; 5];
        for ((context, _), &count) in &order.counts {
            let context = order.contexts.entry(*context).or_default();
            context.total += u64::from(count);
            context.kinds[kind(count)] += 1;
            if let Some(found) = of_counts.get_mut(count as usize) {
                *found += 1;
            }
        }
        order.discounts = discounts(of_counts);
        order
    }

    /// The share of a token after a context, given its share after the shorter one.
    fn share(&self, context: u64, token: u32, shorter: f64) -> f64 {
        let Some(found) = self.contexts.get(&context) else { return shorter };
        let count = self.counts.get(&(context, token)).copied().unwrap_or(0);
        let kept = if count == 0 { 0.0 } else { f64::from(count) - self.discounts[kind(count)] };
        let taken: f64 = found.kinds.iter().zip(self.discounts).map(|(kinds, d)| f64::from(*kinds) * d).sum();
        (kept + taken * shorter) / found.total as f64
    }
}

/// Chen and Goodman's D1, D2 and D3+, from how many n-grams come once, twice, three and four times.
fn discounts([_, one, two, three, four]: [u64; 5]) -> [f64; 3] {
    let [one, two, three, four] = [one, two, three, four].map(|count| count as f64);
    let share = one / (one + 2.0 * two).max(1.0);
    let discount = |times: f64, this: f64, next: f64| {
        // Too little text to tell: half of what the smallest count could lose.
        if this == 0.0 {
            times / 2.0
        } else {
            (times - (times + 1.0) * share * next / this).clamp(0.0, times)
        }
    };
    [discount(1.0, one, two), discount(2.0, two, three), discount(3.0, three, four)]
}

/// The trigrams of rows: two tokens and what followed them.
fn trigrams(texts: &NextTokens) -> impl Iterator<Item = (u32, u32, u32)> {
    texts.tokens.chunks_exact(texts.steps.max(1)).flat_map(|row| {
        let mut before = (Language::BOUNDARY, Language::BOUNDARY);
        row.iter().take_while(|token| **token != NO_TOKEN).map(move |&token| {
            let (first, second) = before;
            before = (second, token);
            (first, second, token)
        })
    })
}

impl Trigram {
    /// Counts the texts of the training rows. There are `tokens` different tokens, padding included.
    pub fn learn(texts: &NextTokens, tokens: usize) -> Self {
        let mut threes: HashMap<(u64, u32), u32> = HashMap::new();
        for (first, second, token) in trigrams(texts) {
            *threes.entry((pair(first, second), token)).or_default() += 1;
        }
        // Below the highest order, a token counts once for each different token before its context; at the beginning
        // of a text, where nothing stands before, as often as it comes.
        let mut twos: HashMap<(u64, u32), u32> = HashMap::new();
        let beginning = pair(Language::BOUNDARY, Language::BOUNDARY);
        for (&(context, token), &count) in &threes {
            let second = context & u64::from(u32::MAX);
            *twos.entry((second, token)).or_default() += if context == beginning { count } else { 1 };
        }
        let mut ones: HashMap<(u64, u32), u32> = HashMap::new();
        for (_, token) in twos.keys() {
            *ones.entry((0, *token)).or_default() += 1;
        }
        // Nothing ever continues with padding.
        let even = 1.0 / tokens.saturating_sub(1).max(1) as f64;
        Self { orders: [threes, twos, ones].map(Order::new), even }
    }

    /// The probability of a token after two others.
    pub fn probability(&self, first: u32, second: u32, token: u32) -> f64 {
        let [threes, twos, ones] = &self.orders;
        let share = ones.share(0, token, self.even);
        let share = twos.share(u64::from(second), token, share);
        threes.share(pair(first, second), token, share)
    }

    /// −ln of the probability of each row's tokens, summed.
    pub fn losses(&self, texts: &NextTokens) -> Vec<f64> {
        let row = |row: &[u32]| {
            let one = NextTokens { steps: texts.steps, tokens: row.to_vec(), characters: Vec::new() };
            -trigrams(&one).map(|(a, b, token)| self.probability(a, b, token).ln()).sum::<f64>()
        };
        texts.tokens.chunks_exact(texts.steps.max(1)).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: usize = 9;

    /// Rows of tokens from 3 on; 2 ends a text.
    fn texts(rows: &[&[u32]]) -> NextTokens {
        let steps = 6;
        let mut tokens = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            tokens.extend_from_slice(row);
            tokens.resize((at + 1) * steps, NO_TOKEN);
        }
        NextTokens { steps, tokens, characters: vec![1; rows.len()] }
    }

    #[test]
    fn probabilities_after_any_tokens_sum_to_one() {
        let model =
            Trigram::learn(&texts(&[&[3, 4, 5, 2], &[3, 4, 6, 2], &[4, 4, 5, 5, 5, 3], &[2]]), TOKENS);
        for (first, second) in [(2, 2), (2, 3), (3, 4), (7, 7), (4, 8), (5, 5)] {
            let sum: f64 = (1..TOKENS as u32).map(|token| model.probability(first, second, token)).sum();
            assert!((sum - 1.0).abs() < 1e-12, "after {first} {second}: {sum}");
            assert!((1..TOKENS as u32).all(|token| model.probability(first, second, token) > 0.0));
        }
    }

    #[test]
    fn discounts_are_those_of_chen_and_goodman() {
        // n1..n4 = 40, 20, 10, 5: Y = 40 / 80.
        let found = discounts([0, 40, 20, 10, 5]);
        for (found, wanted) in found.iter().zip([0.5, 1.25, 2.0]) {
            assert!((found - wanted).abs() < 1e-12, "{found} for {wanted}");
        }
        assert_eq!(discounts([0; 5]), [0.5, 1.0, 1.5]);
    }

    #[test]
    fn a_token_that_follows_many_others_is_likelier_than_one_as_frequent_that_follows_one() {
        // 5 comes four times, always after 4; 6 comes four times, after four different tokens.
        let rows: [&[u32]; 8] = [&[4, 5], &[4, 5], &[4, 5], &[4, 5], &[3, 6], &[7, 6], &[8, 6], &[6, 6]];
        let model = Trigram::learn(&texts(&rows), TOKENS);
        assert!(model.probability(7, 7, 6) > 2.0 * model.probability(7, 7, 5), "the point of Kneser and Ney");
        assert!(model.probability(2, 4, 5) > 0.6, "it has seen little else");
    }

    #[test]
    fn what_was_seen_costs_less() {
        let seen = texts(&[&[3, 4, 5, 2], &[3, 4, 5, 2], &[3, 4, 6, 2], &[5, 6, 2]]);
        let model = Trigram::learn(&seen, TOKENS);
        let losses = model.losses(&texts(&[&[3, 4, 5, 2], &[8, 7, 8, 2], &[]]));
        assert!(losses[0] < losses[1] / 2.0 && losses[2] == 0.0, "{losses:?}");
        let by_hand = model.probability(2, 2, 3) * model.probability(2, 3, 4);
        let by_hand = by_hand * model.probability(3, 4, 5) * model.probability(4, 5, 2);
        assert!((losses[0] + by_hand.ln()).abs() < 1e-12);
    }
}
