//! What a project file may say, and how each mistake is told.

use super::*;

const GOOD: &str = r#"
[project]
name = "digits"

[data]
source = "digits.csv"
[data.split]
kind = "stratified"
seed = 7

[[inputs]]
name = "pixels"
kind = "vector"
columns = "pixel_*"
transforms = [{ type = "min_max" }]

[[outputs]]
name = "digit"
kind = "category"

[network]
layers = [
  { type = "dense", units = 64, activation = "relu" },
  { type = "dense", units = 10, activation = "softmax" },
]

[training]
optimizer = { type = "adam", learning_rate = 0.01 }
epochs = 3
early_stopping = { patience = 2, metric = "f1_macro" }

[[gates]]
metric = "accuracy"
at_least = 0.9
"#;

fn parse(text: &str) -> Result<Project, ProjectError> {
    Project::parse(text.as_bytes(), "modelyard.toml", Path::new("."))
}

/// Replaces a piece of the good file and compares what is complained about with every piece of `want`.
fn check(from: &str, to: &str, want: &[&str]) {
    assert!(GOOD.contains(from), "{from:?} is not in the good file");
    let error = parse(&GOOD.replacen(from, to, 1)).expect_err("is wrong").to_string();
    for piece in want {
        assert!(error.contains(piece), "{piece:?} is not in:\n{error}");
    }
}

#[test]
fn a_good_file_is_resolved() {
    let project = parse(GOOD).expect("good");
    assert_eq!(project.name().as_str(), "digits");
    assert_eq!(project.training().epochs, 3);
    assert_eq!(project.training().batch_size, 32);
    assert_eq!(project.gates()[0].to_string(), "test accuracy >= 0.9");
    assert_eq!(project.layers().len(), 2);
    assert_eq!(project.data().split.seed, 7);
    assert_eq!(project.text(), GOOD);
}

#[test]
fn names_stand_for_things_with_default_settings() {
    let text = GOOD.replace("{ type = \"adam\", learning_rate = 0.01 }", "\"adam\"");
    assert!(parse(&text).is_ok());
    check(
        "{ type = \"adam\", learning_rate = 0.01 }",
        "\"adm\"",
        &["modelyard.toml:28:13: `optimizer` knows no \"adm\"", "did you mean `adam`?"],
    );
}

#[test]
fn unknown_keys_are_told_with_line_and_nearest_name() {
    check(
        "epochs = 3",
        "epoch = 3",
        &[
            "modelyard.toml:29:1: unknown key `epoch` in [training]",
            "29 | epoch = 3\n     | ^^^^^\n",
            "hint: did you mean `epochs`?",
        ],
    );
    check(
        "[training]",
        "[trainng]",
        &["unknown key `trainng` in the project file", "did you mean `training`?"],
    );
    check(
        "columns =",
        "colums =",
        &["unknown key `colums` in [[inputs]] number 1", "did you mean `columns`?"],
    );
    check(
        "units = 64",
        "unit = 64",
        &[
            "modelyard.toml:23:21: unknown key `unit` in network.layers number 1",
            "did you mean `units`?",
            "`units` is missing in network.layers number 1",
        ],
    );
}

#[test]
fn unknown_kinds_are_told_with_line_and_nearest_name() {
    check(
        "type = \"dense\", units = 10",
        "type = \"dens\", units = 10",
        &["modelyard.toml:24:12: there is no layer \"dens\"", "did you mean `dense`?"],
    );
    check(
        "\"min_max\"",
        "\"minmax\"",
        &["modelyard.toml:15:24: there is no transform \"minmax\"", "`min_max`"],
    );
    check(
        "\"stratified\"",
        "\"stratify\"",
        &["modelyard.toml:8:8: `kind` knows no \"stratify\"", "`stratified`"],
    );
    check("\"relu\"", "\"rely\"", &["`activation` knows no \"rely\"", "did you mean `relu`?"]);
    check("metric = \"accuracy\"", "metric = \"acuracy\"", &["`metric` knows no \"acuracy\"", "`accuracy`?"]);
    check("{ type = \"min_max\" }", "{ }", &["`type` is missing in inputs[0].transforms number 1"]);
}

#[test]
fn values_must_have_their_type_and_range() {
    check(
        "epochs = 3",
        "epochs = \"3\"",
        &["29:10: `epochs` cannot be a text", "a whole number, at least 1"],
    );
    check("epochs = 3", "epochs = 0", &["29:10: `epochs` = 0 is out of range", "at least 1"]);
    check("epochs = 3", "epochs = 1.5", &["`epochs` cannot be a number", "a whole number"]);
    check("units = 64", "units = -1", &["`units` = -1 is out of range", "at least 0"]);
    check("seed = 7", "seed = nan", &["a finite number is wanted here"]);
    check("[[outputs]]", "[outputs]", &["`outputs` cannot be a table", "a list of"]);
    check("seed = 7", "seed = 7\n[data.extra]", &["unknown key `extra` in [data]"]);
    check(
        "source = \"digits.csv\"",
        "source = \"digits.csv\"\ndelimiter = \"||\"",
        &["modelyard.toml:7:13: `delimiter` has 2 characters", "exactly 1"],
    );
    check("columns = \"pixel_*\"", "columns = 3", &["`columns` cannot be a whole number"]);
}

#[test]
fn what_is_missing_is_told() {
    check("name = \"digits\"", "", &["modelyard.toml:2:2: `name` is missing in [project]"]);
    check("[project]\nname = \"digits\"", "", &["`project` is missing in the project file"]);
    check("at_least = 0.9", "", &["32:1: this gate on `accuracy` has no bound", "add `at_least = …`"]);
}

#[test]
fn what_can_never_work_is_told_without_the_data() {
    check("\"accuracy\"", "\"rmse\"", &["modelyard.toml:33:10: `rmse` cannot score a category"]);
    check("metric = \"f1_macro\"", "metric = \"mae\"", &["`mae` cannot score a category"]);
    check(
        "kind = \"category\"",
        "kind = \"number\"",
        &["`f1_macro` cannot score numbers", "`accuracy` cannot score"],
    );
    check("name = \"digits\"", "name = \"../x\"", &["modelyard.toml:3:8", "is not a model name"]);
    check("name = \"digit\"", "name = \"pixels\"", &["the name \"pixels\" is taken already"]);
}

#[test]
fn an_answer_among_the_inputs_is_refused() {
    let leak = "[[inputs]]\nname = \"leak\"\nkind = \"number\"\ncolumn = \"digit\"\n\n[[outputs]]";
    check("[[outputs]]", leak, &["17:1: the column \"digit\" is an output and cannot be an input too"]);
}

#[test]
fn several_mistakes_are_told_at_once() {
    let text = GOOD.replace("epochs = 3", "epoch = 3").replace("\"min_max\"", "\"minmax\"");
    let Err(ProjectError::Invalid { diagnostics }) = parse(&text) else {
        panic!("two mistakes");
    };
    assert_eq!(diagnostics.len(), 2);
}

#[test]
fn syntax_errors_show_their_place() {
    check("epochs = 3", "epochs = = 3", &["modelyard.toml:29:"]);
    check("[project]", "[project", &["modelyard.toml:2:"]);
    check("epochs = 3", "epochs = 3\nepochs = 4", &["modelyard.toml:30:"]);
}

#[test]
fn files_that_are_no_project_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = Project::read(folder.path()).expect_err("no file");
    assert!(matches!(missing, ProjectError::Missing { .. }) && missing.hint().is_some());
    std::fs::write(folder.path().join(PROJECT_FILE), [0xff, 0xfe, 0x00]).expect("written");
    assert!(matches!(Project::read(folder.path()), Err(ProjectError::NotText { offset: 0, .. })));
    std::fs::write(folder.path().join(PROJECT_FILE), vec![b'#'; 2 << 20]).expect("written");
    assert!(matches!(Project::read(folder.path()), Err(ProjectError::TooLarge { .. })));
    std::fs::write(folder.path().join(PROJECT_FILE), GOOD).expect("written");
    assert_eq!(Project::read(folder.path()).expect("good").folder(), folder.path());
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert!(parse(&format!("\u{feff}{GOOD}")).is_ok());
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = Project::parse(&bytes, "f", Path::new("."));
    }

    #[test]
    fn no_damage_to_a_good_file_panics(at in 0..GOOD.len(), with in "[\\[\\]{}=\"a-z0-9.\n-]{0,4}", cut in 0..40usize) {
        let end = (at + cut).min(GOOD.len());
        let text = format!("{}{with}{}", &GOOD[..at], &GOOD[end..]);
        if let Err(error) = parse(&text) {
            proptest::prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn schedules_and_warm_ups_are_names_or_tables_and_checked() {
    for right in [
        "\"one_cycle\"",
        "{ type = \"step\", every = 3, factor = 0.5 }",
        "{ type = \"plateau\", metric = \"accuracy\" }\nwarmup = { steps = 9 }",
    ] {
        let text = GOOD.replace("epochs = 3", &format!("epochs = 3\nschedule = {right}"));
        assert!(parse(&text).is_ok(), "{right}");
    }
    let wrong = |setting: &str, want: &[&str]| check("epochs = 3", &format!("epochs = 3\n{setting}"), want);
    wrong("schedule = \"cosin\"", &["`schedule` knows no \"cosin\"", "did you mean `cosine`?"]);
    wrong("schedule = { type = \"step\", evry = 3 }", &["unknown key `evry`", "did you mean `every`?"]);
    wrong("schedule = { type = \"exponential\", factor = 0 }", &["`factor` = 0 is out of range", "above 0"]);
    wrong("schedule = { type = \"plateau\", metric = \"rmse\" }", &["`rmse` cannot score a category"]);
    wrong(
        "warmup = { steps = 3, epochs = 1 }",
        &["either in steps or in epochs", "warmup = { steps = 500 }"],
    );
    wrong("warmup = {}", &["either in steps or in epochs"]);
    wrong("average = { decay = 1.0 }", &["`decay` = 1 is out of range", "below 1"]);
    wrong("accumulate = 0", &["`accumulate` = 0 is out of range"]);
}
