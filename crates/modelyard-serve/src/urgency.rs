//! How pressing a request is: until when its answer is of use, and whether it goes before others.

use modelyard_types::Deadline;

/// The priority of requests that name none, in the middle of what can be named.
pub const PRIORITY_DEFAULT: u8 = 100;

/// When an answer stops being of use, and which requests wait behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Urgency {
    /// The instant after which the answer is of no use.
    pub deadline: Deadline,
    /// From 1, which goes first, to 255; requests that name none have 100.
    pub priority: u8,
}

impl Urgency {
    /// The same deadline with the priority that a request names: 0 means that it names none, and what is
    /// beyond 255 waits as long as 255.
    pub fn with_priority(self, named: u32) -> Self {
        match u8::try_from(named) {
            Ok(0) => self,
            Ok(priority) => Self { priority, ..self },
            Err(_) => Self { priority: u8::MAX, ..self },
        }
    }
}

impl From<Deadline> for Urgency {
    fn from(deadline: Deadline) -> Self {
        Self { deadline, priority: PRIORITY_DEFAULT }
    }
}
