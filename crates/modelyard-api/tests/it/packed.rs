//! Bodies that come packed, and those that are larger than they look.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use modelyard_api::ApiConfig;
use modelyard_serve::ServeConfig;

use crate::support::{Running, Store, infer_body, native};

pub(crate) async fn serve(body_bytes_max: usize) -> Running {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    store.serve_with(ServeConfig::default(), ApiConfig { body_bytes_max, ..ApiConfig::default() }).await
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
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
