//! Serving cost: `modelyard serve` with an imported network beside FastAPI over ONNX Runtime, by turns.
//!
//! `serve [--binary PATH] [--peer-python PYTHON] [--connections 1,16] [--seconds N] [--rounds N]`.
//! Checks first that both answer alike, then loads each with `wrk` and prints requests a second, latencies,
//! errors, CPU time a request of the whole process tree, memory and cold start; last the ratios of medians.
//! Without a Python that has the peer's packages, ours alone is measured.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and the command line")]
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use modelyard_model::{Activation, Dense, LayerSpec, Network, NetworkSpec};
use serde_json::{Value, json};

/// How long a server may take to give its first right answer.
const START_MAX: Duration = Duration::from_secs(60);
const OUR_PORT: u16 = 18_080;
const PEER_PORT: u16 = 18_081;
const FEATURES: usize = 100;
/// Answers that differ by more than this are different.
const TOLERANCE: f64 = 1e-4;

/// What to measure.
struct Options {
    binary: PathBuf,
    peer_python: Option<String>,
    connections: Vec<usize>,
    seconds: u64,
    rounds: usize,
}

/// One server and what is asked of it.
struct Contender {
    name: &'static str,
    command: Vec<String>,
    port: u16,
    path: &'static str,
    body: PathBuf,
    /// Clock ticks of this system's process times in a second.
    ticks: f64,
}

/// What one server did at one number of connections in one round.
struct Measured {
    requests_per_s: f64,
    p99_ms: f64,
    cpu_us: f64,
    errors: u64,
}

type Rows = BTreeMap<(&'static str, usize), Vec<Measured>>;

fn main() -> Result<()> {
    let options = options()?;
    let folder = tempfile::tempdir()?;
    let contenders = contenders(&options, folder.path())?;
    let mut expected: Option<Vec<f64>> = None;
    let mut rows = Rows::new();
    for _ in 0..options.rounds {
        for contender in &contenders {
            measure(contender, &options, &mut expected, &mut rows)?;
        }
    }
    summarise(&options, &rows);
    let errors: u64 = rows.values().flatten().map(|row| row.errors).sum();
    ensure!(errors == 0, "{errors} requests failed");
    Ok(())
}

fn options() -> Result<Options> {
    let mut options = Options {
        binary: PathBuf::from("target/release/modelyard"),
        peer_python: Some("python3".to_owned()),
        connections: vec![1, 16],
        seconds: 5,
        rounds: 3,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--binary" => options.binary = value.into(),
            "--peer-python" => options.peer_python = Some(value),
            "--connections" => {
                options.connections = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--seconds" => options.seconds = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            _ => bail!("unknown option {flag}"),
        }
    }
    ensure!(options.binary.exists(), "{} is not built", options.binary.display());
    let has_peer = |python: &String| {
        let imports = ["-c", "import fastapi, uvicorn, onnxruntime"];
        let run = Command::new(python).args(imports).stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    options.peer_python = options.peer_python.filter(has_peer);
    if options.peer_python.is_none() {
        println!("no Python with fastapi, uvicorn and onnxruntime was found (--peer-python): ours alone");
    }
    Ok(options)
}

/// Writes the network and the requests, imports the network, and says how both servers are started.
fn contenders(options: &Options, folder: &Path) -> Result<Vec<Contender>> {
    let onnx = folder.join("mlp.onnx");
    fs::write(&onnx, network()?.to_onnx()?)?;
    let store = folder.join("store");
    let import = Command::new(&options.binary)
        .arg("import")
        .arg(&onnx)
        .args(["--name", "mlp", "--store"])
        .arg(&store)
        .output()
        .context("cannot run the binary")?;
    ensure!(import.status.success(), "import failed: {}", String::from_utf8_lossy(&import.stderr));
    let row = row();
    let plain = folder.join("plain.json");
    fs::write(&plain, json!({ "input": [row] }).to_string())?;
    let tensor = json!({ "name": "input", "shape": [1, FEATURES], "datatype": "FP32", "data": row });
    let v2 = folder.join("v2.json");
    fs::write(&v2, json!({ "inputs": [tensor] }).to_string())?;
    let ticks = clock_ticks()?;
    let text = |path: &Path| path.display().to_string();
    let mut contenders = Vec::new();
    if let Some(python) = &options.peer_python {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/serve_fastapi.py").to_owned();
        contenders.push(Contender {
            name: "fastapi",
            command: vec![python.clone(), script, text(&onnx), PEER_PORT.to_string()],
            port: PEER_PORT,
            path: "/predict",
            body: plain,
            ticks,
        });
    }
    let listen = format!("127.0.0.1:{OUR_PORT}");
    let serve = ["serve".to_owned(), "--store".to_owned(), text(&store), "--listen".to_owned(), listen];
    contenders.push(Contender {
        name: "modelyard",
        command: std::iter::once(text(&options.binary)).chain(serve).collect(),
        port: OUR_PORT,
        path: "/v2/models/mlp/infer",
        body: v2,
        ticks,
    });
    Ok(contenders)
}

/// The network of the training benchmark's `a32`: 100-64-64-10.
fn network() -> Result<Network> {
    let dense = |units, activation| LayerSpec::Dense(Dense::new(units, Some(activation)));
    let layers =
        vec![dense(64, Activation::Relu), dense(64, Activation::Relu), dense(10, Activation::Softmax)];
    Ok(Network::init(NetworkSpec::new(vec![FEATURES], layers), 42)?)
}

/// One row of values as a client would write them, with four decimals.
fn row() -> Vec<f64> {
    (0..FEATURES).map(|at| ((at as f64 * 1.7).sin() * 2e4).round() / 1e4).collect()
}

fn clock_ticks() -> Result<f64> {
    let output = Command::new("getconf").arg("CLK_TCK").output().context("cannot run getconf")?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// A server that is ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn measure(
    contender: &Contender,
    options: &Options,
    expected: &mut Option<Vec<f64>>,
    rows: &mut Rows,
) -> Result<()> {
    let body = fs::read(&contender.body)?;
    let start = Instant::now();
    let [program, arguments @ ..] = contender.command.as_slice() else { bail!("no command") };
    let child = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let server = Running(child);
    let answer = loop {
        match ask(contender, &body) {
            Some(answer) => break answer,
            None if start.elapsed() > START_MAX => bail!("{} gives no answer", contender.name),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let cold_s = start.elapsed().as_secs_f64();
    let want = expected.get_or_insert_with(|| answer.clone());
    let alike =
        want.len() == answer.len() && want.iter().zip(&answer).all(|(a, b)| (a - b).abs() < TOLERANCE);
    ensure!(alike, "{} answers {answer:?}, not {want:?}", contender.name);
    for &connections in &options.connections {
        load(contender, connections, 1)?;
        let before = cpu_seconds(server.0.id(), contender.ticks);
        let (requests, seconds, p50_ms, p99_ms, errors) = load(contender, connections, options.seconds)?;
        let used = cpu_seconds(server.0.id(), contender.ticks) - before;
        let measured = Measured {
            requests_per_s: requests / seconds,
            p99_ms,
            cpu_us: used * 1e6 / requests.max(1.0),
            errors,
        };
        println!(
            "{:9} c{connections:<3} {:8.0} req/s  p50 {p50_ms:7.3} ms  p99 {p99_ms:7.3} ms  CPU {:6.1} us/req  \
             {:4.0} MB  cold {cold_s:5.3} s  errors {errors}",
            contender.name,
            measured.requests_per_s,
            measured.cpu_us,
            memory_mb(server.0.id()),
        );
        rows.entry((contender.name, connections)).or_default().push(measured);
    }
    Ok(())
}

/// The numbers of one answer; none where there is none yet, or not status 200.
fn ask(contender: &Contender, body: &[u8]) -> Option<Vec<f64>> {
    let mut stream = TcpStream::connect(("127.0.0.1", contender.port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        contender.path,
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let (head, json) = reply.split_once("\r\n\r\n")?;
    let json: Value = head.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(json).ok())??;
    let values = json.get("output").map_or_else(|| &json["outputs"][0]["data"], |rows| &rows[0]);
    values.as_array()?.iter().map(Value::as_f64).collect()
}

/// Requests, seconds, p50 and p99 in milliseconds, and errors.
fn load(contender: &Contender, connections: usize, seconds: u64) -> Result<(f64, f64, f64, f64, u64)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/serve_wrk.lua");
    let output = Command::new("wrk")
        .args([
            "-t1",
            &format!("-c{connections}"),
            &format!("-d{seconds}s"),
            "--timeout",
            "10s",
            "-s",
            script,
        ])
        .arg(format!("http://127.0.0.1:{}{}", contender.port, contender.path))
        .env("BODY", &contender.body)
        .output()
        .context("cannot run wrk (Debian package wrk)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT ")).context("wrk printed no result")?;
    let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [requests, microseconds, p50, p99, errors] = numbers[..] else { bail!("wrk printed {line:?}") };
    Ok((requests, microseconds / 1e6, p50 / 1e3, p99 / 1e3, errors as u64))
}

/// A process and all below it.
fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(parent) = stat(process).and_then(|fields| fields.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        found.extend(children.remove(&found[at]).unwrap_or_default());
        at += 1;
    }
    found
}

/// The fields of `/proc/<pid>/stat` behind the name, which may hold blanks: state, parent, …
fn stat(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn cpu_seconds(root: u32, ticks: f64) -> f64 {
    let used = |process: &u32| -> Option<f64> {
        let fields = stat(*process)?;
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    };
    tree(root).iter().filter_map(used).sum::<f64>() / ticks
}

/// Proportional memory: pages shared with others count in part.
fn memory_mb(root: u32) -> f64 {
    let kilobytes = |process: &u32| -> Option<f64> {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        let line = text.lines().find(|line| line.starts_with("Pss:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    tree(root).iter().filter_map(kilobytes).sum::<f64>() / 1024.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A figure's name and where it stands.
type Figure = (&'static str, fn(&Measured) -> f64);

fn summarise(options: &Options, rows: &Rows) {
    for &connections in &options.connections {
        let (Some(ours), Some(peer)) =
            (rows.get(&("modelyard", connections)), rows.get(&("fastapi", connections)))
        else {
            continue;
        };
        let parts: [Figure; 3] =
            [("req/s", |row| row.requests_per_s), ("CPU", |row| row.cpu_us), ("p99", |row| row.p99_ms)];
        for (what, part) in parts {
            let middle = |rows: &[Measured]| median(rows.iter().map(part).collect());
            println!("ratio modelyard/fastapi c{connections} {what}: {:.3}", middle(ours) / middle(peer));
        }
    }
}
