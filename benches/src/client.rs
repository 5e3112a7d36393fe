//! A blocking HTTP/1.1 client that hides nothing: one connection, bytes out, a status and a body in.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Nobody waits longer for an answer, or for a byte to be taken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The bytes of a POST of JSON, ready to be sent again and again.
pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    post_as(path, "content-type: application/json\r\n", body)
}

/// The bytes of a POST with these header lines, each ended by CR LF.
pub fn post_as(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: bench\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The bytes of a GET.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
}

/// One answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Whether the server closes the connection after it.
    pub closes: bool,
    /// Its body.
    pub body: Vec<u8>,
}

/// Bytes that came in, as answers.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// Takes in what was read; nothing is the end of the connection.
    ///
    /// # Errors
    /// The end of the connection.
    pub fn put(&mut self, some: &[u8]) -> io::Result<()> {
        if some.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.bytes.extend_from_slice(some);
        Ok(())
    }

    /// The next answer, which must tell its length; none until it is whole.
    ///
    /// # Errors
    /// Bytes that are no answer.
    pub fn take(&mut self) -> io::Result<Option<Reply>> {
        let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let end = end + 4;
        let head = String::from_utf8_lossy(&self.bytes[..end]).to_ascii_lowercase();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "no status line"))?;
        let field = |name: &str| lines.clone().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length = field("content-length:").and_then(|text| text.parse().ok()).unwrap_or(0usize);
        let closes = field("connection:") == Some("close");
        if self.bytes.len() < end + length {
            return Ok(None);
        }
        let body = self.bytes[end..end + length].to_vec();
        self.bytes.drain(..end + length);
        Ok(Some(Reply { status, closes, body }))
    }
}

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    inbox: Inbox,
}

impl Connection {
    /// Opens one.
    ///
    /// # Errors
    /// Where nobody listens.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, inbox: Inbox::default() })
    }

    /// The socket, for those who mean no good.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// A connection that ends before the answer is complete.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(request)?;
        self.reply()
    }

    /// Reads one answer, which must tell its length.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut some = [0; 16 << 10];
        loop {
            if let Some(reply) = self.inbox.take()? {
                return Ok(reply);
            }
            let count = self.stream.read(&mut some)?;
            self.inbox.put(&some[..count])?;
        }
    }
}
