//! How training looks while it runs: a bar on a terminal, plain lines elsewhere, nothing with `--quiet`.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use modelyard_train::{EpochRecord, Progress, RunPlan, StepRecord};

/// About this many plain lines are printed for a whole run.
const LINES: usize = 20;

/// The bar's look; the message holds the numbers.
const STYLE: &str = "training [{bar:24}] {msg}";

/// Draws the progress of one training run on standard error.
pub(crate) struct TrainingProgress {
    display: Display,
    plan: Option<RunPlan>,
    /// The time of all epochs so far, validation included.
    spent: Duration,
    /// The last validation score, in words.
    score: String,
}

enum Display {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl TrainingProgress {
    /// The display that suits standard error.
    pub(crate) fn new(quiet: bool) -> Self {
        let display = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Display::Nothing,
            (false, true) => {
                let style = ProgressStyle::with_template(STYLE).expect("the template is well-formed");
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                bar.set_style(style.progress_chars("=> "));
                Display::Bar(bar)
            }
            (false, false) => Display::Lines,
        };
        Self { display, plan: None, spent: Duration::ZERO, score: String::new() }
    }

    /// Leaves the bar as it stands, whether or not every epoch was run.
    pub(crate) fn finish(&self) {
        if let Display::Bar(bar) = &self.display {
            bar.abandon();
        }
    }

    fn line(&self, plan: &RunPlan, epoch: usize, numbers: Numbers) -> String {
        let left = Duration::from_secs_f64(numbers.left_seconds.max(0.0));
        format!(
            "epoch {epoch}/{}  loss {:.4}{}  {} samples/s  {} left",
            plan.epochs,
            numbers.loss,
            self.score,
            thousands(numbers.rows_per_second),
            seconds(left),
        )
    }
}

/// What a line shows beside the epoch.
#[derive(Clone, Copy)]
struct Numbers {
    loss: f64,
    rows_per_second: f64,
    left_seconds: f64,
}

impl Progress for TrainingProgress {
    fn started(&mut self, plan: &RunPlan) {
        if let Display::Bar(bar) = &self.display {
            bar.set_length((plan.epochs * plan.rows) as u64);
        }
        self.plan = Some(plan.clone());
    }

    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    fn steps(&mut self, now: &StepRecord) {
        let (Display::Bar(bar), Some(plan)) = (&self.display, &self.plan) else { return };
        let rows_done = (now.epoch - 1) * plan.rows + now.rows;
        let rows_left = plan.epochs * plan.rows - rows_done;
        let spent = (self.spent + now.elapsed).as_secs_f64();
        let numbers = Numbers {
            loss: now.loss,
            rows_per_second: now.rows as f64 / now.elapsed.as_secs_f64().max(1e-9),
            left_seconds: spent / rows_done.max(1) as f64 * rows_left as f64,
        };
        bar.set_position(rows_done as u64);
        bar.set_message(self.line(plan, now.epoch, numbers));
    }

    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    fn epoch(&mut self, record: &EpochRecord) {
        let Some(plan) = self.plan.clone() else { return };
        self.spent += record.elapsed;
        self.score = record.metric.map(|score| format!("  {} {score:.4}", plan.metric)).unwrap_or_default();
        let per_epoch = self.spent.as_secs_f64() / record.epoch as f64;
        let numbers = Numbers {
            loss: record.loss,
            rows_per_second: record.rows_per_second,
            left_seconds: per_epoch * (plan.epochs - record.epoch) as f64,
        };
        let line = self.line(&plan, record.epoch, numbers);
        match &self.display {
            Display::Bar(bar) => {
                bar.set_position((record.epoch * plan.rows) as u64);
                bar.set_message(line);
            }
            Display::Lines => {
                let every = plan.epochs.div_ceil(LINES);
                if record.epoch == 1 || record.epoch.is_multiple_of(every) || record.epoch == plan.epochs {
                    // Standard error that went away stops no training.
                    let _ = writeln!(io::stderr(), "{line}");
                }
            }
            Display::Nothing => {}
        }
    }

    fn warning(&mut self, text: &str) {
        match &self.display {
            Display::Bar(bar) => bar.suspend(|| tell(text)),
            Display::Lines | Display::Nothing => tell(text),
        }
    }
}

/// A warning is told even to whoever wants the result only.
fn tell(text: &str) {
    // Standard error that went away stops no training.
    let _ = writeln!(io::stderr(), "warning: {text}");
}

/// A whole number in groups of three: 12,345.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, far below 2^63")]
pub(crate) fn thousands(value: f64) -> String {
    let digits = (value.max(0.0).round() as u64).to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration with as many digits as matter: 0.4 s, 12 s, 3 min 20 s.
pub(crate) fn seconds(duration: Duration) -> String {
    let total = duration.as_secs();
    match total {
        0 => format!("{:.2} s", duration.as_secs_f64()),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{total} s"),
        60..3600 => format!("{} min {} s", total / 60, total % 60),
        _ => format!("{} h {} min", total / 3600, total % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!([0.4, 999.0, 1000.0, 1_234_567.0].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        let shown = [0.44, 12.9, 200.0, 3700.0].map(|s| seconds(Duration::from_secs_f64(s)));
        assert_eq!(shown, ["0.44 s", "12 s", "3 min 20 s", "1 h 1 min"]);
    }

    #[test]
    fn a_line_has_loss_metric_rate_and_time_left() {
        let mut progress = TrainingProgress::new(true);
        let plan = RunPlan { epochs: 4, rows: 100, steps: 4, threads: 1, parameters: 9, metric: "accuracy" };
        progress.started(&plan);
        progress.epoch(&EpochRecord {
            epoch: 1,
            loss: 0.5,
            validation_loss: None,
            metric: Some(0.75),
            metrics: std::collections::BTreeMap::new(),
            best: true,
            learning_rate: 0.1,
            rows_per_second: 5000.0,
            elapsed: Duration::from_secs(2),
        });
        let numbers = Numbers { loss: 0.25, rows_per_second: 5000.0, left_seconds: 6.0 };
        assert_eq!(
            progress.line(&plan, 2, numbers),
            "epoch 2/4  loss 0.2500  accuracy 0.7500  5,000 samples/s  6.0 s left"
        );
        assert_eq!(progress.spent, Duration::from_secs(2));
    }
}
