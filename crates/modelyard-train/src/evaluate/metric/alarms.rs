//! Metrics of anomalies: which events were found, how many alarms were false, and how many rows were flagged.

use super::{Interval, Metric, Sample, TaskKind};
use crate::evaluate::series::{Alarms, Detail};

/// A number that alarms and events give.
pub(super) struct AlarmMetric {
    name: &'static str,
    summary: &'static str,
    higher_is_better: bool,
    score: fn(&Alarms) -> Option<f64>,
}

/// The share of labelled events with an alarm in them.
pub(super) const EVENTS_FOUND: AlarmMetric = AlarmMetric {
    name: "events_found",
    summary: "The share of labelled anomalies (rows that follow each other) in which a row was flagged. Undefined where none is labelled.",
    higher_is_better: true,
    score: |alarms| {
        let events = alarms.events();
        let found = events.iter().filter(|event| alarms.flagged[(*event).clone()].contains(&true)).count();
        (!events.is_empty()).then(|| found as f64 / events.len() as f64)
    },
};

/// Alarms that touch no labelled event.
pub(super) const FALSE_ALARMS: AlarmMetric = AlarmMetric {
    name: "false_alarms",
    summary: "How many alarms hold no row that is labelled as anomalous; flagged rows less than a window apart are one alarm. Undefined without labels.",
    higher_is_better: false,
    score: |alarms| {
        let truth = alarms.truth.as_ref()?;
        let is_false = |group: &std::ops::Range<usize>| !truth[group.clone()].contains(&true);
        Some(alarms.groups().iter().filter(|group| is_false(group)).count() as f64)
    },
};

/// Flagged rows of all.
pub(super) const FLAGGED_SHARE: AlarmMetric = AlarmMetric {
    name: "flagged_share",
    summary: "The share of rows that were flagged as anomalous.",
    higher_is_better: false,
    score: |alarms| {
        let flagged = alarms.flagged.iter().filter(|flag| **flag).count();
        (!alarms.flagged.is_empty()).then(|| flagged as f64 / alarms.flagged.len() as f64)
    },
};

impl Metric for AlarmMetric {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::Anomaly
    }

    fn higher_is_better(&self) -> bool {
        self.higher_is_better
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let Sample::Series(series) = sample else { return None };
        let Detail::Anomaly(alarms) = &series.detail else { return None };
        (self.score)(alarms)
    }

    /// Rows of a series are not drawn one by one, so that no interval would be true.
    fn interval(&self, _sample: &Sample, _score: f64) -> Option<Interval> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_counted_by_events_and_groups() {
        let flags = |text: &str| text.chars().map(|c| c == '1').collect::<Vec<_>>();
        let alarms = Alarms {
            flagged: flags("0110000010010000"),
            truth: Some(flags("0011100000000110")),
            stretches: vec![0; 16],
            apart: 3,
        };
        assert_eq!((EVENTS_FOUND.score)(&alarms), Some(0.5));
        assert_eq!((FALSE_ALARMS.score)(&alarms), Some(1.0), "rows 8 and 11 are one alarm");
        assert_eq!((FLAGGED_SHARE.score)(&alarms), Some(0.25));
        let unlabelled = Alarms { truth: None, ..alarms };
        assert_eq!((EVENTS_FOUND.score)(&unlabelled), None);
        assert_eq!((FALSE_ALARMS.score)(&unlabelled), None);
    }
}
