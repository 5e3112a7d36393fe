//! Bodies that come packed, and those that are larger than they look.

use std::io::Write;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use modelyard_api::ApiConfig;
use modelyard_serve::ServeConfig;
use prost::Message;
use tokio::net::TcpStream;

use crate::support::{Running, Store, infer_body, native};

async fn serve(body_bytes_max: usize) -> Running {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    store.serve_with(ServeConfig::default(), ApiConfig { body_bytes_max, ..ApiConfig::default() }).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("packs")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("packs")
}

#[tokio::test]
async fn packed_bodies_are_answered_as_plain_ones() {
    let running = serve(1 << 20).await;
    let mut client = running.client().await;
    let long = format!("{}{}", infer_body(2, 1.0), " ".repeat(500_000));
    let want = running.post("/v2/models/m/infer", &long).await;
    for (coding, body) in [
        ("gzip", gzip(long.as_bytes())),
        ("deflate", deflate(long.as_bytes())),
        ("identity", long.clone().into_bytes()),
    ] {
        let headers = [("content-encoding", coding)];
        let reply = client.send("POST", "/v2/models/m/infer", &headers, &body).await.expect("an answer");
        assert_eq!((reply.status, &reply.body), (200, &want.body), "{coding}: {}", reply.text());
    }
    running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_unpacked_within_the_limit_is_refused() {
    let running = serve(100_000).await;
    let bomb = gzip(&vec![b' '; 50_000_000]);
    assert!(bomb.len() < 100_000, "{} bytes come in under the limit", bomb.len());
    let whole = gzip(infer_body(2, 1.0).as_bytes());
    for (coding, body, status, kind, want) in [
        ("gzip", bomb.as_slice(), 413, "too_large", "the body is larger than 100000 bytes"),
        ("gzip", b"\x1f\x8b", 400, "invalid_argument", "the body cannot be unpacked"),
        ("gzip", &whole[..whole.len() - 3], 400, "invalid_argument", "the body cannot be unpacked"),
        ("deflate", b"no zlib", 400, "invalid_argument", "the body cannot be unpacked"),
        ("br", b"", 415, "invalid_argument", "the coding \"br\" is not known"),
    ] {
        let mut client = running.client().await;
        let headers = [("content-encoding", coding)];
        let reply = client.send("POST", "/v2/models/m/infer", &headers, body).await.expect("an answer");
        let told = reply.failure(status, kind);
        assert!(told.contains(want), "{told}");
    }
    running.stop().await;
}

/// What `schemas/inference.proto` says of a request, as far as it is needed here.
#[derive(Clone, PartialEq, Message)]
struct InferRequest {
    #[prost(string, tag = "1")]
    model_name: String,
    #[prost(message, repeated, tag = "5")]
    inputs: Vec<InferInput>,
    #[prost(bytes = "vec", repeated, tag = "7")]
    raw_input_contents: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct InferInput {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    datatype: String,
    #[prost(int64, repeated, tag = "3")]
    shape: Vec<i64>,
}

/// The status of a gRPC call whose message is packed, and the bytes of its answer.
async fn call_packed(running: &Running, rows: usize) -> (String, usize) {
    let shape = vec![i64::try_from(rows).expect("few"), 2];
    let input = InferInput { name: "input".to_owned(), datatype: "FP32".to_owned(), shape };
    let raw_input_contents = vec![vec![0; rows * 8]];
    let message = InferRequest { model_name: "m".to_owned(), inputs: vec![input], raw_input_contents };
    let packed = gzip(&message.encode_to_vec());
    assert!(packed.len() < 100_000, "{} bytes come in under the limit", packed.len());
    let mut body = vec![1];
    body.extend(u32::try_from(packed.len()).expect("few").to_be_bytes());
    body.extend(packed);
    let request =
        Request::post(format!("http://{}/inference.GRPCInferenceService/ModelInfer", running.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", "gzip")
            .body(Full::new(Bytes::from(body)));
    let stream = TcpStream::connect(running.address).await.expect("connects");
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    let answer = sender.send_request(request.expect("a request")).await.expect("an answer");
    let (parts, body) = answer.into_parts();
    let whole = body.collect().await.expect("it comes whole");
    let trailers = whole.trailers().cloned().unwrap_or_default();
    let status = parts.headers.get("grpc-status").or(trailers.get("grpc-status")).expect("a status");
    (status.to_str().expect("ASCII").to_owned(), whole.to_bytes().len())
}

#[tokio::test]
async fn packed_messages_of_grpc_have_the_same_limit_once_unpacked() {
    let running = serve(100_000).await;
    let (status, bytes) = call_packed(&running, 3).await;
    assert!(status == "0" && bytes > 3 * 8, "{status}: {bytes} bytes");
    assert_eq!(call_packed(&running, 1_000_000).await, ("8".to_owned(), 0), "RESOURCE_EXHAUSTED");
    assert_eq!(call_packed(&running, 3).await, (status, bytes), "the server goes on");
    running.stop().await;
}
