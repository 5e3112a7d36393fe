//! One column of numbers in the narrowest form that gives every value back exactly. Most files write short
//! decimals such as `0.1`, which no float32 holds: those are kept as whole numbers and one power of ten.

use crate::dataset::shrink;

/// Numbers in a form that loses nothing.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// Every value so far is exact in single precision.
    Single(Vec<f32>),
    /// Every value so far is a whole number, divided by a power of ten.
    Decimal(Decimals),
    /// Some value needs double precision.
    Double(Vec<f64>),
}

/// Short decimals: 4 bytes a value.
#[derive(Clone, Debug)]
pub struct Decimals {
    /// The values times `10^places`; [`Decimals::MISSING`] is missing.
    whole: Vec<i32>,
    places: usize,
}

/// The powers of ten that are tried. Dividing a whole number below 2^53 by one of them rounds once, as
/// reading the decimal's text does, so the value comes back bit for bit (Clinger 1990).
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

impl Decimals {
    const MISSING: i32 = i32::MIN;

    /// The fewest places, at least `from`, with which this value is a whole number of 32 bits.
    fn places_of(value: f64, from: usize) -> Option<usize> {
        (from..POWERS.len()).find(|&places| Self::whole_of(value, places).is_some())
    }

    fn whole_of(value: f64, places: usize) -> Option<i32> {
        if value.is_nan() {
            return Some(Self::MISSING);
        }
        let whole = (value * POWERS[places]).round();
        let back = Self::value_of(whole as i32, places);
        (whole.abs() <= f64::from(i32::MAX) && back.to_bits() == value.to_bits()).then_some(whole as i32)
    }

    fn value_of(whole: i32, places: usize) -> f64 {
        if whole == Self::MISSING { f64::NAN } else { f64::from(whole) / POWERS[places] }
    }

    /// These values as decimals, where all of them are.
    fn of(values: &[f32], next: f64) -> Option<Self> {
        let mut decimals = Self { whole: Vec::with_capacity(values.len() + values.len() / 2 + 1), places: 0 };
        decimals.places = Self::places_of(next, 0)?;
        for &value in values {
            decimals.places = Self::places_of(f64::from(value), decimals.places)?;
        }
        for &value in values {
            decimals.whole.push(Self::whole_of(f64::from(value), decimals.places)?);
        }
        decimals.push(next).then_some(decimals)
    }

    /// Appends a value, with more places for all where need be; says whether it could.
    fn push(&mut self, value: f64) -> bool {
        let Some(places) = Self::places_of(value, self.places) else { return false };
        if places > self.places {
            let factor = POWERS[places - self.places] as i32;
            let fits = |whole: &i32| *whole == Self::MISSING || whole.checked_mul(factor).is_some();
            if !self.whole.iter().all(fits) {
                return false;
            }
            for whole in self.whole.iter_mut().filter(|whole| **whole != Self::MISSING) {
                *whole *= factor;
            }
            self.places = places;
        }
        self.whole.extend(Self::whole_of(value, places));
        true
    }

    fn get(&self, row: usize) -> f64 {
        Self::value_of(self.whole[row], self.places)
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Single(Vec::new())
    }
}

impl PartialEq for Numbers {
    /// The same values, however they are kept; missing ones are unequal to all, as NaN is.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| a == b)
    }
}

impl Numbers {
    /// Appends a value, widening the column where its form would change it.
    pub fn push(&mut self, value: f64) {
        match self {
            Self::Single(values) if value.is_nan() || f64::from(value as f32) == value => {
                values.push(value as f32);
            }
            Self::Single(values) => match Decimals::of(values, value) {
                Some(decimals) => *self = Self::Decimal(decimals),
                None => self.widen(value),
            },
            Self::Decimal(decimals) => {
                if !decimals.push(value) {
                    self.widen(value);
                }
            }
            Self::Double(values) => values.push(value),
        }
    }

    /// Goes over to double precision.
    fn widen(&mut self, value: f64) {
        let mut wide = Vec::with_capacity(self.len() + self.len() / 2 + 1);
        wide.extend(self.iter());
        wide.push(value);
        *self = Self::Double(wide);
    }

    /// The value of a row; NaN is missing.
    pub fn get(&self, row: usize) -> f64 {
        match self {
            Self::Single(values) => f64::from(values[row]),
            Self::Decimal(decimals) => decimals.get(row),
            Self::Double(values) => values[row],
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Single(values) => values.len(),
            Self::Decimal(decimals) => decimals.whole.len(),
            Self::Double(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Gives back memory that growing took ahead of need.
    pub fn shrink(&mut self) {
        match self {
            Self::Single(values) => shrink(values),
            Self::Decimal(decimals) => shrink(&mut decimals.whole),
            Self::Double(values) => shrink(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Numbers {
        let mut numbers = Numbers::default();
        values.iter().for_each(|&value| numbers.push(value));
        numbers
    }

    #[test]
    fn numbers_stay_narrow_while_that_is_exact() {
        let exact = [1.0, f64::NAN, -0.5, 16_777_216.0];
        assert!(matches!(of(&exact), Numbers::Single(_)));
        let numbers = of(&[&exact[..], &[0.1, 0.123_456]].concat());
        assert!(matches!(numbers, Numbers::Double(_)), "16777216.000000 has more digits than 32 bits hold");
        let numbers = of(&[1.0, f64::NAN, -0.5, 0.1, -0.125_5, -20.25]);
        assert!(matches!(numbers, Numbers::Decimal(_)));
        assert!(numbers.get(1).is_nan());
        assert_eq!([0, 2, 3, 4, 5].map(|row| numbers.get(row)), [1.0, -0.5, 0.1, -0.125_5, -20.25]);
        assert!(matches!(of(&[0.1, -0.0]), Numbers::Double(_)), "minus zero has no whole number");
        assert!(matches!(of(&[0.1, std::f64::consts::PI]), Numbers::Double(_)));
    }

    proptest! {
        #[test]
        fn every_value_comes_back_bit_for_bit(
            texts in prop::collection::vec("-?[0-9]{1,6}(\\.[0-9]{1,7})?(e-?[0-9]{1,2})?|NaN", 0..60),
        ) {
            let values: Vec<f64> = texts.iter().map(|text| text.parse().expect("a number")).collect();
            let numbers = of(&values);
            let bits = |value: f64| if value.is_nan() { None } else { Some(value.to_bits()) };
            let back: Vec<_> = numbers.iter().map(bits).collect();
            prop_assert_eq!(back, values.iter().copied().map(bits).collect::<Vec<_>>());
        }
    }
}
