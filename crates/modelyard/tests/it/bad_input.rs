//! Projects and data that cannot work: each ends with its exit code, where it is wrong, and a way out.

use std::fs;
use std::path::Path;

use crate::harness::{Run, changed_project, run, small_project};

/// A small project with other data.
fn with_data(data: &str) -> (tempfile::TempDir, Run) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    small_project(folder.path());
    fs::write(folder.path().join("shapes.csv"), data).expect("can write");
    let ended = up(folder.path());
    (folder, ended)
}

/// A small project with another project file.
fn with_project(changes: &[(&str, &str)]) -> Run {
    let folder = tempfile::tempdir().expect("a temporary folder");
    changed_project(folder.path(), changes);
    up(folder.path())
}

/// Runs `up`, which must fail before it trains.
fn up(folder: &Path) -> Run {
    let ended = run(folder, &["up", ".", "--no-serve"]);
    assert!(!ended.stderr.contains("epoch 1/"), "nothing was trained\n{ended}");
    ended
}

fn rows(kinds: [&str; 2], width: impl Fn(usize) -> String) -> String {
    let row = |i: usize| format!("{},{},red,{}\n", width(i), i / 12, kinds[usize::from(i % 12 > i / 12)]);
    format!("width,height,colour,kind\n{}", (0..120).map(row).collect::<String>())
}

#[test]
fn a_project_that_is_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    run(folder.path(), &["up", "nowhere"]).expect(5).says("there is no project file").says("modelyard new");
    run(folder.path(), &["up"]).expect(5).says("modelyard.toml");
}

#[test]
fn a_project_file_with_mistakes_shows_their_lines() {
    let check = |from: &str, to: &str, says: &[&str]| {
        let mut ended = with_project(&[(from, to)]).expect(3);
        for text in says {
            ended = ended.says(text);
        }
    };
    check("epochs = 30", "epoch = 30", &["modelyard.toml:", "epoch", "did you mean `epochs`?"]);
    check("type = \"dense\", units = 8", "type = \"dens\", units = 8", &["dens", "`dense`"]);
    check("kind = \"number\"", "kind = \"numbr\"", &["numbr", "`number`"]);
    check("name = \"width\"", "name = \"widht\"", &["modelyard.toml:", "widht", "width"]);
    check("units = 2", "units = 5", &["modelyard.toml:", "2 classes", "units = 2"]);
    check("metric = \"accuracy\"", "metric = \"acuracy\"", &["acuracy", "accuracy"]);
    check("epochs = 30", "epochs = 30\nbatch_size = 500", &["batch", "500", "84"]);
    check("[project]", "[project", &["modelyard.toml:"]);
    check(
        "{ type = \"dense\", units = 8, activation = \"relu\" }",
        "{ type = \"max_pool2d\", pool_size = 2 }",
        &["modelyard.toml:", "max_pool2d"],
    );
}

#[test]
fn a_project_file_of_the_wrong_kind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("modelyard.toml"), [0xff, 0xfe, 0x00]).expect("can write");
    up(folder.path()).expect(3).says("not UTF-8");
    fs::write(folder.path().join("modelyard.toml"), "").expect("can write");
    up(folder.path()).expect(3).says("modelyard.toml");
}

#[test]
fn data_that_cannot_be_read() {
    let check = |data: &str, says: &[&str]| {
        let (_, ended) = with_data(data);
        let mut ended = ended.expect(3);
        for text in says {
            ended = ended.says(text);
        }
    };
    check("", &["shapes.csv"]);
    check("width,height,colour,kind\n", &["shapes.csv"]);
    check("width,height,colour,kind\n1,2,red,wide\n1,2,red\n", &["shapes.csv", "3"]);
    check(
        &rows(["tall", "wide"], |i| if i == 40 { "broad".into() } else { i.to_string() }),
        &["broad", "width", "42"],
    );
    check(&rows(["wide", "wide"], |i| i.to_string()), &["kind", "wide"]);
    check(&rows(["tall", "wide"], |_| String::new()), &["width"]);
    check("width,height,kind\n1,2,wide\n", &["colour"]);
}

#[test]
fn data_that_is_not_there() {
    with_project(&[("shapes.csv", "nowhere.csv")]).expect(3).says("nowhere.csv").says("modelyard.toml:");
}

#[test]
fn a_constant_column_is_a_warning_and_an_unseen_category_is_not_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    small_project(folder.path());
    fs::write(folder.path().join("shapes.csv"), rows(["tall", "wide"], |i| (i % 12).to_string()))
        .expect("can write");
    run(folder.path(), &["train", "."]).expect(0).prints("warning: ").prints("colour");
    fs::write(folder.path().join("new.csv"), "width,height,colour\n9,1,violet\n").expect("can write");
    run(folder.path(), &["predict", "shapes", "new.csv"]).expect(0).prints("violet,wide");
}

#[test]
fn an_image_that_lies_about_its_size() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    run(at, &["new", "mine", "--template", "images"]).expect(0);
    let picture = at.join("mine/pictures/boot/07.png");
    let mut bytes = fs::read(&picture).expect("can read");
    bytes[16..20].copy_from_slice(&0x7fff_ffffu32.to_be_bytes());
    fs::write(&picture, bytes).expect("can write");
    run(at, &["check", "mine"]).expect(3).says("07.png");
}

#[test]
fn training_that_diverges_says_where_and_what_to_try() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    changed_project(
        folder.path(),
        &[("learning_rate = 0.05", "learning_rate = 1e38"), ("type = \"adam\"", "type = \"sgd\"")],
    );
    let ended = run(folder.path(), &["train", "."]).expect(3);
    ended.says("training diverged").says("epoch").says("hint: try ");
}

#[test]
fn errors_are_json_where_results_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    changed_project(folder.path(), &[("epochs = 30", "epoch = 30")]);
    let ended = run(folder.path(), &["check", "--json"]).expect(3);
    assert_eq!(ended.stdout, "");
    let error: serde_json::Value = serde_json::from_str(&ended.stderr).expect("JSON");
    assert_eq!(error["exit_code"], 3);
    assert!(error["error"].as_str().is_some_and(|text| text.contains("modelyard.toml:")), "{error}");
}
