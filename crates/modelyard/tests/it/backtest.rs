//! `backtest` trains a forecast at several origins, tells each beside the seasonal naive one, and keeps every run.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{TRAINED, copy_folder, run};

/// The forecast template with few windows, trained in a moment.
fn demand(at: &Path) {
    run(at, &["new", "demand", "--template", "forecast"]).expect(0);
    let project = at.join("demand/modelyard.toml");
    let text = fs::read_to_string(&project).expect("there");
    let text = text
        .replace("length = 48 ", "stride = 48\nlength = 48 ")
        .replace("epochs = 30", "epochs = 2")
        .replace("batch_size = 32", "batch_size = 8");
    assert!(text.contains("stride = 48") && text.contains("epochs = 2"));
    fs::write(project, text).expect("written");
}

#[test]
fn each_origin_is_judged_beside_the_naive_forecast() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    demand(at);
    let told = run(at, &["backtest", "demand", "--origins", "2", "--json"]).expect(0).json();
    let origins = told["origins"].as_array().expect("a list");
    assert_eq!(origins.len(), 2);
    let count = |at: usize, key: &str| origins[at][key].as_u64().expect("a count");
    assert!(count(1, "rows") > count(0, "rows") && count(0, "test_rows") == 3, "{told}");
    assert!(origins[0]["origin"].as_str() < origins[1]["origin"].as_str(), "{told}");
    let mae = &told["metrics"]["mae"];
    let values: Vec<f64> = [0, 1].map(|at| mae["values"][at].as_f64().expect("a number")).to_vec();
    assert_eq!(mae["mean"], json!((values[0] + values[1]) / 2.0));
    assert_eq!(mae["range"], json!([values[0].min(values[1]), values[0].max(values[1])]));
    assert!(mae["seasonal_naive"][1].is_number() && mae["seasonal_naive_mean"].is_number(), "{told}");

    let again = run(at, &["backtest", "demand", "--origins", "2", "--quiet"]).expect(0);
    again.prints("seasonal naive").prints("origin");
    let runs = run(at, &["runs", "list", "--store", "demand/.modelyard", "--json"]).expect(0).json();
    let folds: Vec<&Value> =
        runs["runs"].as_array().expect("a list").iter().map(|run| &run["fold"]["number"]).collect();
    assert_eq!(folds, [2, 1, 2, 1]);
    run(at, &["runs", "list", "--store", "demand/.modelyard"]).expect(0).prints("backtest 2/2");
    run(at, &["runs", "show", "1", "--store", "demand/.modelyard"]).expect(0).prints("origin 1 of 2");
    run(at, &["models", "list", "--store", "demand/.modelyard"]).expect(0);
}

#[test]
fn what_cannot_be_backtested_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    demand(at);
    let refused = run(at, &["backtest", "demand", "--origins", "50"]).expect(3);
    refused.says("50 origins do not fit: the test part has 6 times to begin at").says("ask for 1 to 6");
    copy_folder(TRAINED.path(), &at.join("shapes"));
    run(at, &["backtest", "shapes"])
        .expect(3)
        .says("forecasts only")
        .says("set horizon under [data.windows]");
    run(at, &["backtest", "demand", "--origins", "0"]).expect(2);
    let project = at.join("demand/modelyard.toml");
    let text = fs::read_to_string(&project).expect("there") + "\n[training.start_from]\nmodel = \"demand\"\n";
    fs::write(project, text).expect("written");
    run(at, &["backtest", "demand"]).expect(3).says("may have learned from the very rows that are to judge");
}
