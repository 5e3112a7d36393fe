//! Projects that do not fit their data: each mistake is told before training, with its place.

use modelyard_train::check;

use crate::support::{CLASSES, Folder, numbers, points};

/// Checks a project over some data; every piece of `want` must be in the message or its hint.
fn refused(project: &str, data: &str, want: &[&str]) {
    let folder = Folder::new(project, data);
    let error = check(&folder.project()).expect_err("does not fit");
    let text = format!("{error}\nhint: {}", error.hint().unwrap_or_default());
    for piece in want {
        assert!(text.contains(piece), "{piece:?} is not in:\n{text}");
    }
}

fn with(from: &str, to: &str) -> String {
    assert!(CLASSES.contains(from), "{from:?}");
    CLASSES.replace(from, to)
}

#[test]
fn a_good_project_is_reported() {
    let report = check(&Folder::new(CLASSES, &points(100)).project()).expect("fits");
    assert_eq!(report.rows.iter().map(|(_, rows)| rows).sum::<usize>(), 100);
    assert_eq!(report.classes.len(), 2);
    assert_eq!(report.input_shape, [6]);
    assert_eq!(report.layers[0].parameters, 6 * 16 + 16);
    assert_eq!(report.loss, "cross_entropy");
    assert_eq!(report.columns.len(), 4);
}

#[test]
fn missing_and_empty_files() {
    refused(&with("points.csv", "nothing.csv"), "", &["modelyard.toml:7:10", "no data", "nothing.csv"]);
    refused(CLASSES, "", &["points.csv is empty"]);
    refused(CLASSES, "x,y,colour,side,height\n", &["no rows"]);
}

#[test]
fn ragged_rows_and_text_where_a_number_belongs() {
    let data = points(50);
    refused(CLASSES, &format!("{data}1,2,red\n"), &["points.csv:52", "3 cells"]);
    refused(CLASSES, &format!("{data}left,2,red,same,1\n"), &["points.csv:52", "\"x\"", "left"]);
}

#[test]
fn a_column_that_is_not_there() {
    refused(
        &with("name = \"x\"", "name = \"xx\""),
        &points(50),
        &["modelyard.toml:13:8", "no column \"xx\"", "\"x\""],
    );
}

#[test]
fn a_column_all_missing() {
    let data = points(50)
        .lines()
        .map(|line| format!(",{}\n", line.split_once(',').expect("cells").1))
        .collect::<String>();
    let data = data.replacen(",y,", "x,y,", 1);
    refused(CLASSES, &data, &["x", "missing"]);
}

#[test]
fn a_constant_column_is_a_warning() {
    let data: String =
        points(50).lines().map(|line| format!("1,{}\n", line.split_once(',').expect("cells").1)).collect();
    let report =
        check(&Folder::new(CLASSES, &data.replacen("1,y,", "x,y,", 1)).project()).expect("only a warning");
    assert!(report.warnings.iter().any(|warning| warning.contains('x')), "{:?}", report.warnings);
}

#[test]
fn a_label_with_one_class() {
    refused(
        CLASSES,
        &points(50).replace("other", "same"),
        &["modelyard.toml:22:1: side: the training rows have 1 class"],
    );
}

#[test]
fn a_network_that_does_not_end_in_what_the_output_needs() {
    refused(
        &with("units = 2, activation", "units = 10, activation"),
        &points(50),
        &["modelyard.toml:29:3: the network ends in [10], output `side` has 2 classes", "units = 2"],
    );
    refused(
        &numbers().replace("units = 1 }", "units = 3 }"),
        &points(50),
        &["the network ends in [3], there are 1 number outputs", "units = 1"],
    );
}

#[test]
fn a_layer_that_does_not_fit_the_one_before() {
    let conv = "{ type = \"conv2d\", filters = 4, kernel_size = 3 },\n  { type = \"dense\", units = 2,";
    refused(
        &with("{ type = \"dense\", units = 2,", conv),
        &points(50),
        &["modelyard.toml:29:3", "layer 1 (conv2d)", "hint"],
    );
}

#[test]
fn a_batch_larger_than_the_data() {
    refused(
        &with("batch_size = 32", "batch_size = 500"),
        &points(50),
        &["modelyard.toml:35:14: a batch of 500 rows is larger than the training part", "batch_size = "],
    );
    let small = with("batch_size = 32\n", "");
    assert!(check(&Folder::new(&small, &points(40)).project()).is_ok(), "the default shrinks to the data");
}

#[test]
fn a_loss_that_does_not_fit() {
    let loss = |text: &str, name: &str| {
        text.replace("batch_size = 32", &format!("batch_size = 32\nloss = \"{name}\""))
    };
    refused(
        &loss(CLASSES, "mse"),
        &points(50),
        &[
            "modelyard.toml:36:8: the loss `mse` compares numbers, and output `side` is a category",
            "cross_entropy",
        ],
    );
    refused(
        &loss(&numbers(), "cross_entropy"),
        &points(50),
        &["modelyard.toml:36:8: the loss `cross_entropy` is for a category", "mse, mae or huber"],
    );
    refused(&loss(CLASSES, "binary_cross_entropy"), &points(50), &["modelyard.toml:36:8", "softmax"]);
}

#[test]
fn gates_and_stopping_that_have_no_rows() {
    let split = "kind = \"stratified\"\ntrain = 0.8\nvalidation = 0.0\ntest = 0.2";
    let text = with("kind = \"stratified\"", split)
        .replace("epochs = 30", "epochs = 30\nearly_stopping = { patience = 3 }");
    refused(&text, &points(50), &["early stopping needs validation rows"]);
    let text = with("kind = \"stratified\"", split)
        .replace("at_least = 0.9", "at_least = 0.9\nsplit = \"validation\"");
    refused(&text, &points(50), &["the split leaves no validation rows to judge by"]);
}

#[test]
fn a_metric_of_two_classes_on_three() {
    let data = points(60).replacen("same", "third", 12);
    let text = with("metric = \"accuracy\"", "metric = \"f1\"").replace("units = 2,", "units = 3,");
    refused(&text, &data, &["`f1` cannot score classification", "f1_macro"]);
}

#[test]
fn a_class_weight_for_a_class_that_is_not_there() {
    let text = with("seed = 5", "seed = 5\nclass_weights = { sane = 2.0 }");
    refused(&text, &points(50), &["no training row has the class \"sane\"", "did you mean `same`?"]);
}

#[test]
fn an_answer_hidden_in_a_vector_is_refused() {
    let vector =
        "[[inputs]]\nname = \"all\"\nkind = \"vector\"\ncolumns = [\"x\", \"height\"]\n\n[[outputs]]";
    refused(
        &numbers().replacen("[[outputs]]", vector, 1),
        &points(50),
        &["the column \"height\" is an output", "leave it out"],
    );
}
