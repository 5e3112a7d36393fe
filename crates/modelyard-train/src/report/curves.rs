//! How training went: loss, score and learning rate by epoch.

use crate::fit::Trained;
use crate::progress::EpochRecord;

use super::html::{number, section, table};
use super::svg::{Chart, Guide, Mark, Series};

/// The numbers behind the curves are listed for this many epochs.
const EPOCHS_LISTED_MAX: usize = 1_000;

pub(super) fn curves(trained: &Trained, metric: &str) -> String {
    let history = &trained.history;
    let line = |name: &str, value: fn(&EpochRecord) -> Option<f64>| Series {
        name: name.to_owned(),
        mark: Mark::Line,
        points: history.iter().filter_map(|record| Some((record.epoch as f64, value(record)?))).collect(),
    };
    let chart = |title, y, series: Vec<Series>| {
        let series: Vec<Series> = series.into_iter().filter(|series| !series.points.is_empty()).collect();
        match series.is_empty() {
            true => String::new(),
            false => Chart { title, x: "epoch", y, guide: Guide::None, series }.figure(),
        }
    };
    let loss = vec![
        line("training", |record| Some(record.loss)),
        line("validation", |record| record.validation_loss),
    ];
    let charts = [
        chart("Loss", "loss", loss),
        chart("Score on the validation rows", metric, vec![line(metric, |record| record.metric)]),
        chart(
            "Learning rate",
            "learning rate",
            vec![line("learning rate", |record| Some(f64::from(record.learning_rate)))],
        ),
    ];
    let kept = format!(
        "<p>{} epochs in {:.1} s on {} thread{}; the weights of epoch {} were kept.</p>",
        history.len(),
        trained.elapsed.as_secs_f64(),
        trained.threads,
        if trained.threads == 1 { "" } else { "s" },
        trained.kept_epoch
    );
    let body = format!("{kept}<div class=\"charts\">{}</div>{}", charts.concat(), epochs(history, metric));
    section("How it learned", &body)
}

/// The same as a table, folded away.
fn epochs(history: &[EpochRecord], metric: &str) -> String {
    let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
    let rows = history.iter().take(EPOCHS_LISTED_MAX).map(|record| {
        vec![
            record.epoch.to_string(),
            number(record.loss),
            shown(record.validation_loss),
            shown(record.metric),
            number(f64::from(record.learning_rate)),
            format!("{:.0}", record.rows_per_second),
        ]
    });
    let headings = ["epoch", "loss", "validation loss", metric, "learning rate", "rows a second"];
    format!("<details><summary>Every epoch</summary>{}</details>", table("", &headings, rows))
}
