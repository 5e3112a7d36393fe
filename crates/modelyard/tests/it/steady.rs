//! The server as a supervisor and an operator see it: it ends without a failed request, and writes what it did.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Running, http, run, trained};

const BODY: &str = r#"{"input": {"width": 9, "height": 1, "colour": "red"}}"#;

/// Asks over new connections until nobody takes them any more; gives how many were answered.
fn ask_until_gone(address: SocketAddr) -> usize {
    let length = BODY.len();
    let head =
        format!("POST /predict HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let mut answered = 0;
    loop {
        let Ok(mut stream) = TcpStream::connect(address) else { return answered };
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it can be set");
        let sent = stream.write_all(format!("{head}{BODY}").as_bytes());
        let mut answer = String::new();
        match sent.and_then(|()| stream.read_to_string(&mut answer)) {
            // Never taken: the listener closed while the connection stood in its queue.
            Err(error) if [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&error.kind()) => {
                assert_eq!(answer, "", "an answer that broke off");
                return answered;
            }
            result => result.expect("it is answered"),
        };
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answered += 1;
    }
}

#[test]
fn terminating_under_load_fails_no_request() {
    let folder = trained();
    let mut server = Running::start(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let address = server.wait_for_address();
    let clients: Vec<_> = (0..4).map(|_| std::thread::spawn(move || ask_until_gone(address))).collect();
    for _ in 0..20 {
        assert_eq!(http(address, "POST /predict", BODY).0, 200);
    }
    server.end_by("-TERM").expect(0);
    let answered: usize = clients.into_iter().map(|client| client.join().expect("no request failed")).sum();
    assert!(answered > 0, "some were answered");
}

/// A collector that takes one message of spans; gives its length.
fn collector() -> (SocketAddr, Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (taken, takes) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        let mut some = [0; 16 << 10];
        let mut read = Vec::new();
        loop {
            let count = stream.read(&mut some).expect("reads");
            read.extend_from_slice(&some[..count]);
            let text = String::from_utf8_lossy(&read).into_owned();
            let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
            assert!(head.starts_with("POST /v1/traces "), "{head}");
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            let length: usize = length.parse().expect("a number");
            if read.len() == head.len() + 4 + length {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("writes");
                return taken.send(length).expect("the test listens");
            }
        }
    });
    (address, takes)
}

#[test]
fn requests_are_logged_and_traced_where_that_is_wanted() {
    let folder = trained();
    let (collector, takes) = collector();
    let endpoint = format!("http://{collector}");
    let watching = ["--access-log", "access.jsonl", "--otlp-endpoint", &endpoint, "--triton-metrics"];
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let mut server = Running::start(folder.path(), &[&serve[..], &watching].concat());
    let address = server.wait_for_address();
    assert_eq!(http(address, "POST /predict", BODY).0, 200);
    assert!(
        http(address, "GET /metrics", "").1.contains("nv_inference_count{model=\"shapes\",version=\"1\"} 1")
    );
    server.interrupt().expect(0);
    assert!(takes.recv().expect("the collector got spans") > 100);
    let log = std::fs::read_to_string(folder.path().join("access.jsonl")).expect("it was written");
    let first: Value = serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (first["path"].as_str(), first["model"].as_str()),
        (Some("/predict"), Some("shapes")),
        "{first}"
    );
}

#[test]
fn telemetry_that_goes_nowhere_is_told_before_anything_is_served() {
    let folder = trained();
    let serve = |options: [&str; 2]| {
        run(folder.path(), &[&["serve", "--listen", "127.0.0.1:0"][..], &options].concat()).expect(2)
    };
    serve(["--access-log", "no/such/folder/log"])
        .says("cannot write the access log")
        .says("hint: choose a file");
    serve(["--otlp-endpoint", "https://127.0.0.1:4318"])
        .says("must begin with http://")
        .says("hint: name a collector");
    serve(["--otlp-share", "2"]).says("no number from 0 to 1");
}
