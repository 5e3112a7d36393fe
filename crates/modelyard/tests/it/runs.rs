//! Records of runs, and runs that are killed and go on.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{changed_project, command, run, run_command, trained, trained_twice};

/// Long enough to be killed in the middle, with all that a run remembers.
fn long_project(folder: &Path) {
    changed_project(
        folder,
        &[
            (
                "  { type = \"dense\", units = 2,",
                "  { type = \"dropout\", rate = 0.1 },\n  { type = \"dense\", units = 2,",
            ),
            (
                "epochs = 30",
                "epochs = 1500\ncheckpoint = { every_steps = 40 }\naverage = { decay = 0.99 }\n\
                 schedule = \"cosine\"\nearly_stopping = { patience = 1500 }",
            ),
        ],
    );
}

fn weights(folder: &Path) -> Value {
    let show = run(folder, &["models", "show", "shapes", "1", "--json"]).expect(0).json();
    let files = show["files"].as_array().expect("a list");
    files.iter().find(|file| file["name"] == "weights.safetensors").expect("stored")["sha256"].clone()
}

#[test]
fn a_killed_run_goes_on_as_if_it_never_had_been() {
    let (whole, killed) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    long_project(whole.path());
    long_project(killed.path());
    run(whole.path(), &["train", "."]).expect(0);

    let mut child = command(killed.path(), &["train", "."]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let told = BufReader::new(child.stderr.take().expect("it is piped"));
    let halfway = told.lines().map_while(Result::ok).any(|line| line.starts_with("epoch 600/1500"));
    assert!(halfway, "it tells its progress");
    child.kill().expect("our child");
    child.wait().expect("our child");
    let list = run(killed.path(), &["runs", "list", "--json"]).expect(0).json();
    assert_eq!(list["runs"][0]["status"], "interrupted", "{list}");
    assert!(list["runs"][0]["version"].is_null());

    run(killed.path(), &["train", ".", "--resume"]).expect(0).prints("run 1 goes on in epoch");
    assert_eq!(weights(killed.path()), weights(whole.path()), "bit for bit");
    let show = run(killed.path(), &["runs", "show", "1", "--json"]).expect(0).json();
    let record = &show["record"];
    assert_eq!((&record["status"], &record["version"]), (&"finished".into(), &1.into()));
    assert_eq!(record["epochs"].as_array().map(Vec::len), Some(1500));
    assert_eq!(record["resumed_after"].as_array().map(Vec::len), Some(1));
    let left = std::fs::read_dir(killed.path().join(".modelyard/runs/1/checkpoints")).expect("there");
    assert_eq!(left.count(), 0, "a finished run needs no checkpoints");
    run(killed.path(), &["train", ".", "--resume"]).expect(5).says("no run of shapes to go on with");
}

#[test]
fn runs_are_listed_shown_and_compared() {
    let folder = trained_twice();
    let at = folder.path();
    let list = run(at, &["runs", "list", "--json"]).expect(0).json();
    let runs = list["runs"].as_array().expect("a list");
    assert_eq!(runs.iter().filter_map(|run| run["version"].as_u64()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((&runs[1]["status"], &runs[1]["metric"]), (&"finished".into(), &"accuracy".into()));
    run(at, &["runs", "list"]).expect(0).prints("finished").prints("30/30");
    let show = run(at, &["runs", "show", "1", "--json"]).expect(0).json();
    let epoch = &show["record"]["epochs"][29];
    assert!(epoch["metrics"]["f1_macro"].is_number() && epoch["validation_loss"].is_number(), "{epoch}");
    assert!(show["record"]["test"]["accuracy"].is_number() && show["record"]["ended_unix_ms"].is_number());
    run(at, &["runs", "show", "1"]).expect(0).prints("version    shapes 1").prints("validation accuracy");
    let compare = run(at, &["runs", "compare", "1", "2", "--json"]).expect(0).json();
    let fields = compare["made_from"].as_array().expect("a list");
    assert!(fields.iter().any(|f| f["field"] == "seed" && f["second"] == "4"), "{compare}");
    run(at, &["runs", "compare", "1", "2"]).expect(0).prints("validation loss after epoch");
    run(at, &["runs", "show", "9"]).expect(5).says("there is no run 9").says("the newest run is 2");
}

#[test]
fn a_run_that_fails_is_recorded_and_a_changed_project_is_not_resumed() {
    let folder = trained();
    let at = folder.path();
    let change = [("learning_rate = 0.05", "learning_rate = 1e38")];
    changed_project(at, &change);
    run(at, &["train", "."]).expect(3).says("training diverged");
    let show = run(at, &["runs", "show", "2", "--json"]).expect(0).json();
    assert_eq!(show["record"]["status"], "failed");
    assert!(show["record"]["error"].as_str().is_some_and(|error| error.contains("diverged")), "{show}");
    run(at, &["train", ".", "--resume=2"]).expect(5).says("cannot go on with run 2").says("no checkpoint");
    run(at, &["train", ".", "--resume=soon"]).expect(2).says("a run's number");
}

/// Runs `modelyard train` on a file system that is soon full, or, where there can be none, with a limit on the size
/// of files.
#[test]
fn a_disk_that_is_full_of_checkpoints_does_not_end_training() {
    let folder = tempfile::tempdir().expect("a folder");
    changed_project(
        folder.path(),
        &[
            ("units = 8", "units = 30000"),
            ("epochs = 30", "epochs = 4\ncheckpoint = { every_steps = 1, keep = 8 }"),
        ],
    );
    std::fs::create_dir(folder.path().join(".modelyard")).expect("made");
    let inner = command(folder.path(), &["train", ".", "--json"]);
    let mounted = "mount -t tmpfs -o size=5600k tmpfs .modelyard || exit 75; exec \"$@\"";
    let tiny = in_shell(&inner, &["unshare", "--user", "--map-root-user", "--mount"], mounted);
    let mut done = run_command(tiny);
    if done.code == Some(75) || done.stderr.contains("unshare") {
        done = run_command(in_shell(&inner, &[], "trap '' XFSZ; ulimit -f 4000; exec \"$@\""));
    }
    let done = done.says("warning: no checkpoint could be written").says("disk is full");
    assert_eq!(done.json()["version"], 1, "{done}");
}

/// A command behind a shell script that ends in `exec "$@"`.
fn in_shell(inner: &Command, before: &[&str], script: &str) -> Command {
    let mut words: Vec<&std::ffi::OsStr> = before.iter().map(std::ffi::OsStr::new).collect();
    words.extend(["sh", "-c", script, "sh"].map(std::ffi::OsStr::new));
    words.push(inner.get_program());
    words.extend(inner.get_args());
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command.current_dir(inner.get_current_dir().expect("it was set"));
    for (key, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command
}
