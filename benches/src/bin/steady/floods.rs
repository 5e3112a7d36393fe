//! HTTP/2 floods: requests that are reset at once, and heads that never end (RFC 9113, 10.5).

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use modelyard_bench::client::Connection;
use modelyard_bench::process::{forget_peak, peak_mb, resident_mb};
use modelyard_bench::server::Server;

use crate::trial::{Ground, Line, at_most, small_request};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET http /`, by HPACK's static table.
const GET_ROOT: &[u8] = &[0x82, 0x86, 0x84];
/// How many do it at once.
const CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);
const GROWTH_MAX_MB: f64 = 32.0;

pub(crate) fn run(ground: &Ground) -> Result<Vec<Line>> {
    let server = ground.serve("small", &[])?;
    let request = small_request();
    Connection::open(server.address())?.ask(&request)?;
    let resets = flood(&server, ["rapid resets: closed in", "rapid resets: memory"], |stream, turn| {
        let first = 1 + 2 * turn * 100;
        let mut storm = Vec::new();
        for number in (first..first + 200).step_by(2) {
            storm.extend(frame(HEADERS, END_HEADERS | END_STREAM, number, GET_ROOT));
            storm.extend(frame(RESET, 0, number, &8u32.to_be_bytes()));
        }
        stream.write_all(&storm)
    })?;
    let field = [&[0, 6][..], b"x-more", &[100], &[b'a'; 100]].concat();
    let heads = flood(&server, ["endless head: closed in", "endless head: memory"], |stream, turn| {
        if turn == 0 {
            stream.write_all(&frame(HEADERS, END_STREAM, 1, GET_ROOT))?;
        }
        stream.write_all(&frame(CONTINUATION, 0, 1, &field.repeat(100)))
    })?;
    let after = Connection::open(server.address())?.ask(&request)?.status;
    ensure!(after == 200, "others are not served any more: {after}");
    Ok(resets.into_iter().chain(heads).collect())
}

/// Pours until the server hangs up on every connection.
fn flood(
    server: &Server,
    what: [&'static str; 2],
    pour: impl Fn(&mut TcpStream, u32) -> std::io::Result<()> + Sync,
) -> Result<[Line; 2]> {
    forget_peak(server.process())?;
    let before = resident_mb(server.process());
    let start = Instant::now();
    let all_closed = std::thread::scope(|scope| {
        let one = || -> Result<bool> {
            let mut connection = Connection::open(server.address())?;
            let stream = connection.stream();
            stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())?;
            let mut turn = 0;
            while start.elapsed() < PATIENCE {
                if pour(stream, turn).is_err() || hung_up(stream)? {
                    return Ok(true);
                }
                turn += 1;
            }
            Ok(false)
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(one)).collect();
        threads.into_iter().all(|thread| matches!(thread.join(), Ok(Ok(true))))
    });
    let took = start.elapsed().as_secs_f64();
    let growth = peak_mb(server.process()) - before;
    let limit = format!("≤ {} s", PATIENCE.as_secs());
    Ok([
        Line { what: what[0], measured: format!("{took:.2} s"), limit, held: all_closed },
        at_most(what[1], growth, GROWTH_MAX_MB, "MiB"),
    ])
}

/// Whether the other side is gone; takes what it said so far.
fn hung_up(stream: &mut TcpStream) -> Result<bool> {
    stream.set_nonblocking(true)?;
    let mut some = [0; 4096];
    let read = stream.read(&mut some);
    stream.set_nonblocking(false)?;
    Ok(match read {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    })
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
