//! What is measured: the same network by each wire, the peer, the bare stack, and batching.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use modelyard_bench::client::{Connection, post};
use modelyard_bench::models::{cnn, import, infer_body, mlp, text, values};
use modelyard_bench::process::clock_ticks;
use modelyard_bench::server::Server;
use serde_json::json;

use crate::Options;
use crate::contender::Contender;
use crate::load::Tool;
use crate::messages::{binary, binary_numbers, grpc, json_numbers, no_numbers, plain_numbers};

const MLP: [usize; 1] = [100];
const IMAGE: [usize; 3] = [28, 28, 1];
/// Those who ask a network that is worth batching.
const CNN_CONNECTIONS: usize = 32;
/// Connections that all calls of a client share, as gRPC's clients do.
const GRPC_CONNECTIONS: usize = 2;
const MLP_PATH: &str = "/v2/models/mlp/infer";
const CNN_PATH: &str = "/v2/models/cnn/infer";
const JSON: &str = "content-type: application/json\r\n";
const GRPC: &str = "content-type: application/grpc\r\nte: trailers\r\n";

/// The store, the folder of requests, and the ports, given out one by one.
struct Desk<'a> {
    options: &'a Options,
    folder: &'a Path,
    store: PathBuf,
    ticks: f64,
    port: u16,
}

/// All of them, in the order of their turns.
///
/// # Errors
/// Where a network cannot be imported, or gives no answer.
pub(crate) fn contenders(options: &Options, folder: &Path) -> Result<Vec<Contender>> {
    let store = folder.join("store");
    let network = mlp(42)?;
    import(&options.binary, &store, "mlp", &network)?;
    import(&options.binary, &store, "cnn", &cnn(42)?)?;
    let server = Server::start(&options.binary, &store, &[])?;
    let ask = |path: &str, shape: &[usize]| -> Result<Vec<u8>> {
        let request = post(path, infer_body(shape).to_string().as_bytes());
        Ok(Connection::open(server.address())?.ask(&request)?.body)
    };
    let answer = ask(MLP_PATH, &MLP)?;
    let expected = json_numbers(&answer).context("the network answers")?;
    let image_expected = json_numbers(&ask(CNN_PATH, &IMAGE)?).context("the network answers")?;
    drop(server);
    let mut desk = Desk { options, folder, store, ticks: clock_ticks()?, port: 18_080 };
    let (mlp_headers, mlp_binary) = binary(&MLP);
    let (cnn_headers, cnn_binary) = binary(&IMAGE);
    let mut all = Vec::new();
    if let Some(python) = &options.peer_python {
        all.push(Contender { expected: expected.clone(), ..desk.peer(python, &network.to_onnx()?)? });
    }
    let body = infer_body(&MLP).to_string();
    let ours = |contender| Contender { expected: expected.clone(), ..contender };
    all.push(ours(desk.own("json", MLP_PATH, body.as_bytes(), &["--model", "mlp"])?));
    let contender = desk.own("binary", MLP_PATH, &mlp_binary, &["--model", "mlp"])?;
    all.push(ours(Contender { headers: mlp_headers, numbers: binary_numbers, ..contender }));
    if options.has_h2load {
        let path = "/inference.GRPCInferenceService/ModelInfer";
        for (name, tool) in [("grpc", Tool::H2load), ("grpc-streams", Tool::H2loadOver(GRPC_CONNECTIONS))] {
            let contender = desk.own(name, path, &grpc("mlp", &MLP), &["--model", "mlp"])?;
            all.push(Contender { headers: GRPC.to_owned(), tool, ..contender });
        }
    }
    all.push(desk.bare(body.as_bytes(), &answer)?);
    for (name, size) in [("cnn-batched", "64"), ("cnn-single", "1")] {
        let limits = ["--model", "cnn", "--batch-size-max", size];
        let contender = desk.own(name, CNN_PATH, &cnn_binary, &limits)?;
        all.push(Contender {
            headers: cnn_headers.clone(),
            numbers: binary_numbers,
            expected: image_expected.clone(),
            connections: vec![CNN_CONNECTIONS],
            ..contender
        });
    }
    Ok(all)
}

impl Desk<'_> {
    /// A server of any kind, asked over HTTP/1.1 with JSON and nothing to compare.
    fn contender(&mut self, name: &'static str, path: &'static str, body: &[u8]) -> Result<Contender> {
        let file = self.folder.join(format!("{name}.body"));
        fs::write(&file, body)?;
        self.port += 1;
        Ok(Contender {
            name,
            command: Vec::new(),
            address: SocketAddr::from(([127, 0, 0, 1], self.port)),
            tool: Tool::Wrk,
            path,
            headers: JSON.to_owned(),
            body: file,
            numbers: no_numbers,
            expected: Vec::new(),
            connections: self.options.connections.clone(),
            ticks: self.ticks,
        })
    }

    fn own(
        &mut self,
        name: &'static str,
        path: &'static str,
        body: &[u8],
        options: &[&str],
    ) -> Result<Contender> {
        let contender = self.contender(name, path, body)?;
        let address = contender.address.to_string();
        let fixed =
            [&text(&self.options.binary), "serve", "--store", &text(&self.store), "--listen", &address];
        let command = fixed.iter().chain(options).map(ToString::to_string).collect();
        Ok(Contender { command, numbers: json_numbers, ..contender })
    }

    fn peer(&mut self, python: &str, onnx: &[u8]) -> Result<Contender> {
        let body = json!({ "input": [values(MLP[0])] }).to_string();
        let contender = self.contender("fastapi", "/predict", body.as_bytes())?;
        let model = self.folder.join("peer.onnx");
        fs::write(&model, onnx)?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/serve_fastapi.py").to_owned();
        let port = contender.address.port().to_string();
        let command = vec![python.to_owned(), script, text(&model), port];
        Ok(Contender { command, numbers: plain_numbers, ..contender })
    }

    /// The stack below ours, built beside this program.
    fn bare(&mut self, body: &[u8], answer: &[u8]) -> Result<Contender> {
        let contender = self.contender("bare", "/", body)?;
        let file = self.folder.join("answer.json");
        fs::write(&file, answer)?;
        let program = std::env::current_exe()?.with_file_name("bare");
        let command = vec![text(&program), contender.address.to_string(), text(&file)];
        Ok(Contender { command, ..contender })
    }
}
