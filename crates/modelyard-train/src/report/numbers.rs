//! Answers that are numbers: how far they are off, and where.

use super::html::section;
use super::svg::{Chart, Guide, Mark, Series};

/// More outputs than this share one page badly.
const OUTPUTS_SHOWN_MAX: usize = 8;

/// What was wanted and answered: rows × outputs.
pub(super) fn residuals(names: &[String], truth: &[f32], predicted: &[f32], outputs: usize) -> String {
    let mut charts = String::new();
    for at in 0..outputs.min(OUTPUTS_SHOWN_MAX) {
        let unnamed = format!("output {}", at + 1);
        let name = names.get(at).unwrap_or(&unnamed);
        let pairs = truth.iter().zip(predicted).skip(at).step_by(outputs.max(1));
        let pairs: Vec<(f64, f64)> = pairs.map(|(t, p)| (f64::from(*t), f64::from(*p))).collect();
        let dots = |points| vec![Series { name: name.clone(), mark: Mark::Dots, points }];
        let answers = Chart {
            title: "Answers beside the truth: on the dashed line, they are right",
            x: "truth",
            y: "answer",
            guide: Guide::Diagonal,
            series: dots(pairs.clone()),
        };
        let residuals = Chart {
            title: "How far answers are off",
            x: "truth",
            y: "answer − truth",
            guide: Guide::Zero,
            series: dots(pairs.into_iter().map(|(truth, answer)| (truth, answer - truth)).collect()),
        };
        charts += &format!("{}{}", answers.figure(), residuals.figure());
    }
    section("How far it is off", &format!("<div class=\"charts\">{charts}</div>"))
}
