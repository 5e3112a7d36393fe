//! Clients that hang up in mid-request: while they send it, or while they wait for the answer.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use modelyard_bench::client::Connection;
use modelyard_bench::process::descriptors;
use modelyard_bench::server::Server;

use crate::trial::{Ground, Line, at_most, heavy_request, told, until_closed};

const THREADS: usize = 8;
const BACK_MAX_S: f64 = 5.0;
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(ground: &Ground) -> Result<Vec<Line>> {
    let server = ground.serve("heavy", &[])?;
    let request = heavy_request();
    Connection::open(server.address())?.ask(&request)?;
    let before = descriptors(server.process());
    let each = ground.options.hang_ups.div_ceil(THREADS);
    let address = server.address();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..each {
                    // One that is not taken for a full queue of connections has hung up all the same.
                    let Ok(mut connection) = Connection::open(address) else { continue };
                    let part = if number % 2 == 0 { request.len() } else { request.len() / 2 };
                    drop(connection.stream().write_all(&request[..part]));
                }
            });
        }
    });
    let start = Instant::now();
    let most = server.metric("modelyard_requests_in_flight")?;
    until_quiet(&server)?;
    let closed = until_closed(&server, before, PATIENCE);
    let back = start.elapsed().as_secs_f64();
    let answered = Connection::open(address)?.ask(&request)?.status;
    Ok(vec![
        told("clients", (each * THREADS).to_string()),
        told("requests under way when the last had hung up", format!("{most:.0}")),
        at_most("until queue, tasks and connections are back", back, BACK_MAX_S, "s"),
        Line {
            what: "descriptors as before",
            measured: descriptors(server.process()).to_string(),
            limit: format!("{before}"),
            held: closed.is_some(),
        },
        Line {
            what: "the next client's answer",
            measured: answered.to_string(),
            limit: "200".to_owned(),
            held: answered == 200,
        },
    ])
}

/// Waits until nothing is queued or under way.
fn until_quiet(server: &Server) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let left = server.metric("modelyard_requests_in_flight")? + server.metric("modelyard_queue_rows")?;
        if left == 0.0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("requests of clients that hung up are still under way after {} s", PATIENCE.as_secs())
}
