//! What every metric must do, and scikit-learn 1.9's values for the same rows.

use super::*;

fn three_classes() -> Sample {
    Sample::Classes {
        truth: vec![0, 1, 2, 2, 1, 0, 1, 2, 0, 1],
        probabilities: vec![
            0.7, 0.2, 0.1, 0.1, 0.6, 0.3, 0.2, 0.2, 0.6, 0.5, 0.25, 0.25, 0.3, 0.4, 0.3, 0.25, 0.5, 0.25,
            0.1, 0.8, 0.1, 0.1, 0.1, 0.8, 0.6, 0.3, 0.1, 0.2, 0.3, 0.5,
        ],
        classes: 3,
    }
}

fn two_classes() -> Sample {
    let positive = [0.1f32, 0.4, 0.35, 0.8, 0.4, 0.6, 0.9, 0.4];
    Sample::Classes {
        truth: vec![0, 0, 1, 1, 1, 0, 1, 0],
        probabilities: positive.iter().flat_map(|p| [1.0 - p, *p]).collect(),
        classes: 2,
    }
}

fn numbers() -> Sample {
    Sample::Values {
        truth: vec![3.0, -0.5, 2.0, 7.0, 4.0],
        predicted: vec![2.5, 0.0, 2.0, 8.0, 3.5],
        outputs: 1,
    }
}

fn two_outputs() -> Sample {
    Sample::Values {
        truth: vec![1.0, 2.0, 3.0, 4.0, 5.0, 7.0],
        predicted: vec![1.0, 3.0, 2.0, 4.0, 5.0, 6.0],
        outputs: 2,
    }
}

fn check_scores(sample: &Sample, want: &[(&str, f64)]) {
    for (name, want) in want {
        let metric = by_name(name).expect("is listed");
        assert!(metric.fits(sample.task()), "{name}");
        let got = metric.score(sample).expect("is defined");
        assert!((got - want).abs() < 1e-6, "{name}: {got}, not {want}");
    }
}

fn check(sample: &Sample, want: &[(&str, f64)]) {
    check_scores(sample, want);
    for (name, got) in want {
        let (metric, got) = (by_name(name).expect("is listed"), *got);
        let (low, high) = metric.interval(sample, got).expect("has an interval");
        assert!(low <= got && got <= high && low < high, "{name}: {low} {got} {high}");
    }
}

#[test]
fn classes_score_as_in_scikit_learn() {
    check(
        &three_classes(),
        &[
            ("accuracy", 0.7),
            ("precision_macro", 0.694_444_444),
            ("recall_macro", 0.694_444_444),
            ("f1_macro", 0.694_444_444),
            ("precision_weighted", 0.7),
            ("recall_weighted", 0.7),
            ("f1_weighted", 0.7),
            ("roc_auc", 0.877_976_190),
            ("log_loss", 0.722_829_103),
        ],
    );
    check(
        &two_classes(),
        &[
            ("accuracy", 0.625),
            ("precision", 0.666_666_667),
            ("recall", 0.5),
            ("f1", 0.571_428_571),
            ("f1_macro", 0.619_047_619),
            ("roc_auc", 0.6875),
            ("log_loss", 0.542_239_927),
        ],
    );
}

#[test]
fn numbers_score_as_in_scikit_learn() {
    check(
        &numbers(),
        &[("rmse", 0.591_607_978), ("mae", 0.5), ("r2", 0.942_052_980), ("mape", 0.286_904_762)],
    );
    // On average every row here is equally wrong, which tells no interval.
    check_scores(
        &two_outputs(),
        &[("rmse", 0.696_923_425), ("mae", 0.5), ("r2", 0.858_552_632), ("mape", 0.162_698_413)],
    );
}

#[test]
fn texts_score_by_what_their_tokens_cost() {
    // 8 tokens of 1/4 each, 4 of 1/16 each: 32 bits over 12 tokens and 20 characters.
    let ln = f64::ln;
    let sample = Sample::Tokens {
        losses: vec![8.0 * ln(4.0), 4.0 * ln(16.0), 0.0],
        tokens: vec![8, 4, 0],
        characters: vec![9, 11, 0],
    };
    check(&sample, &[("bits_per_character", 32.0 / 20.0), ("perplexity", 2f64.powf(32.0 / 12.0))]);
}

#[test]
fn a_class_that_does_not_occur_is_left_out_of_the_mean() {
    let truth = vec![0, 0, 1];
    let called = |predicted: [usize; 3]| {
        let probabilities =
            predicted.iter().flat_map(|p| (0..3).map(move |c| if c == *p { 1.0 } else { 0.0 })).collect();
        Sample::Classes { truth: truth.clone(), probabilities, classes: 3 }
    };
    let score =
        |name: &str, sample: &Sample| by_name(name).expect("is listed").score(sample).expect("defined");
    assert!((score("f1_macro", &called([0, 1, 1])) - 0.666_666_667).abs() < 1e-6);
    assert!((score("precision_macro", &called([0, 2, 1])) - 0.666_666_667).abs() < 1e-6);
    assert!((score("recall_macro", &called([0, 2, 1])) - 0.5).abs() < 1e-6);
}

#[test]
fn no_metric_breaks_on_poor_samples() {
    let samples = [
        Sample::Classes { truth: vec![], probabilities: vec![], classes: 3 },
        Sample::Classes { truth: vec![1], probabilities: vec![0.5, 0.5], classes: 2 },
        Sample::Classes { truth: vec![0, 0], probabilities: vec![1.0, 0.0, 1.0, 0.0], classes: 2 },
        Sample::Classes { truth: vec![1], probabilities: vec![f32::NAN, f32::NAN], classes: 2 },
        Sample::Tokens { losses: vec![], tokens: vec![], characters: vec![] },
        Sample::Tokens { losses: vec![0.0], tokens: vec![0], characters: vec![0] },
        Sample::Values { truth: vec![], predicted: vec![], outputs: 1 },
        Sample::Values { truth: vec![0.0], predicted: vec![1.0], outputs: 1 },
        Sample::Values { truth: vec![2.0, 2.0], predicted: vec![2.0, 2.0], outputs: 1 },
    ];
    for sample in samples {
        for metric in METRICS {
            if let Some(score) = metric.score(&sample) {
                assert!(score.is_finite() || !metric.fits(sample.task()), "{}: {score}", metric.name());
                let (least, most) = metric.range();
                if let Some((low, high)) = metric.interval(&sample, score) {
                    assert!(least <= low && low <= high && high <= most, "{}: {low} {high}", metric.name());
                }
            }
        }
    }
}

#[test]
fn intervals_stay_among_the_scores_there_can_be() {
    let truth: Vec<u32> = (0..40).map(|row| u32::from(row % 20 == 0)).collect();
    let called = |row: usize| if row.is_multiple_of(19) { [0.0, 1.0] } else { [1.0, 0.0] };
    let sample = Sample::Classes { truth, probabilities: (0..40).flat_map(called).collect(), classes: 2 };
    for name in ["f1", "precision", "recall"] {
        let metric = by_name(name).expect("listed");
        let score = metric.score(&sample).expect("defined");
        let (low, high) = metric.interval(&sample, score).expect("has an interval");
        assert!((0.0..=1.0).contains(&low) && low < score && high <= 1.0, "{name}: {low} {score} {high}");
    }
}

#[test]
fn a_perfect_score_on_a_few_rows_is_not_certain() {
    let truth: Vec<u32> = (0..20).map(|row| row % 2).collect();
    let probabilities = truth.iter().flat_map(|class| [1.0 - *class as f32, *class as f32]).collect();
    let classes = Sample::Classes { truth, probabilities, classes: 2 };
    assert_eq!(by_name("f1").expect("listed").interval(&classes, 1.0), None);
    let known: Vec<f32> = (0..20).map(|place| (place % 2) as f32).collect();
    let labels = Sample::Labels { truth: known.clone(), probabilities: known, labels: 2 };
    let (low, high) = by_name("subset_accuracy").expect("listed").interval(&labels, 1.0).expect("Wilson's");
    assert!((0.7..0.75).contains(&low) && high > 0.999, "{low} {high}");
}

#[test]
fn outputs_of_one_row_are_not_counted_as_rows() {
    let truth = vec![0.0; 40];
    let wide: Vec<f32> = (0..10).flat_map(|row| [(row % 5) as f32; 4]).collect();
    let narrow: Vec<f32> = (0..10).map(|row| (row % 5) as f32).collect();
    let wide = Sample::Values { truth, predicted: wide, outputs: 4 };
    let narrow = Sample::Values { truth: vec![0.0; 10], predicted: narrow, outputs: 1 };
    let mae = by_name("mae").expect("listed");
    assert_eq!(mae.interval(&wide, 2.0), mae.interval(&narrow, 2.0));
}

#[test]
fn undefined_scores_are_none() {
    let one_class =
        Sample::Classes { truth: vec![0, 0], probabilities: vec![1.0, 0.0, 1.0, 0.0], classes: 2 };
    assert_eq!(by_name("roc_auc").expect("listed").score(&one_class), None);
    let one_row = Sample::Values { truth: vec![0.0], predicted: vec![1.0], outputs: 1 };
    assert_eq!(by_name("r2").expect("listed").score(&one_row), None);
    assert_eq!(by_name("mape").expect("listed").score(&one_row), None);
    let constant = Sample::Values { truth: vec![2.0, 2.0], predicted: vec![2.0, 2.5], outputs: 1 };
    assert_eq!(by_name("r2").expect("listed").score(&constant), Some(0.0));
}

#[test]
fn names_are_unique_and_every_task_has_metrics() {
    for (i, metric) in METRICS.iter().enumerate() {
        assert!(METRICS[..i].iter().all(|other| other.name() != metric.name()));
        assert!(metric.summary().ends_with('.'));
    }
    for task in TaskKind::ALL {
        assert!(fitting(task).count() >= 2);
    }
}
