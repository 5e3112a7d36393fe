//! What rides along with a request from server to server: through how many it came, and who follows its steps.
//! Nothing here knows how either is written on a wire.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modelyard_types::{Deadline, ErrorKind};

use crate::statistics::Times;
use crate::urgency::Urgency;

/// Servers that a request may come through before the graphs of the last one ask no further: more than graphs that
/// are meant need, and few enough for those that lead back to each other to end at once.
pub const HOPS_MAX: u8 = 8;

/// A request's way so far.
#[derive(Clone, Default)]
pub struct Journey {
    /// Servers whose graphs passed it on.
    pub hops: u8,
    /// Who follows the steps of graphs; nobody, mostly.
    pub trail: Option<Arc<dyn Trail>>,
}

/// Follows the steps that one request takes through a graph.
pub trait Trail: Send + Sync {
    /// A step begins: the number of its span.
    fn begin(&self) -> u64;
    /// What another server is told by name, so that its spans fall below this one.
    fn carried(&self, span: u64) -> Vec<(&'static str, String)>;
    /// A step ended, or was given up.
    fn ended(&self, span: &StepSpan);
}

/// What a step of a graph did for one request: a scattered step once for each part, one that other servers run once
/// for each time that one of them was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSpan {
    /// Its number.
    pub span: u64,
    /// The step's name.
    pub step: String,
    /// Its model.
    pub model: String,
    /// The version that was chosen, where it ran here.
    pub version: Option<u64>,
    /// The server that was asked, where it ran elsewhere.
    pub server: Option<String>,
    /// Which part of the request it was, from 0; none where it was whole.
    pub part: Option<usize>,
    /// When it began.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Its wait and its run, where they are known.
    pub times: Option<Times>,
    /// Why it gave nothing.
    pub failure: Option<ErrorKind>,
}

/// How a request is to be answered, and where it comes from.
#[derive(Clone)]
pub struct Terms {
    /// Until when, and before whom.
    pub urgency: Urgency,
    /// On what way.
    pub journey: Journey,
}

impl From<Urgency> for Terms {
    /// A request that begins here and that nobody follows.
    fn from(urgency: Urgency) -> Self {
        Self { urgency, journey: Journey::default() }
    }
}

impl From<Deadline> for Terms {
    fn from(deadline: Deadline) -> Self {
        Urgency::from(deadline).into()
    }
}
