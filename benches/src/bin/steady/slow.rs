//! Hundreds of connections that only hold on: heads and bodies that drip, answers that nobody reads.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use modelyard_bench::client::{Connection, get};
use modelyard_bench::load::Load;
use modelyard_bench::process::{descriptors, resident_mb};

use crate::trial::{CLIENTS, Ground, Line, at_most, no_errors, small_request, told, until_closed};

/// A load that leaves the machine room, so that a slower answer is the slow connections' doing.
const RATE: f64 = 2000.0;
const COMPARED: Duration = Duration::from_secs(8);
const DRIP: Duration = Duration::from_millis(500);
const CLOSED_MAX_S: f64 = 10.0;
const PATIENCE: Duration = Duration::from_secs(60);
/// A p99 below this is not told from another: the machine's own noise.
const NOISE_MS: f64 = 1.0;

pub(crate) fn run(ground: &Ground) -> Result<Vec<Line>> {
    let server = ground.serve("small", &[])?;
    let (address, request) = (server.address(), small_request());
    let load = Load { address, request: request.clone(), connections: CLIENTS, rate: Some(RATE) };
    let alone = load.run(COMPARED);
    let before = descriptors(server.process());
    let memory = resident_mb(server.process());
    let mut slow = Vec::new();
    for number in 0..ground.options.slow {
        slow.push(Slow::open(Connection::open(address)?, number, &request)?);
    }
    let start = Instant::now();
    let underway = load.start();
    let dripping = std::thread::spawn(move || {
        while start.elapsed() < PATIENCE {
            slow.retain_mut(Slow::drip);
            if slow.iter().all(|one| one.rest.is_empty()) {
                break;
            }
            std::thread::sleep(DRIP);
        }
        slow
    });
    // The clients of the load have connections of their own.
    let closed = until_closed(&server, before + CLIENTS, PATIENCE).map(|_| start.elapsed());
    let memory = resident_mb(server.process()) - memory;
    std::thread::sleep(COMPARED.saturating_sub(start.elapsed()));
    let beside = underway.stop();
    drop(dripping.join());
    let (alone_ms, beside_ms) = (alone.good.quantile_ms(0.99), beside.good.quantile_ms(0.99));
    let closed = closed.unwrap_or(PATIENCE).as_secs_f64();
    Ok(vec![
        told("slow connections", ground.options.slow.to_string()),
        at_most("until all are closed", closed, CLOSED_MAX_S, "s"),
        no_errors("others' errors", &beside),
        told("others' p99 without them", format!("{alone_ms:.2} ms")),
        at_most("others' p99 beside them", beside_ms, 2.0 * alone_ms.max(NOISE_MS), "ms"),
        told("memory they took", format!("{memory:.1} MiB")),
    ])
}

/// One slow connection and what it still has to send.
struct Slow {
    connection: Connection,
    rest: Vec<u8>,
}

impl Slow {
    /// By its number it drips a head, drips a body, or reads no answers.
    fn open(mut connection: Connection, number: usize, request: &[u8]) -> Result<Self> {
        let head = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_default() + 4;
        let (first, rest): (&[u8], &[u8]) = match number % 3 {
            0 => request.split_at(20),
            1 => request.split_at(head),
            _ => (&[], &[]),
        };
        let stream = connection.stream();
        stream.write_all(first)?;
        if number % 3 == 2 {
            // Until the answers fill what the system holds between the two.
            stream.set_nonblocking(true)?;
            let many = get("/metrics").repeat(2000);
            let mut at = 0;
            while at < many.len() {
                match stream.write(&many[at..]) {
                    Ok(count) => at += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(Self { connection, rest: rest.to_vec() })
    }

    /// Sends the next byte; gives whether the connection still takes any.
    fn drip(&mut self) -> bool {
        match self.rest.is_empty() {
            true => true,
            false => self.connection.stream().write_all(&[self.rest.remove(0)]).is_ok(),
        }
    }
}
