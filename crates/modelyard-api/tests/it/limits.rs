//! What is refused for its size, its time or the state of the server, and connections that only hold on.

use std::time::Duration;

use modelyard_api::ApiConfig;
use modelyard_serve::ServeConfig;
use tokio::io::AsyncWriteExt;

use crate::support::{Store, infer_body, native};

async fn store() -> Store {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    store
}

const INFER: &str = "/v2/models/m/infer";

#[tokio::test]
async fn bodies_over_the_limit_are_refused_however_they_come() {
    let api = ApiConfig { body_bytes_max: 1000, ..ApiConfig::default() };
    let running = store().await.serve_with(ServeConfig::default(), api).await;
    let declared = running.post(INFER, vec![b' '; 1001]).await;
    assert_eq!(declared.failure(413, "too_large"), "the body is larger than 1000 bytes");
    let mut client = running.client().await;
    let chunk = format!("320\r\n{}\r\n", " ".repeat(800));
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    client.stream.write_all(format!("{head}{chunk}{chunk}0\r\n\r\n").as_bytes()).await.expect("writes");
    client.reply(false).await.expect("an answer").failure(413, "too_large");
    running.stop().await;
}

#[tokio::test]
async fn rows_queue_and_deadline_have_limits() {
    let store = store().await;
    let two_rows = r#"{"inputs":[{"name":"input","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}]}"#;
    for (config, status, kind) in [
        (ServeConfig { request_rows_max: 1, ..ServeConfig::default() }, 413, "too_large"),
        (ServeConfig { queue_rows_max: 1, ..ServeConfig::default() }, 429, "resource_exhausted"),
        (
            ServeConfig { deadline_default: Duration::ZERO, ..ServeConfig::default() },
            504,
            "deadline_exceeded",
        ),
    ] {
        let running = store.serve_with(config, ApiConfig::default()).await;
        let reply = running.post(INFER, two_rows).await;
        reply.failure(status, kind);
        assert_eq!(reply.headers.contains_key("retry-after"), status == 429);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_draining_server_says_so() {
    let running = store().await.serve().await;
    let mut client = running.client().await;
    running.server.drain().await;
    let refused = client.send("POST", INFER, &[], infer_body(2, 1.0).as_bytes()).await.expect("an answer");
    assert_eq!(refused.failure(503, "unavailable"), "the server is shutting down");
    let ready = client.send("GET", "/v2/health/ready", &[], b"").await.expect("an answer");
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (503, Some(false)));
    running.stop().await;
}

#[tokio::test]
async fn connections_that_only_hold_on_are_closed() {
    let api = ApiConfig {
        header_timeout: Duration::from_millis(100),
        body_timeout: Duration::from_millis(100),
        ..ApiConfig::default()
    };
    let running = store().await.serve_with(ServeConfig::default(), api).await;
    let mut silent = running.client().await;
    let mut half_head = running.client().await;
    half_head.stream.write_all(b"POST /v2/models/m/infer HT").await.expect("writes");
    let mut half_body = running.client().await;
    half_body
        .stream
        .write_all(format!("POST {INFER} HTTP/1.1\r\ncontent-length: 100\r\n\r\nabc").as_bytes())
        .await
        .expect("writes");
    let mut half_open = running.client().await;
    half_open.stream.shutdown().await.expect("shuts its side");
    let mut idle = running.client().await;
    assert_eq!(idle.send("GET", "/v2", &[], b"").await.expect("an answer").status, 200);
    let slow = half_body.reply(false).await.expect("an answer");
    assert_eq!(slow.status, 408);
    for client in [&mut silent, &mut half_head, &mut half_body, &mut half_open, &mut idle] {
        client.closed().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let api = ApiConfig { connections_max: 1, ..ApiConfig::default() };
    let running = store().await.serve_with(ServeConfig::default(), api).await;
    let mut first = running.client().await;
    assert_eq!(first.send("GET", "/v2", &[], b"").await.expect("an answer").status, 200);
    let mut second = running.client().await;
    let waiting = second.send("GET", "/v2", &[], b"");
    drop(first);
    assert_eq!(waiting.await.expect("an answer, once the first left").status, 200);
    drop(second);
    running.stop().await;
}
