//! A text as it comes: server-sent events, one for each piece of the text, and the whole answer as the last one.
//!
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use modelyard_serve::{Answer, Generation, Routed, Row};
use modelyard_types::{Deadline, ErrorKind};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::convert::write_answer;
use crate::error::Failure;
use crate::router::Service;

/// Pieces that wait for a slow reader; then the drawing waits, too.
const PIECES_WAITING: usize = 64;

/// Goes on with one text and tells it piece by piece. Where the caller goes away, nothing more is drawn.
///
/// # Errors
/// Several rows: their pieces would come mixed up.
pub(super) fn answer(
    service: &Service,
    version: Routed,
    mut rows: Vec<Row>,
    (wish, deadline): (Generation, Deadline),
) -> Result<Response, Failure> {
    let (Some(row), true) = (rows.pop(), rows.is_empty()) else {
        let failure = Failure::invalid("a stream goes on with exactly one text");
        return Err(failure.with_hint("send one row, or leave `stream` out"));
    };
    let (tell, pieces) = mpsc::channel(PIECES_WAITING);
    let server = Arc::clone(&service.server);
    let drawn = tokio::spawn(async move {
        let _busy = server.enter()?;
        tokio::select! {
            drawn = version.generate_telling(row, &wish, deadline, &tell) => Ok(drawn?.answer),
            () = tell.closed() => Err(Failure::new(ErrorKind::Cancelled, "the caller went away")),
        }
    });
    let told = ReceiverStream::new(pieces)
        .map(|piece: String| Event::default().data(json!({ "text": piece }).to_string()));
    let events = told.chain(stream::once(last(drawn))).map(Ok::<_, Infallible>);
    Ok(Sse::new(events).into_response())
}

/// The whole answer, or what went wrong.
async fn last(drawn: JoinHandle<Result<Answer, Failure>>) -> Event {
    match drawn.await.unwrap_or_else(|_| Err(Failure::new(ErrorKind::Internal, "the server failed"))) {
        Ok(answer) => {
            let mut json = b"{\"prediction\":".to_vec();
            write_answer(&mut json, &answer);
            json.push(b'}');
            Event::default().data(String::from_utf8_lossy(&json))
        }
        Err(failure) => {
            let told = json!({ "error": failure.message(), "kind": failure.kind().as_str() });
            Event::default().event("error").data(told.to_string())
        }
    }
}
