//! The example projects are right, and the small one reaches what it promises.

use std::path::Path;

use modelyard_train::{Project, prepare};

use crate::support::run;

fn example(name: &str) -> Project {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    Project::read(&folder).expect("the example is right")
}

#[test]
fn fashion_mnist_reads() {
    assert!(!example("fashion-mnist").gates().is_empty());
}

#[test]
fn digits_reach_their_gate() {
    let project = example("digits");
    let prepared = prepare(&project).expect("the project fits its data");
    let trained = run(&project, &prepared).expect("training works");
    let accuracy = trained.scores.metric("test", "accuracy").expect("scored");
    assert!(accuracy >= 0.975, "{accuracy}");
    assert!(trained.scores.gates_passed());
}
