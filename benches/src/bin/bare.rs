//! The HTTP stack below the server, with nothing on it: reads a request's body and gives a fixed answer. What
//! it costs is what no server on this stack can cost less than.
//!
//! `bare ADDRESS FILE`, with as many event loops as there are processors, each with its own connections.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the command line")]

use std::convert::Infallible;
use std::net::TcpListener;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().context("which address?")?;
    let answer = Bytes::from(std::fs::read(arguments.next().context("which answer?")?)?);
    let listener = TcpListener::bind(address)?;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let desks: Vec<_> = (0..threads).map(|_| desk(answer.clone())).collect::<Result<_>>()?;
    for (number, stream) in listener.incoming().enumerate() {
        // A desk that is gone drops the connection.
        drop(desks[number % desks.len()].send(stream?));
    }
    Ok(())
}

/// One event loop and its connections.
fn desk(answer: Bytes) -> Result<mpsc::UnboundedSender<std::net::TcpStream>> {
    let (desk, mut guests) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            while let Some(stream) = guests.recv().await {
                tokio::spawn(converse(stream, answer.clone()));
            }
        });
    });
    Ok(desk)
}

async fn converse(stream: std::net::TcpStream, answer: Bytes) {
    let open = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
    let Ok(stream) = open.and_then(|()| TcpStream::from_std(stream)) else { return };
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            // Read to its end, as a server has to.
            drop(request.into_body().collect().await);
            let mut response = Response::new(Full::new(answer));
            let json = hyper::header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            Ok::<_, Infallible>(response)
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    // A connection's troubles are its own.
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}
