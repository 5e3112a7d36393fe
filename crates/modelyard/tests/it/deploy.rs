//! What is given to Kubernetes, rendered and held against its schemas.

use crate::clients::{python, script};

#[test]
fn the_chart_and_the_serving_runtime_are_what_kubernetes_takes() {
    let Some(python) = python("helm_python, kubernetes_validate, yaml") else { return };
    script(&python, "deploy/tests/check.py", &[]);
}
