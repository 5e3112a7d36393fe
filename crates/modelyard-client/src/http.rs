//! HTTP/1.1 connections to one server, kept open and shared by all calls.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::ClientError;
use crate::error::{CONNECT, unreadable};

type Connection = SendRequest<Full<Bytes>>;

/// Connections that are kept open without a call.
const IDLE_MAX: usize = 16;

/// The connections to a server.
#[derive(Debug)]
pub(crate) struct Connections {
    server: String,
    idle: Mutex<Vec<Connection>>,
    answer_bytes_max: usize,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) parts: hyper::http::response::Parts,
    pub(crate) body: Bytes,
}

impl Connections {
    /// None yet.
    pub(crate) fn new(server: String, answer_bytes_max: usize) -> Self {
        Self { server, idle: Mutex::default(), answer_bytes_max }
    }

    /// The server's host and port.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Sends one request and reads its answer whole.
    pub(crate) async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Reply, ClientError> {
        // One that the server closed meanwhile gives the request back unsent.
        while let Some(mut connection) = self.take() {
            match connection.try_send_request(request).await {
                Ok(response) => return self.read(connection, response).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(self.broke("send the request to", error.into_error())),
                },
            }
        }
        let mut connection = self.connect().await?;
        let sent = connection.send_request(request).await;
        let response = sent.map_err(|error| self.broke("send the request to", error))?;
        self.read(connection, response).await
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let stream = TcpStream::connect(&self.server).await.map_err(|error| self.broke(CONNECT, error))?;
        // Small requests are not to wait for others.
        stream.set_nodelay(true).map_err(|error| self.broke(CONNECT, error))?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (connection, work) = shaken.map_err(|error| self.broke(CONNECT, error))?;
        // Its failures are told to whoever sends by it.
        tokio::spawn(async move { drop(work.await) });
        Ok(connection)
    }

    async fn read(&self, connection: Connection, response: Response<Incoming>) -> Result<Reply, ClientError> {
        let (parts, body) = response.into_parts();
        let whole = Limited::new(body, self.answer_bytes_max).collect().await;
        let whole = whole.map_err(|source| match source.is::<LengthLimitError>() {
            true => unreadable(format!("it is larger than {} bytes", self.answer_bytes_max)),
            false => self.broke("read the answer of", source),
        })?;
        self.give_back(connection);
        Ok(Reply { parts, body: whole.to_bytes() })
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.is_closed());
        // One whose last answer was read just now may not be ready for another call yet.
        let at = idle.iter().rposition(Connection::is_ready)?;
        Some(idle.swap_remove(at))
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !connection.is_closed() {
            idle.push(connection);
        }
    }

    fn broke(
        &self,
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        ClientError::Connection { doing, server: self.server.clone(), source: source.into() }
    }
}
