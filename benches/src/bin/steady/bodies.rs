//! Bodies over the limit: by their own word, in chunks, and packed small.

use std::io::Write;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use modelyard_bench::client::{Connection, post, post_as};
use modelyard_bench::process::{forget_peak, peak_mb, resident_mb};
use modelyard_bench::server::Server;

use crate::trial::{Ground, Line, at_most, small_request};

const PATH: &str = "/v2/models/small/infer";
const LIMIT_BYTES: usize = 8 << 20;
const BOMB_BYTES: usize = 1 << 30;
const CHUNK_BYTES: usize = 64 << 10;
const GROWTH_MAX_MB: f64 = 16.0;

pub(crate) fn run(ground: &Ground) -> Result<Vec<Line>> {
    let server = ground.serve("small", &["--body-bytes-max", &LIMIT_BYTES.to_string()])?;
    Connection::open(server.address())?.ask(&small_request())?;
    let declared = vec![b' '; LIMIT_BYTES + 1];
    let bomb = bomb()?;
    let packed = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    let mut lines = Vec::new();
    let ways: [(&'static str, &'static str, Vec<u8>); 3] = [
        ("declared: status", "declared: memory", post(PATH, &declared)),
        ("chunked: status", "chunked: memory", chunked()),
        ("gzip bomb of 1 GiB: status", "gzip bomb of 1 GiB: memory", post_as(PATH, packed, &bomb)),
    ];
    for (status, memory, request) in ways {
        lines.extend(refused(&server, status, memory, &request)?);
    }
    Ok(lines)
}

fn refused(server: &Server, status: &'static str, memory: &'static str, request: &[u8]) -> Result<[Line; 2]> {
    forget_peak(server.process())?;
    let before = resident_mb(server.process());
    let mut connection = Connection::open(server.address())?;
    // The server may hang up before it has taken all of what it refuses.
    drop(connection.stream().write_all(request));
    let told = connection.reply().map_or(0, |reply| reply.status);
    let growth = peak_mb(server.process()) - before;
    Ok([
        Line { what: status, measured: told.to_string(), limit: "413".to_owned(), held: told == 413 },
        at_most(memory, growth, GROWTH_MAX_MB, "MiB"),
    ])
}

fn chunked() -> Vec<u8> {
    let mut request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    let chunk = [format!("{CHUNK_BYTES:x}\r\n").as_bytes(), &[b' '; CHUNK_BYTES], b"\r\n"].concat();
    for _ in 0..LIMIT_BYTES / CHUNK_BYTES + 2 {
        request.extend_from_slice(&chunk);
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

/// A gibibyte of blanks in about one mebibyte.
fn bomb() -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let blanks = vec![b' '; 1 << 20];
    for _ in 0..BOMB_BYTES / blanks.len() {
        encoder.write_all(&blanks)?;
    }
    Ok(encoder.finish()?)
}
