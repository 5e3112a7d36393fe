//! Inferences over gRPC, packed and plain, and messages that are none.

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

use crate::packed::{gzip, serve};
use crate::support::Running;

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

/// What came of a call: its status, what is told of a failure, the bytes of its answer, the request's id.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: String,
    message: String,
    answer: Vec<u8>,
    id: String,
}

fn message(model: &str, rows: usize) -> Vec<u8> {
    let shape = vec![i64::try_from(rows).expect("few"), 2];
    let input = InferInput { name: "input".to_owned(), datatype: "FP32".to_owned(), shape };
    let raw_input_contents = vec![vec![0; rows * 8]];
    InferRequest { model_name: model.to_owned(), inputs: vec![input], raw_input_contents }.encode_to_vec()
}

fn framed(packed: bool, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("few").to_be_bytes();
    [&[u8::from(packed)], &length[..], message].concat()
}

async fn call(running: &Running, coding: Option<&str>, body: Vec<u8>) -> Told {
    let mut request =
        Request::post(format!("http://{}/inference.GRPCInferenceService/ModelInfer", running.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-request-id", "mine");
    if let Some(coding) = coding {
        request = request.header("grpc-encoding", coding);
    }
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    let stream = TcpStream::connect(running.address).await.expect("connects");
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await.expect("an answer").into_parts();
    assert_eq!(
        (parts.status.as_u16(), &parts.headers["content-type"]),
        (200, &"application/grpc".parse().expect("a type"))
    );
    let whole = body.collect().await.expect("it comes whole");
    let trailers = whole.trailers().cloned().unwrap_or_default();
    let text = |name| {
        let value = parts.headers.get(name).or(trailers.get(name));
        value.map(|value| value.to_str().expect("ASCII").replace("%20", " ")).unwrap_or_default()
    };
    let (status, message, id) = (text("grpc-status"), text("grpc-message"), text("x-request-id"));
    Told { status, message, id, answer: whole.to_bytes().to_vec() }
}

#[tokio::test]
async fn packed_messages_have_the_same_limit_once_unpacked() {
    let running = serve(100_000).await;
    let packed = |rows| {
        let packed = gzip(&message("m", rows));
        assert!(packed.len() < 100_000, "{} bytes come in under the limit", packed.len());
        framed(true, &packed)
    };
    let told = call(&running, Some("gzip"), packed(3)).await;
    assert!(told.status == "0" && told.answer.len() > 3 * 8, "{told:?}");
    let refused = call(&running, Some("gzip"), packed(1_000_000)).await;
    assert_eq!((refused.status.as_str(), refused.answer.len()), ("8", 0), "RESOURCE_EXHAUSTED");
    assert_eq!(call(&running, Some("gzip"), packed(3)).await, told, "the server goes on");
    running.stop().await;
}

#[tokio::test]
async fn a_plain_message_is_answered_as_a_packed_one() {
    let running = serve(1 << 20).await;
    let want = call(&running, Some("gzip"), framed(true, &gzip(&message("m", 3)))).await;
    assert_eq!((want.status.as_str(), want.id.as_str()), ("0", "mine"), "{want:?}");
    for coding in [None, Some("identity")] {
        assert_eq!(call(&running, coding, framed(false, &message("m", 3))).await, want, "{coding:?}");
    }
    // More than arrives in one piece.
    let long = call(&running, None, framed(false, &message("m", 4000))).await;
    assert_eq!(long.status, "0", "{}", long.message);
    assert!(long.answer.len() > 32_000, "{} bytes", long.answer.len());
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let running = serve(100_000).await;
    let plain = framed(false, &message("m", 3));
    for (body, status, want) in [
        (Vec::new(), "3", "ended before its message was complete"),
        (plain[..3].to_vec(), "3", "ended before its message was complete"),
        (plain[..plain.len() - 1].to_vec(), "3", "ended before its message was complete"),
        ([plain.clone(), plain.clone()].concat(), "3", "takes one message"),
        (framed(true, &gzip(&message("m", 3))), "3", "grpc-encoding does not say how"),
        (framed(false, b"\xff\xff"), "3", "the message is no inference request"),
        (framed(false, &message("n", 3)), "5", "unknown model"),
        (framed(false, &message("m", 100_000)), "8", "larger than"),
    ] {
        let told = call(&running, None, body).await;
        assert_eq!(
            (told.status.as_str(), told.answer.len(), told.id.as_str()),
            (status, 0, "mine"),
            "{told:?}"
        );
        assert!(told.message.contains(want), "{told:?}");
    }
    assert_eq!(call(&running, None, plain).await.status, "0", "the server goes on");
    running.stop().await;
}
