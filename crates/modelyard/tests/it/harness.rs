//! Runs the binary, to its end or in the background, and keeps one trained store for all tests to copy.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// A background process that did nothing for this long is killed, so that a test fails rather than hangs.
const PATIENCE: Duration = Duration::from_secs(100);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The same, if it ended with this code and nothing panicked.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code\n{self}");
        assert!(!self.stderr.contains("panicked"), "no panic\n{self}");
        self
    }

    /// The one JSON object on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one line of JSON\n{self}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// The same, if standard error has this text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is not said\n{self}");
        self
    }

    /// The same, if standard output has this text.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "{text:?} is not printed\n{self}");
        self
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--- exit code {:?}\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// The binary, in `folder`, with nothing of ours in the environment.
pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_modelyard"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MODELYARD_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).args(args).env("USER", "tester");
    command
}

/// Runs a command to its end.
pub(crate) fn run_command(mut command: Command) -> Run {
    let output = command.output().expect("the binary starts");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// Runs the binary in `folder` to its end.
pub(crate) fn run(folder: &Path, args: &[&str]) -> Run {
    run_command(command(folder, args))
}

/// The binary in the background, killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: PathBuf,
    seen: String,
    // Dropped with the rest, which tells the watcher that all is well.
    _alive: Sender<()>,
    _folder: TempDir,
}

impl Running {
    /// Starts the binary in `folder`.
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        Self::start_for(folder, args, PATIENCE)
    }

    /// Starts the binary in `folder` for a test that takes this long at most.
    pub(crate) fn start_for(folder: &Path, args: &[&str], patience: Duration) -> Self {
        let logs = tempfile::tempdir().expect("a temporary folder");
        let stderr = logs.path().join("stderr");
        let mut command = command(folder, args);
        command.stdout(Stdio::piped()).stderr(File::create(&stderr).expect("can write"));
        let mut child = command.spawn().expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (alive, watched) = channel::<()>();
        let pid = child.id();
        std::thread::spawn(move || {
            if watched.recv_timeout(patience) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                signal(pid, "-KILL");
            }
        });
        Self { child, stdout, stderr, seen: String::new(), _alive: alive, _folder: logs }
    }

    /// Reads standard output up to a line with this text and returns that line.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).expect("text");
            self.seen.push_str(&line);
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
            let errors = || fs::read_to_string(&self.stderr).unwrap_or_default();
            assert!(read > 0, "it ended before {text:?}\n{}\n--- stderr\n{}", self.seen, errors());
        }
    }

    /// Waits until it serves and returns where.
    #[track_caller]
    pub(crate) fn wait_for_address(&mut self) -> SocketAddr {
        let line = self.wait_for("serving on http://");
        let text = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no address in {line:?}"))
    }

    /// What it holds in memory now, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
        let kib = line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number");
        kib / 1024.0
    }

    /// Sends Ctrl-C and waits for the end.
    pub(crate) fn interrupt(self) -> Run {
        self.end_by("-INT")
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end_by(mut self, name: &str) -> Run {
        signal(self.child.id(), name);
        self.finish()
    }

    /// Waits for the end.
    pub(crate) fn finish(&mut self) -> Run {
        self.stdout.read_to_string(&mut self.seen).expect("text");
        let status = self.child.wait().expect("it ends");
        let stderr = fs::read_to_string(&self.stderr).expect("text");
        Run { code: status.code(), stdout: self.seen.clone(), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([name, &pid.to_string()]).status();
}

/// Sends one HTTP request; gives the status and the body.
pub(crate) fn http(address: SocketAddr, request: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("it is taken");
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line).expect("it is answered");
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let mut length = None;
    let mut field = line.clone();
    while field.trim_end() != "" {
        field.clear();
        answer.read_line(&mut field).expect("it is answered");
        let (name, value) = field.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    let mut body = Vec::new();
    answer.take(length.unwrap_or(u64::MAX)).read_to_end(&mut body).expect("it is answered");
    let status = status.unwrap_or_else(|| panic!("no status in {line:?}"));
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// Runs a line in a shell, as a newcomer would paste it.
pub(crate) fn shell(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().expect("a shell");
    assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("can make folders");
    for entry in fs::read_dir(from).expect("it is there").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("can copy");
        }
    }
}

/// A project folder with a small table, made in a moment: two classes that a line parts.
pub(crate) fn small_project(folder: &Path) {
    let mut rows = String::from("width,height,colour,kind\n");
    for i in 0..120 {
        let (width, height) = (f64::from(i % 12), f64::from(i / 12));
        let kind = if width > height { "wide" } else { "tall" };
        let colour = ["red", "green", "blue"][i as usize % 3];
        rows.push_str(&format!("{width},{height},{colour},{kind}\n"));
    }
    fs::create_dir_all(folder).expect("can make folders");
    fs::write(folder.join("shapes.csv"), rows).expect("can write");
    fs::write(folder.join("modelyard.toml"), SMALL_PROJECT).expect("can write");
}

/// The project file of [`small_project`].
pub(crate) const SMALL_PROJECT: &str = r#"
[project]
name = "shapes"

[data]
source = "shapes.csv"

[data.split]
kind = "stratified"
seed = 3

[[inputs]]
name = "width"
kind = "number"

[[inputs]]
name = "height"
kind = "number"

[[inputs]]
name = "colour"
kind = "category"

[[outputs]]
name = "kind"
kind = "category"

[network]
layers = [
  { type = "dense", units = 8, activation = "relu" },
  { type = "dense", units = 2, activation = "softmax" },
]

[training]
optimizer = { type = "adam", learning_rate = 0.05 }
epochs = 30
seed = 3
threads = 1

[[gates]]
metric = "accuracy"
at_least = 0.7
"#;

/// A [`small_project`] changed by replacing text in its project file.
pub(crate) fn changed_project(folder: &Path, changes: &[(&str, &str)]) {
    small_project(folder);
    let mut text = SMALL_PROJECT.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is in the project file");
        text = text.replace(from, to);
    }
    fs::write(folder.join("modelyard.toml"), text).expect("can write");
}

/// The small project, trained once for all tests: copy it, never change it.
pub(crate) static TRAINED: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    small_project(folder.path());
    run(folder.path(), &["up", ".", "--no-serve"]).expect(0);
    folder
});

/// A copy of [`TRAINED`] to change at will: version 1 is live.
pub(crate) fn trained() -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    copy_folder(TRAINED.path(), copy.path());
    copy
}

/// A copy of [`TRAINED`] with a second version, made with another seed; version 1 is live.
pub(crate) static TRAINED_TWICE: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = trained();
    let text = SMALL_PROJECT.replace("seed = 3\nthreads", "seed = 4\nthreads");
    fs::write(folder.path().join("modelyard.toml"), text).expect("can write");
    run(folder.path(), &["train", "."]).expect(0);
    folder
});

/// A copy of [`TRAINED_TWICE`] to change at will.
pub(crate) fn trained_twice() -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    copy_folder(TRAINED_TWICE.path(), copy.path());
    copy
}

/// Damages records of the store in `folder`, by what a bad disk or a bad hand might have done.
pub(crate) fn damage(folder: &Path, statement: &'static str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let tables =
            modelyard_storage::Tables::open(&folder.join(".modelyard/store.db")).await.expect("opens");
        let changed = sqlx::query(statement).execute(tables.pool()).await.expect("changed");
        assert!(changed.rows_affected() > 0, "{statement} changes something");
        tables.close().await;
    });
}
