//! Small projects in temporary folders.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};

use modelyard_train::{Host, Job, Prepared, Project, Silent, TrainError, Trained, fit, prepare};
use modelyard_types::Clock;
use tempfile::TempDir;

pub(crate) struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "a test is its own binary")]
    fn now(&self) -> Instant {
        Instant::now()
    }
    #[expect(clippy::disallowed_methods, reason = "a test is its own binary")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

pub(crate) const HOST: Host<'static> = Host { clock: &RealClock, threads: 2, program: "modelyard test" };

/// A project whose rows are points; the class is told by the sign of x · y, the number is 3 x − 2 y + 1.
pub(crate) struct Folder {
    pub(crate) folder: TempDir,
}

pub(crate) const CLASSES: &str = r#"
[project]
name = "points"
description = "Tells in which quadrants a point lies."

[data]
source = "points.csv"
[data.split]
kind = "stratified"
seed = 1

[[inputs]]
name = "x"
kind = "number"
[[inputs]]
name = "y"
kind = "number"
[[inputs]]
name = "colour"
kind = "category"

[[outputs]]
name = "side"
kind = "category"

[network]
layers = [
  { type = "dense", units = 16, activation = "tanh" },
  { type = "dense", units = 2, activation = "softmax" },
]

[training]
optimizer = { type = "adam", learning_rate = 0.02 }
epochs = 30
batch_size = 32
seed = 5

[[gates]]
metric = "accuracy"
at_least = 0.9
"#;

/// The same rows with a number to estimate.
pub(crate) fn numbers() -> String {
    CLASSES
        .replace("name = \"side\"\nkind = \"category\"", "name = \"height\"\nkind = \"number\"")
        .replace("units = 2, activation = \"softmax\"", "units = 1")
        .replace("kind = \"stratified\"", "kind = \"random\"")
        .replace("metric = \"accuracy\"\nat_least = 0.9", "metric = \"r2\"\nat_least = 0.9")
}

pub(crate) fn points(rows: usize) -> String {
    let mut text = "x,y,colour,side,height\n".to_owned();
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 30) - 1.0
    };
    for row in 0..rows {
        let (x, y) = (next(), next());
        let side = if x * y > 0.0 { "same" } else { "other" };
        let colour = ["red", "green", "blue"][row % 3];
        let _ = writeln!(text, "{x:.4},{y:.4},{colour},{side},{:.4}", 3.0 * x - 2.0 * y + 1.0);
    }
    text
}

impl Folder {
    pub(crate) fn new(project: &str, data: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("modelyard.toml"), project).expect("written");
        std::fs::write(folder.path().join("points.csv"), data).expect("written");
        Self { folder }
    }

    pub(crate) fn project(&self) -> Project {
        Project::read(self.folder.path()).expect("the project file is right")
    }

    pub(crate) fn prepare(&self) -> (Project, Prepared) {
        let project = self.project();
        let prepared = prepare(&project).expect("the project fits its data");
        (project, prepared)
    }

    pub(crate) fn train(&self) -> (Project, Prepared, Trained) {
        let (project, prepared) = self.prepare();
        let trained = run(&project, &prepared).expect("training works");
        (project, prepared, trained)
    }
}

pub(crate) fn run(project: &Project, prepared: &Prepared) -> Result<Trained, TrainError> {
    fit(&Job::new(project, prepared), &HOST, &mut Silent, &AtomicBool::new(false))
}
