//! What is measured: the same network by each wire, the peer, the bare stack, and batching.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use modelyard_bench::client::{Connection, post};
use modelyard_bench::models::{cnn, import, infer_body, infer_rows, lstm, mlp, text, values};
use modelyard_bench::process::{built_beside, clock_ticks};
use modelyard_bench::server::Server;
use serde_json::{Value, json};

use crate::Options;
use crate::contender::Contender;
use crate::load::Tool;
use crate::messages::{
    MANY, binary, binary_numbers, binary_numbers_of_many, grpc, json_numbers, no_numbers, plain_numbers,
};

const MLP: [usize; 1] = [100];
const IMAGE: [usize; 3] = [28, 28, 1];
const SERIES: [usize; 2] = [28, 28];
/// Those who ask a network that is worth batching.
const BATCHED_CONNECTIONS: usize = 32;
/// Connections that all calls of a client share, as gRPC's clients do.
const GRPC_CONNECTIONS: usize = 2;
const MLP_PATH: &str = "/v2/models/mlp/infer";
const CNN_PATH: &str = "/v2/models/cnn/infer";
const LSTM_PATH: &str = "/v2/models/lstm/infer";
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
    import(&options.binary, &store, "lstm", &lstm(42)?)?;
    let server = Server::start(&options.binary, &store, &[])?;
    let ask = |path: &str, body: &Value| -> Result<Vec<u8>> {
        let request = post(path, body.to_string().as_bytes());
        Ok(Connection::open(server.address())?.ask(&request)?.body)
    };
    let numbers = |path: &str, body: &Value| -> Result<Vec<f64>> {
        json_numbers(&ask(path, body)?).with_context(|| format!("{path} gives no answer"))
    };
    let answer = ask(MLP_PATH, &infer_body(&MLP))?;
    let expected = json_numbers(&answer).context("the network answers")?;
    let expected_of_many = numbers(MLP_PATH, &infer_rows(MANY, &MLP))?;
    let image_expected = numbers(CNN_PATH, &infer_body(&IMAGE))?;
    let series_expected = numbers(LSTM_PATH, &infer_body(&SERIES))?;
    drop(server);
    let mut desk = Desk { options, folder, store, ticks: clock_ticks()?, port: 18_080 };
    let (mlp_headers, mlp_binary) = binary(1, &MLP);
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
    all.extend(desk.large(&expected_of_many)?);
    all.extend(desk.batched(["cnn-batched", "cnn-single"], CNN_PATH, &IMAGE, &image_expected)?);
    all.extend(desk.batched(["lstm-batched", "lstm-single"], LSTM_PATH, &SERIES, &series_expected)?);
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

    /// Requests of many rows, as JSON and as raw bytes.
    fn large(&mut self, expected: &[f64]) -> Result<[Contender; 2]> {
        let body = infer_rows(MANY, &MLP).to_string();
        let json = self.own("json32", MLP_PATH, body.as_bytes(), &["--model", "mlp"])?;
        let (headers, body) = binary(MANY, &MLP);
        let raw = self.own("binary32", MLP_PATH, &body, &["--model", "mlp"])?;
        let expected = expected.to_vec();
        Ok([
            Contender { expected: expected.clone(), ..json },
            Contender { headers, numbers: binary_numbers_of_many, expected, ..raw },
        ])
    }

    /// One row a request of many callers, in batches of up to 64 rows and of one.
    fn batched(
        &mut self,
        names: [&'static str; 2],
        path: &'static str,
        row_shape: &[usize],
        expected: &[f64],
    ) -> Result<Vec<Contender>> {
        let (headers, body) = binary(1, row_shape);
        let model = path.split('/').nth(3).context("a path names its model")?;
        let contender = |(name, size)| {
            let contender = self.own(name, path, &body, &["--model", model, "--batch-size-max", size])?;
            Ok(Contender {
                headers: headers.clone(),
                numbers: binary_numbers,
                expected: expected.to_vec(),
                connections: vec![BATCHED_CONNECTIONS],
                ..contender
            })
        };
        names.into_iter().zip(["64", "1"]).map(contender).collect()
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
        let program = built_beside("bare")?;
        let command = vec![text(&program), contender.address.to_string(), text(&file)];
        Ok(Contender { command, ..contender })
    }
}
