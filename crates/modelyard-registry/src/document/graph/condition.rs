//! What a switch asks of a number, such as `>= 0.5`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
}

impl Comparison {
    /// Longer signs first, so that `<=` is not read as `<`.
    const ALL: [(Self, &str); 6] = [
        (Self::AtMost, "<="),
        (Self::AtLeast, ">="),
        (Self::Equal, "=="),
        (Self::Unequal, "!="),
        (Self::Less, "<"),
        (Self::Greater, ">"),
    ];
}

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition {
    /// How the value is compared.
    pub comparison: Comparison,
    /// With which number.
    pub number: f64,
}

impl Condition {
    /// Whether a value meets it. NaN is only unequal.
    pub fn holds(self, value: f64) -> bool {
        match self.comparison {
            Comparison::Less => value < self.number,
            Comparison::AtMost => value <= self.number,
            Comparison::Greater => value > self.number,
            Comparison::AtLeast => value >= self.number,
            Comparison::Equal => value == self.number,
            Comparison::Unequal => value != self.number,
        }
    }
}

impl FromStr for Condition {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let found = Comparison::ALL.iter().find_map(|(comparison, sign)| {
            let number = text.strip_prefix(sign)?.trim().parse::<f64>().ok()?;
            Some(Self { comparison: *comparison, number })
        });
        found
            .filter(|condition| condition.number.is_finite())
            .ok_or_else(|| format!("{text:?} is no condition; write one such as \">= 0.5\" or \"== 3\""))
    }
}

impl TryFrom<String> for Condition {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        condition.to_string()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = Comparison::ALL.iter().find(|(comparison, _)| *comparison == self.comparison);
        let (_, sign) = sign.expect("all comparisons are listed");
        write!(f, "{sign} {}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_read_back_and_decide() {
        for (text, below, equal, above) in [
            ("< 2", true, false, false),
            ("<= 2", true, true, false),
            ("> 2", false, false, true),
            (">= 2", false, true, true),
            ("== 2", false, true, false),
            ("!= 2", true, false, true),
        ] {
            let condition: Condition = text.parse().expect(text);
            assert_eq!(condition.to_string(), text);
            assert_eq!([1.5, 2.0, 2.5].map(|value| condition.holds(value)), [below, equal, above], "{text}");
        }
        assert_eq!(">=-1e3".parse::<Condition>().map(|condition| condition.number), Ok(-1000.0));
        for bad in ["", "0.5", "=> 1", "> ", "> x", "> inf", "> NaN"] {
            assert!(bad.parse::<Condition>().is_err(), "{bad}");
        }
    }
}
