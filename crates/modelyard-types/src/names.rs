//! Names that users give: models, versions and aliases, valid by construction.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// Longest model name or alias, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    what: &'static str,
    text: String,
    why: &'static str,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a {}: {}", self.text, self.what, self.why)
    }
}

impl std::error::Error for NameError {}

fn check(what: &'static str, text: &str) -> Result<(), NameError> {
    let refuse = |why| Err(NameError { what, text: text.chars().take(NAME_BYTES_MAX + 1).collect(), why });
    if text.is_empty() {
        return refuse("it is empty");
    }
    if text.len() > NAME_BYTES_MAX {
        return refuse("it is longer than 64 bytes");
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
        return refuse("only ASCII letters, digits, '-', '_' and '.' are allowed");
    }
    if !text.as_bytes()[0].is_ascii_alphanumeric() {
        return refuse("it must start with a letter or a digit");
    }
    Ok(())
}

/// The name under which versions of one model are registered and served.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(String);

impl ModelName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name is found among names by its text.
impl Borrow<str> for ModelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        check("model name", text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A model's version number: 1, 2, 3, … in the order of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// The first version of every model.
    pub const FIRST: Self = Self(1);

    /// The version with this number; none for zero.
    pub fn new(number: u64) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The version published after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl FromStr for Version {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().ok().and_then(Self::new).ok_or_else(|| NameError {
            what: "version",
            text: text.to_owned(),
            why: "a version is a whole number from 1",
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A movable name for a version, such as `live`. It never looks like a version number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias(String);

impl Alias {
    /// The alias that a server answers with when a request names no version.
    pub fn live() -> Self {
        Self("live".to_owned())
    }

    /// The alias as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Alias {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        check("alias", text)?;
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NameError {
                what: "alias",
                text: text.to_owned(),
                why: "an alias of digits only would be mistaken for a version",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a user points at a version: by number or by alias.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VersionSelector {
    /// This very version.
    Number(Version),
    /// Whatever the alias points at now.
    Alias(Alias),
}

impl FromStr for VersionSelector {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            return text.parse().map(Self::Number);
        }
        text.parse().map(Self::Alias)
    }
}

impl fmt::Display for VersionSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(version) => version.fmt(f),
            Self::Alias(alias) => alias.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_edge() {
        for good in ["digits", "a", "Pump-7.v2_x", "9lives"] {
            assert_eq!(good.parse::<ModelName>().map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", ".hidden", "-x", "a/b", "../up", "naïve", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_selector_is_a_number_or_an_alias() {
        assert_eq!("3".parse(), Ok(VersionSelector::Number(Version(3))));
        assert_eq!("live".parse(), Ok(VersionSelector::Alias(Alias::live())));
        assert!("0".parse::<VersionSelector>().is_err());
        assert!("".parse::<VersionSelector>().is_err());
        assert!("99999999999999999999999".parse::<VersionSelector>().is_err());
        assert!("12".parse::<Alias>().is_err());
    }
}
