//! Files of rows in, answers out.

use std::fs;

use serde_json::Value;

use crate::harness::{run, trained};

#[test]
fn a_csv_file_comes_back_with_its_answers() {
    let folder = trained();
    let at = folder.path();
    // A byte-order mark, quotes, another order of columns, one that the model does not know, no answers.
    let rows = "\u{feff}height,note,colour,width\n1,\"a, b\",red,9\n8,,blue,2\n";
    fs::write(at.join("new.csv"), rows).expect("can write");
    let answers = run(at, &["predict", "shapes", "new.csv"]).expect(0);
    let lines: Vec<&str> = answers.stdout.lines().collect();
    assert_eq!(lines[0], "height,note,colour,width,predicted_kind,probability");
    assert!(lines[1].starts_with("1,\"a, b\",red,9,wide,"), "{answers}");
    assert!(lines[2].starts_with("8,,blue,2,tall,"), "{answers}");
    assert_eq!(lines.len(), 3);

    run(at, &["predict", "shapes", "new.csv", "--out", "out.csv", "--probabilities"]).expect(0);
    let written = fs::read_to_string(at.join("out.csv")).expect("written");
    assert!(
        written.starts_with("height,note,colour,width,predicted_kind,probability_tall,probability_wide\n"),
        "{written}"
    );
    run(at, &["predict", "shapes", "new.csv", "--out", "out.csv"]).expect(3).says("out.csv is there already");

    let lines = run(at, &["predict", "shapes", "new.csv", "--json"]).expect(0).stdout;
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["kind"]["label"], "wide");
    assert!(first["kind"]["probabilities"]["wide"].as_f64() > Some(0.5), "{first}");
}

#[test]
fn tables_with_tabs_and_json_lines_are_read_by_their_names() {
    let folder = trained();
    let at = folder.path();
    fs::write(at.join("new.tsv"), "width\theight\tcolour\n9\t1\tred\n").expect("can write");
    let answers = run(at, &["predict", "shapes", "new.tsv"]).expect(0).stdout;
    assert!(
        answers.starts_with("width\theight\tcolour\tpredicted_kind\tprobability\n9\t1\tred\twide\t"),
        "{answers}"
    );
    fs::write(at.join("new.jsonl"), "{\"width\": 2, \"height\": 9, \"colour\": \"red\"}\n")
        .expect("can write");
    let answers = run(at, &["predict", "shapes", "new.jsonl"]).expect(0).stdout;
    assert!(answers.starts_with("predicted_kind,probability\ntall,"), "{answers}");
}

#[test]
fn rows_that_do_not_fit_are_named() {
    let folder = trained();
    let at = folder.path();
    let check = |rows: &str, code: i32, says: &[&str]| {
        fs::write(at.join("bad.csv"), rows).expect("can write");
        let mut ended = run(at, &["predict", "shapes", "bad.csv"]).expect(code);
        for text in says {
            ended = ended.says(text);
        }
    };
    check("width,height\n1,2\n", 3, &["colour"]);
    check("width,height,colour\n1,2,red\nx,2,red\n", 3, &["width", "\"x\"", "3"]);
    check("", 3, &["bad.csv"]);
    run(at, &["predict", "shapes", "nowhere.csv"]).expect(5).says("nowhere.csv");
    run(at, &["predict", "nobody", "shapes.csv"]).expect(5).says("no model named");
}

#[test]
fn a_version_is_scored_on_other_data() {
    let folder = trained();
    let at = folder.path();
    let scored = run(at, &["evaluate", "shapes", "shapes.csv", "--json"]).expect(0).json();
    assert_eq!(scored["scores"]["splits"]["test"]["rows"], 120);
    assert_eq!(scored["gates_passed"], true);
    run(at, &["evaluate", "shapes", "shapes.csv"]).expect(0).prints("gate passed: test accuracy >= 0.7");
    // Every answer turned round: the model is now wrong almost everywhere.
    let wrong = fs::read_to_string(at.join("shapes.csv")).expect("can read");
    let wrong = wrong.replace("wide", "WIDE").replace("tall", "wide").replace("WIDE", "tall");
    fs::write(at.join("wrong.csv"), wrong).expect("can write");
    run(at, &["evaluate", "shapes", "wrong.csv"]).expect(4).says("misses a gate on wrong.csv");
}

#[test]
fn a_folder_of_images_comes_back_with_the_files_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    run(at, &["new", "mine", "--template", "images"]).expect(0);
    run(at, &["train", "mine"]).expect(0);
    fs::create_dir(at.join("loose")).expect("can make folders");
    fs::copy(at.join("mine/pictures/boot/03.png"), at.join("loose/a, b.png")).expect("can copy");
    let args = ["predict", "mine", "loose", "--store", "mine/.modelyard"];
    run(at, &args).expect(0).prints("file,predicted_class,probability\n\"loose/a, b.png\",boot,");
    let args = ["evaluate", "mine", "mine/pictures", "--store", "mine/.modelyard", "--json"];
    assert_eq!(run(at, &args).expect(0).json()["scores"]["splits"]["test"]["rows"], 120);
}
