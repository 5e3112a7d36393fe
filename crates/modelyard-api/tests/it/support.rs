//! A store with small models, a running server over it, and an HTTP client that hides nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use modelyard_api::ApiConfig;
use modelyard_data::{OutputActivation, Pipeline, PipelineSpec, SourceSpec};
use modelyard_model::{Network, NetworkSpec};
use modelyard_registry::{GateRule, ModelVersion, NewVersion, Origin, Promotion, Registry};
use modelyard_runtime::{RuntimeConfig, Runtimes};
use modelyard_serve::{ServeConfig, Server};
use modelyard_types::{Alias, Caller, Clock, ModelName, Version};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) struct RealClock;

#[expect(clippy::disallowed_methods, reason = "a test stands in for the binary, which owns the clock")]
impl Clock for RealClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A dense network of one layer with softmax; the seed makes it another one.
fn network(inputs: usize, outputs: usize, seed: u64) -> Network {
    let spec = json!({
        "input": [inputs],
        "layers": [{ "type": "dense", "units": outputs, "activation": "softmax" }],
    });
    let spec: NetworkSpec = serde_json::from_value(spec).expect("a network");
    Network::init(spec, seed).expect("it fits together")
}

/// A network as training leaves it.
pub(crate) fn native(inputs: usize, outputs: usize, seed: u64) -> Files {
    let network = network(inputs, outputs, seed);
    Files::from([
        ("network.json".to_owned(), network.network_json().into_bytes()),
        ("weights.safetensors".to_owned(), network.weights_safetensors()),
        ("model.onnx".to_owned(), network.to_onnx().expect("exports")),
    ])
}

/// A network as it comes from elsewhere.
pub(crate) fn onnx(inputs: usize, outputs: usize, seed: u64) -> Files {
    Files::from([("model.onnx".to_owned(), network(inputs, outputs, seed).to_onnx().expect("exports"))])
}

/// A network with a pipeline: `size`, a number, and `<colour>`, a category, to the category `kind`.
pub(crate) fn named(seed: u64) -> Files {
    let spec = json!({
        "inputs": [{ "name": "size", "kind": "number" }, { "name": "<colour>", "kind": "category", "column": "colour" }],
        "outputs": [{ "name": "kind", "kind": "category" }],
    });
    let rows =
        "size,colour,kind\n1,red,apple\n2,green,pear\n3,red,plum\n4,green,apple\n5,red,pear\n6,green,plum\n";
    with_pipeline(&spec, "rows.csv", rows, 3, seed)
}

/// A network whose one input is a vector of two columns.
pub(crate) fn vector(seed: u64) -> Files {
    let spec = json!({
        "inputs": [{ "name": "pixels", "kind": "vector", "columns": "p*" }],
        "outputs": [{ "name": "digit", "kind": "category" }],
    });
    let rows = "p0,p1,digit\n0,1,3\n1,0,8\n1,1,9\n0,0,3\n";
    with_pipeline(&spec, "rows.csv", rows, 2, seed)
}

/// As [`vector`], of three columns.
pub(crate) fn wide_vector(seed: u64) -> Files {
    let spec = json!({
        "inputs": [{ "name": "pixels", "kind": "vector", "columns": "p*" }],
        "outputs": [{ "name": "digit", "kind": "category" }],
    });
    let rows = "p0,p1,p2,digit\n0,1,0,3\n1,0,0,8\n1,1,1,9\n0,0,1,3\n";
    with_pipeline(&spec, "rows.csv", rows, 3, seed)
}

fn with_pipeline(spec: &Value, file: &str, rows: &str, features: usize, seed: u64) -> Files {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(file), rows).expect("writes");
    let spec: PipelineSpec = serde_json::from_value(spec.clone()).expect("a pipeline");
    let data = modelyard_data::read(&SourceSpec::new(file), folder.path(), &spec).expect("reads");
    let all: Vec<usize> = (0..data.rows()).collect();
    let mut pipeline = Pipeline::fit(&spec, &data, &all).expect("fits");
    let width: usize = pipeline.input_shape().iter().product();
    assert!(width >= features, "{width} features");
    pipeline.set_output_activation(pipeline.output_width(), OutputActivation::Softmax).expect("classes");
    let mut files = native(width, pipeline.output_width(), seed);
    files.insert("pipeline.json".to_owned(), pipeline.to_json().into_bytes());
    files
}

pub(crate) struct Store {
    folder: TempDir,
    pub(crate) registry: Registry,
}

impl Store {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Registry::open(folder.path(), Arc::new(RealClock)).await.expect("opens");
        Self { folder, registry }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Publishes without moving an alias.
    pub(crate) async fn publish(&self, name: &str, files: Files) -> ModelVersion {
        let new = NewVersion {
            name: name.parse().expect("a name"),
            files,
            origin: Origin::Imported,
            gates_passed: true,
            summary: Value::Null,
            parent: None,
            by: Caller::default(),
        };
        self.registry.publish(new).await.expect("publishes")
    }

    pub(crate) async fn promote(&self, name: &str, version: Version) {
        let promotion = Promotion {
            name: name.parse().expect("a name"),
            alias: Alias::live(),
            version,
            gates: GateRule::MustPass,
            by: Caller::default(),
            why: String::new(),
        };
        self.registry.promote(promotion).await.expect("promotes");
    }

    pub(crate) async fn serve(&self) -> Running {
        self.serve_with(ServeConfig::default(), ApiConfig::default()).await
    }

    pub(crate) async fn serve_with(&self, serve: ServeConfig, api: ApiConfig) -> Running {
        let registry = Registry::open(self.folder.path(), Arc::new(RealClock)).await.expect("opens");
        let runtimes = Arc::new(Runtimes::detect(&RuntimeConfig::default()));
        let only: Option<Vec<ModelName>> = None;
        let server =
            Server::start(registry, runtimes, serve, Arc::new(RealClock), only).await.expect("starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = modelyard_api::serve(listener, Arc::clone(&server), api, async {
            drop(stopped.await);
        });
        let task = tokio::spawn(async move { serving.await.expect("serves") });
        Running { address, server, stop, task }
    }
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) server: Arc<Server>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await.expect("connects")
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.client().await.send("GET", path, &[], b"").await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        let json = [("content-type", "application/json")];
        self.client().await.send("POST", path, &json, body.as_ref()).await.expect("an answer")
    }

    /// Stops and waits until everything has ended.
    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("it ends well");
    }
}

/// One keep-alive connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The failure's sentence, after a look at its form.
    #[track_caller]
    pub(crate) fn failure(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let json = self.json();
        assert_eq!(json["kind"], kind, "{json}");
        assert_eq!(json["request_id"], self.headers["x-request-id"].as_str(), "{json}");
        json["error"].as_str().expect("a sentence").to_owned()
    }

    pub(crate) fn closes(&self) -> bool {
        self.headers.get("connection").is_some_and(|value| value == "close")
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(address).await?, read: Vec::new() })
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Reply> {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").expect("writes to a string");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).await?;
        self.reply(method == "HEAD").await
    }

    pub(crate) async fn reply(&mut self, head_only: bool) -> io::Result<Reply> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).expect("ASCII");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |value| value.parse().expect("a number"));
        let length = if head_only { 0 } else { length };
        while self.read.len() < length {
            self.more().await?;
        }
        Ok(Reply { status, headers, body: self.read.drain(..length).collect() })
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Asks for the metrics until a gauge of a model's first version shows this; each look takes the server a moment,
    /// so nothing has to sleep.
    pub(crate) async fn until(&mut self, name: &str, model: &str, want: usize) {
        let head = format!("{name}{{model=\"{model}\",version=\"1\"}} ");
        let looking = async {
            loop {
                let page = self.send("GET", "/metrics", &[], b"").await.expect("an answer");
                let value: Option<usize> =
                    page.text().lines().find_map(|line| line.strip_prefix(&head)?.parse().ok());
                assert!(value.is_some(), "{head} is not in\n{}", page.text());
                if value == Some(want) {
                    return;
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(60), looking).await;
        assert!(found.is_ok(), "{head} did not become {want}");
    }

    /// Waits until the server closes the connection, at most half a minute.
    pub(crate) async fn closed(&mut self) {
        let closed = async { while self.stream.read_buf(&mut self.read).await.is_ok_and(|got| got > 0) {} };
        tokio::time::timeout(Duration::from_secs(30), closed).await.expect("the server closes it");
    }
}

/// What was written, shared with the test.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    pub(crate) fn lines(&self) -> Vec<Value> {
        let bytes = self.0.lock().expect("not poisoned").clone();
        let text = String::from_utf8(bytes).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

/// An inference request of one row of this width, all values alike.
pub(crate) fn infer_body(width: usize, value: f32) -> String {
    let input =
        json!({ "name": "input", "shape": [1, width], "datatype": "FP32", "data": vec![value; width] });
    json!({ "inputs": [input] }).to_string()
}
