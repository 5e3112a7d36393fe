//! Variational autoencoders draw: what they draw resembles what they were trained on.

use std::fmt::Write as _;

use modelyard_data::{Row, Value};
use modelyard_model::Rng;
use modelyard_train::{Prepared, Trained, TrainedModel, files};

use crate::support::{CLASSES, Folder, run};

const PROJECT: &str = r#"
[project]
name = "pumps"

[data]
source = "points.csv"
[data.split]
kind = "random"
seed = 1

[[inputs]]
name = "pressure"
kind = "number"
[[inputs]]
name = "flow"
kind = "number"

[[outputs]]
name = "odd"
kind = "anomaly"

[network]
layers = [
  { type = "dense", units = 16, activation = "tanh" },
  { type = "dense", units = 4 },
  { type = "gaussian_sample", beta = 0.05 },
  { type = "dense", units = 16, activation = "tanh" },
  { type = "dense", units = 2 },
]

[training]
optimizer = { type = "adam", learning_rate = 0.01 }
epochs = 40
batch_size = 32
seed = 3
"#;

/// Pressures around 50 bar, give or take 4, and flows that follow them: 2 a bar, give or take 3.
fn pumps(rows: usize) -> String {
    let mut rng = Rng::new(1);
    let mut text = "pressure,flow\n".to_owned();
    for _ in 0..rows {
        let pressure = 50.0 + 4.0 * rng.normal();
        let _ = writeln!(text, "{pressure:.4},{:.4}", 2.0 * pressure + 3.0 * rng.normal());
    }
    text
}

fn model(prepared: &Prepared, trained: &Trained) -> TrainedModel {
    let (network, weights) = (trained.network.network_json(), trained.network.weights_safetensors());
    let pipeline = prepared.pipeline.to_json();
    let model = TrainedModel::from_files(|name| match name {
        files::NETWORK => Some(network.as_bytes()),
        files::WEIGHTS => Some(&weights),
        files::PIPELINE => Some(pipeline.as_bytes()),
        _ => None,
    });
    model.expect("the files are whole")
}

fn column(rows: &[Row], name: &str) -> Vec<f64> {
    let number = |row: &Row| match row[name] {
        Value::Number(number) => Some(number),
        _ => None,
    };
    rows.iter().map(number).collect::<Option<_>>().expect("numbers")
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>() / a.len() as f64
}

#[test]
fn samples_resemble_the_training_rows() {
    let (project, prepared) = Folder::new(PROJECT, &pumps(600)).prepare();
    let model = model(&prepared, &run(&project, &prepared).expect("trains"));
    let rows = model.draw(1, 1000).expect("a variational autoencoder");
    let (pressure, flow) = (column(&rows, "pressure"), column(&rows, "flow"));
    // Of 1000 draws the mean of a normal distribution is off by more than 0.1 deviations once in 600 times; the
    // decoder leaves out the noise that beta stands for, 5 % of the variance, and learned from 420 rows.
    let deviation = covariance(&pressure, &pressure).sqrt();
    assert!((mean(&pressure) - 50.0).abs() < 1.0, "{}", mean(&pressure));
    assert!((2.8..5.0).contains(&deviation), "{deviation}");
    assert!((mean(&flow) - 100.0).abs() < 2.0, "{}", mean(&flow));
    let correlation = covariance(&pressure, &flow) / (deviation * covariance(&flow, &flow).sqrt());
    assert!((0.8..0.999).contains(&correlation), "{correlation}, where 0.94 is true");

    assert_eq!(model.draw(5, 2).expect("two"), rows[4..6], "each sample has a seed of its own");
    assert_ne!(rows[0], rows[1]);
}

#[test]
fn models_that_draw_nothing_say_so() {
    let check = |project: &str, data: &str, want: &[&str]| {
        let (project, prepared) = Folder::new(project, data).prepare();
        let model = model(&prepared, &run(&project, &prepared).expect("trains"));
        let error = model.draw(1, 1).expect_err("it draws nothing");
        let text = format!("{error} | {}", error.hint().unwrap_or_default());
        want.iter().for_each(|want| assert!(text.contains(want), "{want:?} is not in {text:?}"));
    };
    let plain = PROJECT
        .replace("{ type = \"gaussian_sample\", beta = 0.05 },", "")
        .replace("epochs = 40", "epochs = 1");
    check(&plain, &pumps(60), &["it has no layer gaussian_sample", "give the network one layer"]);
    let classes = CLASSES.replace("epochs = 30", "epochs = 1");
    let points = crate::support::points(90);
    check(&classes, &points, &["neither continues texts nor draws samples", "the kind \"anomaly\""]);
}
