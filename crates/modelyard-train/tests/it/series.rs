//! Networks over series: lives, forecasts and anomalies, from the project file to the scores.

use std::fmt::Write as _;

use modelyard_data::Prediction;
use modelyard_train::{Project, TrainError, prepare, report};

use crate::support::Folder;

/// Eight machines whose `wear` rises until they fail.
fn machines() -> String {
    let mut text = "machine,hour,wear\n".to_owned();
    for machine in 0..8 {
        let life = 30 + machine % 4;
        for hour in 0..life {
            let left = life - 1 - hour;
            let _ = writeln!(text, "m{machine},{hour},{}", if left < 20 { 20 - left } else { 0 });
        }
    }
    text
}

const LIVES: &str = r#"
[project]
name = "machines"
[data]
source = "points.csv"
[data.windows]
time = "hour"
unit = "machine"
length = 4
every = 1
[data.split]
kind = "group"
[[inputs]]
name = "wear"
kind = "number"
[[outputs]]
name = "left"
kind = "remaining"
cap = 20
[network]
layers = [{ type = "flatten" }, { type = "dense", units = 8, activation = "relu" }, { type = "dense", units = 1 }]
[training]
optimizer = { type = "adam", learning_rate = 0.02 }
epochs = 60
batch_size = 16
seed = 2
[[gates]]
metric = "rmse"
at_most = 2.0
[[gates]]
metric = "nasa_score"
at_most = 50
"#;

/// A wave of twelve hours with a little noise on it.
fn wave() -> String {
    let mut text = "hour,wave\n".to_owned();
    for hour in 0..400 {
        let angle = f64::from(hour) * std::f64::consts::TAU / 12.0;
        let _ =
            writeln!(text, "{hour},{:.4}", 50.0 + 10.0 * angle.sin() + f64::from(hour * 7919 % 13) / 13.0);
    }
    text
}

const WAVE: &str = r#"
[project]
name = "wave"
[data]
source = "points.csv"
[data.windows]
time = "hour"
length = 12
horizon = 3
season = 12
[data.split]
kind = "time"
[[inputs]]
name = "past"
column = "wave"
kind = "number"
[[outputs]]
name = "wave"
kind = "number"
coverage = 0.8
[network]
layers = [{ type = "flatten" }, { type = "dense", units = 3 }]
[training]
optimizer = { type = "adam", learning_rate = 0.02 }
schedule = "cosine"
epochs = 100
batch_size = 16
[[gates]]
metric = "mase"
at_most = 1.0
"#;

#[test]
fn what_remains_of_a_life_is_learned_by_unit() {
    let folder = Folder::new(LIVES, &machines());
    let (_, prepared, trained) = folder.train();
    assert_eq!(prepared.network.input, [4, 1]);
    assert!(trained.scores.gates_passed(), "{:?}", trained.scores.gates);
    assert_eq!(trained.scores.task, "remaining");
    let error = trained.scores.metric("test", "rmse").expect("scored");
    let dull = trained.scores.splits["test"].metrics["rmse"].baseline.expect("a baseline");
    assert!(error < dull / 3.0, "{error} beside {dull}");
}

#[test]
fn a_part_of_its_own_joins_the_steps_in_one_network() {
    let part =
        "[[inputs]]\nname = \"now\"\ncolumn = \"wear\"\nkind = \"number\"\npart = \"machine\"\n[[outputs]]";
    let layers = r#"layers = [
  { type = "gru", name = "past", from = "features", units = 4 },
  { type = "concatenate", from = ["past", "machine"] },
  { type = "dense", units = 1 },
]
[training]"#;
    let (before, behind) = LIVES.split_once("layers").expect("a network");
    let (_, behind) = behind.split_once("[training]").expect("settings");
    let project = format!("{before}{layers}{behind}").replace("[[outputs]]", part);
    let (_, prepared, trained) = Folder::new(&project, &machines()).train();
    assert_eq!(prepared.network.input, [5], "four steps, and what is given once");
    assert!(trained.scores.gates_passed(), "{:?}", trained.scores.gates);
    let fields = trained.pipeline.input_fields();
    assert_eq!((fields[0].steps, fields[1].steps), (Some(4), None));
}

#[test]
fn a_forecast_is_scored_beside_the_season_before() {
    let folder = Folder::new(WAVE, &wave());
    let (project, prepared, trained) = folder.train();
    let page = report(&project, &prepared, &trained).expect("a page");
    assert!(page.contains("What it forecast") && page.contains("wave, 3 ahead"), "forecasts are drawn");
    assert!(page.contains("The baseline repeats what was one season before."));
    assert!(
        prepared.warnings.iter().any(|text| text.contains("windows were left out")),
        "{:?}",
        prepared.warnings
    );
    assert!(trained.scores.gates_passed(), "{:?}", trained.scores.gates);
    let test = &trained.scores.splits["test"].metrics;
    assert!(test["mae"].value < test["mae"].baseline.expect("the season before"), "{:?}", test["mae"]);
    assert!((test["coverage"].value - 0.8).abs() < 0.15, "{:?}", test["coverage"]);
    assert_eq!(test["mae"].interval_95, None, "windows that share rows are not drawn one by one");
    let mut numbers = Vec::new();
    let rows = &prepared.parts.test[..1];
    prepared.pipeline.apply(&prepared.dataset, rows, &mut numbers).expect("a window");
    let Prediction::Forecast(steps) = &trained.pipeline.decode(&[0.0; 3], 1)[0].outputs[0].1 else {
        panic!("a forecast")
    };
    assert!(
        steps
            .iter()
            .all(|step| step.interval.is_some_and(|(low, high)| low < step.value && step.value < high))
    );
}

/// A wave with a stretch that stands still, from hour 320 to 330.
fn broken_wave() -> String {
    let mut text = "hour,wave,state\n".to_owned();
    for (hour, line) in wave().lines().skip(1).enumerate() {
        let (at, value) = line.split_once(',').expect("two cells");
        let broken = (320..330).contains(&hour);
        let (value, state) = if broken { ("50", "broken") } else { (value, "fine") };
        let _ = writeln!(text, "{at},{value},{state}");
    }
    text
}

const ANOMALY: &str = r#"
[project]
name = "wave"
[data]
source = "points.csv"
[data.windows]
time = "hour"
length = 12
[data.split]
kind = "time"
train = 0.6
validation = 0.15
test = 0.25
[[inputs]]
name = "wave"
kind = "number"
[[outputs]]
name = "state"
column = "state"
kind = "anomaly"
healthy = "fine"
[network]
layers = [{ type = "flatten" }, { type = "dense", units = 3 }, { type = "dense", units = 12 }]
[training]
optimizer = { type = "adam", learning_rate = 0.01 }
epochs = 60
batch_size = 16
[[gates]]
metric = "events_found"
at_least = 1
[[gates]]
metric = "false_alarms"
at_most = 2
[[gates]]
metric = "f1"
at_least = 0.3
"#;

#[test]
fn what_is_unusual_is_flagged() {
    let folder = Folder::new(ANOMALY, &broken_wave());
    let (project, prepared, trained) = folder.train();
    let page = report(&project, &prepared, &trained).expect("a page");
    assert!(page.contains("What it found unusual") && page.contains("threshold"), "scores are drawn");
    assert!(trained.scores.gates_passed(), "{:?}", trained.scores.gates);
    let mut inputs = Vec::new();
    prepared.pipeline.apply(&prepared.dataset, &[329], &mut inputs).expect("a window");
    let mut outputs = Vec::new();
    modelyard_model::Forward::new(&std::sync::Arc::new(trained.network.clone()))
        .run(&inputs, 1, &mut outputs)
        .expect("runs");
    trained.pipeline.leave_residuals(&inputs, &mut outputs);
    let answer = &trained.pipeline.decode(&outputs, 1)[0];
    assert!(answer.outputs[0].1.is_anomalous(), "{answer:?}");
    let again =
        modelyard_data::Pipeline::from_json(trained.pipeline.to_json().as_bytes()).expect("reads back");
    assert_eq!(again, trained.pipeline);
}

#[test]
fn quantiles_are_forecast_too() {
    let project =
        WAVE.replace("coverage = 0.8", "quantiles = [0.1, 0.5, 0.9]").replace("units = 3", "units = 9");
    let (_, prepared, trained) = Folder::new(&project, &wave()).train();
    assert_eq!(prepared.loss.name(), "quantile");
    assert!(trained.scores.gates_passed(), "{:?}", trained.scores.gates);
    let test = &trained.scores.splits["test"].metrics;
    assert!((test["coverage"].value - 0.8).abs() < 0.15, "{:?}", test["coverage"]);
    assert!(
        test["pinball"].value < test["pinball"].baseline.expect("the season before"),
        "{:?}",
        test["pinball"]
    );
}

fn refused(project: &str, data: &str) -> String {
    let folder = Folder::new(project, data);
    let error = match Project::read(folder.folder.path()) {
        Ok(project) => prepare(&project).expect_err("refused"),
        Err(error) => TrainError::from(error),
    };
    error.to_string()
}

#[test]
fn what_does_not_fit_is_told_at_its_line() {
    for (from, to, wanted) in [
        ("length = 4", "length = 40", &["data.windows", "30 rows", "needs 40"][1..]),
        ("time = \"hour\"", "time = \"when\"", &["no column \"when\"", "time = \"when\""]),
        ("unit = \"machine\"\n", "", &["left", "unit"]),
        ("metric = \"nasa_score\"", "metric = \"accuracy\"", &["`accuracy` cannot score remaining life"]),
        ("cap = 20", "quantile = 0.9", &["quantile", "anomaly"]),
        ("every = 1", "gaps = \"split\"", &["every"]),
        ("units = 1 }", "units = 2 }", &["the network ends in [2]"]),
    ] {
        let text = refused(&LIVES.replace(from, to), &machines());
        for part in wanted {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
    let text = refused(&WAVE.replace("units = 3", "units = 2"), &wave());
    assert!(text.contains("3 steps are forecast") && text.contains("units = 3"), "{text}");
    let text = refused(&WAVE.replace("horizon = 3\n", "").replace("units = 3", "units = 1"), &wave());
    assert!(text.contains("is an output and cannot be an input too"), "{text}");
    let known = WAVE.replace("column = \"wave\"\nkind", "column = \"wave\"\nknown_future = true\nkind");
    let text = refused(&known, &wave());
    assert!(
        text.contains("is an output and cannot be an input too") && text.contains("known_future"),
        "{text}"
    );
    let known =
        known.replace("column = \"wave\"\n", "columns = [\"wave\"]\n").replacen("number", "vector", 1);
    let text = refused(&known, &wave());
    assert!(text.contains("is an output and cannot be an input too"), "{text}");
    let text = refused(
        &WAVE
            .replace("coverage = 0.8", "quantiles = [0.1, 0.9]")
            .replace("units = 3", "units = 6")
            .replace("[training]", "[training]\nloss = \"mse\""),
        &wave(),
    );
    assert!(text.contains("asks for quantiles") && text.contains("loss = \"quantile\""), "{text}");
    let text = refused(&WAVE.replace("[training]", "[training]\nloss = \"quantile\""), &wave());
    assert!(text.contains("learns 3 numbers for each") && text.contains("quantiles = [0.1"), "{text}");
    let text = refused(&WAVE.replace("kind = \"time\"", "kind = \"random\""), &wave());
    assert!(text.contains("share rows") && text.contains("[data.split]"), "{text}");
}
