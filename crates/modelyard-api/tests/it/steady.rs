//! Connections that mean no good: slow readers, HTTP/2 that never asks, resets, floods and stalls. Each is
//! spoken by hand, frame by frame (RFC 9113), because no decent client would.

use std::time::Duration;

use modelyard_api::ApiConfig;
use modelyard_serve::ServeConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Client, Running, Store, native};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET http /`, by HPACK's static table.
const GET_ROOT: &[u8] = &[0x82, 0x86, 0x84];
const PATIENCE: Duration = Duration::from_secs(30);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header field in full.
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    [&[0][..], &text(name), &text(value)].concat()
}

async fn serve(api: ApiConfig) -> Running {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    store.serve_with(ServeConfig::default(), api).await
}

fn impatient() -> ApiConfig {
    let short = Duration::from_millis(150);
    ApiConfig { header_timeout: short, body_timeout: short, write_timeout: short, ..ApiConfig::default() }
}

/// An HTTP/2 connection that has been greeted.
async fn greeted(running: &Running) -> Client {
    let mut client = running.client().await;
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    client.stream.write_all(&hello).await.expect("writes");
    client
}

/// Writes the same again and again, until the server has had enough; gives how many bytes it took.
async fn pour(client: &mut Client, bytes: &[u8]) -> usize {
    let mut taken = 0;
    let pouring = async {
        while client.stream.write_all(bytes).await.is_ok() {
            taken += bytes.len();
        }
    };
    tokio::time::timeout(PATIENCE, pouring).await.expect("the server hangs up");
    taken
}

/// The kinds of the frames that come, with their streams, until one is wanted or the connection ends.
async fn frames_until(client: &mut Client, wanted: impl Fn(u8, u32) -> bool) -> Vec<(u8, u32)> {
    let mut seen = Vec::new();
    let reading = async {
        let mut head = [0; 9];
        while client.stream.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; length as usize];
            if client.stream.read_exact(&mut payload).await.is_err() {
                break;
            }
            seen.push((head[3], stream));
            if wanted(head[3], stream) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer or the end");
    seen
}

#[tokio::test]
async fn who_does_not_read_is_hung_up_on() {
    let running = serve(impatient()).await;
    let mut client = running.client().await;
    let many = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n".repeat(100);
    pour(&mut client, &many).await;
    running.stop().await;
}

#[tokio::test]
async fn http2_that_asks_for_nothing_is_closed() {
    let running = serve(impatient()).await;
    let mut half_preface = running.client().await;
    half_preface.stream.write_all(b"PRI * HT").await.expect("writes");
    let mut silent = greeted(&running).await;
    half_preface.closed().await;
    silent.closed().await;
    running.stop().await;
}

#[tokio::test]
async fn http2_that_asks_no_more_is_told_to_go() {
    let running = serve(ApiConfig { idle_timeout: Duration::from_millis(100), ..impatient() }).await;
    let mut client = greeted(&running).await;
    let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, GET_ROOT);
    client.stream.write_all(&get).await.expect("writes");
    let seen = frames_until(&mut client, |kind, _| kind == GOAWAY).await;
    assert!(seen.contains(&(HEADERS, 1)), "it was answered: {seen:?}");
    assert_eq!(seen.last(), Some(&(GOAWAY, 0)));
    running.stop().await;
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let running = serve(ApiConfig::default()).await;
    let mut client = greeted(&running).await;
    let mut storm = Vec::new();
    for stream in (1..20_000).step_by(2) {
        storm.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET_ROOT));
        storm.extend(frame(RESET, 0, stream, &8u32.to_be_bytes()));
    }
    // The rest may find nobody there any more.
    drop(client.stream.write_all(&storm).await);
    client.closed().await;
    assert_eq!(running.get("/v2").await.status, 200, "others are served");
    running.stop().await;
}

#[tokio::test]
async fn endless_headers_end_the_connection() {
    let running = serve(ApiConfig::default()).await;
    let mut client = greeted(&running).await;
    let begun = [GET_ROOT, &field("x-first", "of many")].concat();
    client.stream.write_all(&frame(HEADERS, END_STREAM, 1, &begun)).await.expect("writes");
    let more = frame(CONTINUATION, 0, 1, &field("x-more", &"a".repeat(100)).repeat(100));
    let taken = pour(&mut client, &more).await;
    // What was written may still lie in buffers of the operating system on both sides.
    assert!(taken < 24 << 20, "{taken} bytes were taken");
    running.stop().await;
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let running = serve(ApiConfig { head_bytes_max: 8 << 10, ..ApiConfig::default() }).await;
    let mut client = running.client().await;
    let long = "a".repeat(16 << 10);
    let reply = client.send("GET", "/v2", &[("x-long", &long)], b"").await.expect("an answer");
    assert_eq!(reply.status, 431);
    running.stop().await;
}

#[tokio::test]
async fn a_call_whose_message_does_not_come_is_ended() {
    let running = serve(impatient()).await;
    let mut client = greeted(&running).await;
    let mut head = vec![0x83, 0x86];
    head.extend(field(":path", "/inference.GRPCInferenceService/ModelInfer"));
    head.extend(field("content-type", "application/grpc"));
    head.extend(field("te", "trailers"));
    client.stream.write_all(&frame(HEADERS, END_HEADERS, 1, &head)).await.expect("writes");
    let seen = frames_until(&mut client, |kind, stream| kind == HEADERS && stream == 1).await;
    assert_eq!(seen.last(), Some(&(HEADERS, 1)), "{seen:?}");
    running.stop().await;
}
