//! The client against a listener that answers what the test says, byte by byte.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelyard_client::{Client, ClientConfig, ClientError, Inference, SequenceId, SequencePlace};
use modelyard_types::{Dim, ErrorKind, NamedTensor, Tensor};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a listener does with a request.
#[derive(Clone)]
enum Reply {
    /// Answers.
    Status(u16, String),
    /// Refuses it as a server that is full, for this many seconds.
    Full(u64),
    /// Closes the connection.
    HangUp,
    /// Nothing, for as long as the caller waits.
    Nothing,
}

/// What listeners saw: connections, and requests with their texts.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    texts: Mutex<Vec<String>>,
}

/// A listener that answers the first request with the first reply, and so on; the last one again and again.
async fn listen(replies: Vec<Reply>) -> (Client, Arc<Seen>) {
    listen_for(replies, ClientConfig::default()).await
}

/// As [`listen`], for a client with these limits.
async fn listen_for(replies: Vec<Reply>, limits: ClientConfig) -> (Client, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(converse(stream, replies.clone(), Arc::clone(&counted)));
        }
    });
    let (timeout, pause) = (Duration::from_secs(20), Duration::from_millis(1));
    let config = ClientConfig { timeout, pause, ..limits };
    (Client::new(&format!("http://{address}"), config).expect("an address"), seen)
}

async fn converse(mut stream: TcpStream, replies: Vec<Reply>, seen: Arc<Seen>) {
    while let Some(text) = read_request(&mut stream).await {
        seen.texts.lock().expect("not poisoned").push(text);
        let number = seen.requests.fetch_add(1, Ordering::SeqCst);
        match &replies[number.min(replies.len() - 1)] {
            Reply::Status(status, body) => {
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(head.as_bytes()).await.expect("it is taken");
            }
            Reply::Full(seconds) => {
                let Reply::Status(status, body) = refusal(429, "full") else { unreachable!("it is one") };
                let head = format!("HTTP/1.1 {status} X\r\nretry-after: {seconds}\r\n");
                let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.expect("it is taken");
            }
            Reply::HangUp => return,
            Reply::Nothing => std::future::pending().await,
        }
    }
}

/// Reads one request whole; none where the caller is gone.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let mut some = [0; 4096];
        match stream.read(&mut some).await {
            Ok(count) if count > 0 => read.extend_from_slice(&some[..count]),
            _ => return None,
        }
        let text = String::from_utf8_lossy(&read);
        let Some(head) = text.find("\r\n\r\n") else { continue };
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if read.len() >= head + 4 + length.unwrap_or(0) {
            return Some(text.into_owned());
        }
    }
}

fn refusal(status: u16, error: &str) -> Reply {
    Reply::Status(
        status,
        json!({ "error": error, "kind": "x", "hint": "wait", "request_id": "r7" }).to_string(),
    )
}

fn rows(answers: usize) -> Reply {
    Reply::Status(200, json!({ "predictions": vec![json!({ "y": 1 }); answers] }).to_string())
}

fn inference() -> Inference {
    let tensor = Tensor::new(vec![1, 2], vec![1.0_f32, 2.0].into()).expect("it fits");
    Inference::new("m", vec![NamedTensor { name: "x".to_owned(), tensor }])
}

#[tokio::test]
async fn what_may_work_later_is_tried_again_on_one_connection() {
    let (client, seen) = listen(vec![refusal(503, "starting"), refusal(429, "full"), rows(1)]).await;
    assert_eq!(client.predict("m", None, &[json!({})]).await.expect("an answer"), [json!({ "y": 1 })]);
    assert_eq!(client.predict("m", Some("2"), &[json!({})]).await.expect("an answer").len(), 1);
    assert_eq!((seen.requests.load(Ordering::SeqCst), seen.connections.load(Ordering::SeqCst)), (4, 1));
}

#[tokio::test]
async fn what_can_never_work_is_told_at_once() {
    let (client, seen) = listen(vec![refusal(404, "there is no model")]).await;
    let error = client.infer(&inference()).await.expect_err("refused");
    assert_eq!((error.kind(), error.hint().as_deref()), (ErrorKind::NotFound, Some("wait")));
    assert_eq!(error.to_string(), "the server refused: there is no model");
    let ClientError::Refused { request_id, .. } = error else { panic!("it is a refusal") };
    assert_eq!((request_id.as_deref(), seen.requests.load(Ordering::SeqCst)), (Some("r7"), 1));
    assert!(!client.is_model_ready("m", None).await.expect("it is reached"));
}

#[tokio::test]
async fn tries_have_an_end() {
    let (client, seen) = listen(vec![refusal(429, "full")]).await;
    let error = client.infer(&inference()).await.expect_err("full for good");
    assert_eq!((error.kind(), seen.requests.load(Ordering::SeqCst)), (ErrorKind::ResourceExhausted, 4));
    let times: Vec<u64> =
        seen.texts.lock().expect("not poisoned").iter().map(|text| time_told(text)).collect();
    assert!(times[0] <= 20_000_000 && times.is_sorted_by(|early, late| early > late), "{times:?}");
}

/// How long the server may take, in microseconds, by a request's text.
fn time_told(text: &str) -> u64 {
    let (_, behind) = text.split_once("\"timeout\":").expect("it is told");
    let digits = behind.split(|letter: char| !letter.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).expect("a number")
}

#[tokio::test]
async fn an_answer_over_the_limit_is_told_at_once() {
    let limits = ClientConfig { answer_bytes_max: 20, ..ClientConfig::default() };
    let (client, seen) = listen_for(vec![rows(50)], limits).await;
    let error = client.predict("m", None, &[json!(1)]).await.expect_err("too large");
    assert_eq!(error.to_string(), "the server's answer cannot be read: it is larger than 20 bytes");
    assert_eq!(seen.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_broke_is_sent_again_unless_a_sequence_could_go_on_twice() {
    let (client, _) = listen(vec![Reply::HangUp, rows(1)]).await;
    assert_eq!(client.predict("m", None, &[json!(1)]).await.expect("an answer").len(), 1);
    let (client, seen) = listen(vec![Reply::HangUp, rows(1)]).await;
    let place = SequencePlace { id: SequenceId::Number(1), start: false, end: false };
    let error = client.infer(&Inference { sequence: Some(place), ..inference() }).await.expect_err("broken");
    assert_eq!((error.kind(), seen.requests.load(Ordering::SeqCst)), (ErrorKind::Unavailable, 1));
}

fn answered() -> Reply {
    Reply::Status(200, json!({ "model_name": "m", "model_version": "1", "outputs": [] }).to_string())
}

#[tokio::test]
async fn a_sequence_is_told_its_beginning_and_its_end() {
    let (client, seen) =
        listen(vec![answered(), refusal(400, "no"), answered(), answered(), answered()]).await;
    let mut one = client.sequence("m").with_id(SequenceId::Number(7)).on_version("live");
    let inputs = || inference().inputs;
    one.step(inputs()).await.expect("an answer");
    one.step(inputs()).await.expect_err("refused, which leaves it as it was");
    one.last_step(inputs()).await.expect("an answer");
    let error = one.step(inputs()).await.expect_err("it is over");
    assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::FailedPrecondition, true));
    assert_eq!(error.to_string(), "sequence 7 of model m has ended");
    one.end().await.expect("there is nothing to end");
    let mut other = client.sequence("m");
    let SequenceId::Number(number) = *other.id() else { panic!("a number by chance") };
    assert!(number > 0 && number < 1 << 63);
    other.step(inputs()).await.expect("an answer");
    other.end().await.expect("it ends");
    let texts = seen.texts.lock().expect("not poisoned");
    let places: Vec<(bool, bool, bool)> = texts
        .iter()
        .map(|text| {
            let has = |what: &str| text.contains(what);
            (has("versions/live"), has("\"sequence_start\":true"), has("\"sequence_end\":true"))
        })
        .collect();
    let want = [
        (true, true, false),
        (false, false, false),
        (false, false, true),
        (false, true, false),
        (false, false, true),
    ];
    assert_eq!(places, want, "start, end and the version's choice");
    assert!(texts[4].contains("\"inputs\":[]"), "it ends without a step");
}

#[tokio::test]
async fn a_sequence_whose_step_got_no_answer_is_not_gone_on_with() {
    let (client, seen) = listen(vec![Reply::HangUp, answered(), Reply::HangUp]).await;
    let mut one = client.sequence("m");
    one.step(inference().inputs).await.expect("what begins anew may be sent again");
    one.step(inference().inputs).await.expect_err("broken");
    let error = one.step(inference().inputs).await.expect_err("in doubt");
    assert!(error.to_string().contains("it is not known whether its last step was taken"), "{error}");
    assert_eq!(seen.requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn only_what_proves_that_a_step_was_not_taken_lets_a_sequence_go_on() {
    // The server is full for a moment, and says so itself.
    let (client, seen) = listen(vec![answered(), refusal(429, "full"), answered()]).await;
    let mut one = client.sequence("m");
    one.step(inference().inputs).await.expect("an answer");
    one.step(inference().inputs).await.expect("it is sent again");
    assert_eq!(seen.requests.load(Ordering::SeqCst), 3);
    // Whoever else refuses it may have passed it on.
    let theirs = json!({ "error": "busy", "request_id": "7" }).to_string();
    for (status, body) in [(503, "<html>"), (429, "{\"error\": \"full\"}"), (502, ""), (503, &*theirs)] {
        let (client, seen) =
            listen(vec![answered(), Reply::Status(status, body.to_owned()), answered()]).await;
        let mut one = client.sequence("m");
        one.step(inference().inputs).await.expect("an answer");
        let error = one.step(inference().inputs).await.expect_err(body);
        assert!(matches!(error, ClientError::Refused { .. }) && !error.changed_nothing(), "{error}");
        let error = one.step(inference().inputs).await.expect_err("in doubt");
        assert!(matches!(error, ClientError::Sequence { .. }), "{status} {body}: {error}");
        assert_eq!(seen.requests.load(Ordering::SeqCst), 2);
    }
    // The server itself says that it is lost.
    let told = json!({ "error": "lost", "kind": "x", "request_id": "7", "sequence_lost": true }).to_string();
    let (client, seen) = listen(vec![answered(), Reply::Status(409, told), answered()]).await;
    let mut one = client.sequence("m");
    one.step(inference().inputs).await.expect("an answer");
    let error = one.step(inference().inputs).await.expect_err("lost");
    assert_eq!((error.kind(), error.changed_nothing()), (ErrorKind::FailedPrecondition, false));
    let error = one.step(inference().inputs).await.expect_err("lost for good");
    assert!(matches!(error, ClientError::Sequence { .. }), "{error}");
    assert_eq!(seen.requests.load(Ordering::SeqCst), 2);
    // What asks for no sequence's step may run twice.
    let (client, seen) = listen(vec![Reply::Status(503, "<html>".to_owned()), answered()]).await;
    client.infer(&inference()).await.expect("it is sent again");
    assert_eq!(seen.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_step_that_never_left_lets_a_sequence_go_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        drop(listener);
        read_request(&mut stream).await.expect("a request");
        let Reply::Status(_, body) = answered() else { unreachable!("it is an answer") };
        let head = format!("HTTP/1.1 200 X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.expect("it is taken");
    });
    let config = ClientConfig { pause: Duration::from_millis(1), ..ClientConfig::default() };
    let client = Client::new(&format!("http://{address}"), config).expect("an address");
    let mut one = client.sequence("m");
    one.step(inference().inputs).await.expect("an answer");
    for _ in 0..2 {
        let error = one.step(inference().inputs).await.expect_err("nobody listens any more");
        assert!(matches!(error, ClientError::Connection { .. }) && error.changed_nothing(), "{error}");
    }
}

#[tokio::test]
async fn a_call_ends_with_its_time() {
    let (client, _) = listen(vec![Reply::Nothing]).await;
    // The listener's address again, with less patience.
    let patience = Duration::from_millis(20);
    let hurried = client.with_timeout(patience);
    let error = hurried.infer(&inference()).await.expect_err("late");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::DeadlineExceeded, "there was no answer within 0.02 s",)
    );
}

#[tokio::test]
async fn a_refusal_that_outlasts_the_call_is_told_at_once() {
    let (client, seen) = listen(vec![answered(), Reply::Full(60), answered()]).await;
    let client = client.with_timeout(Duration::from_secs(4));
    let mut one = client.sequence("m");
    one.step(inference().inputs).await.expect("an answer");
    let error = one.step(inference().inputs).await.expect_err("full for longer than the call may take");
    assert_eq!((error.kind(), error.changed_nothing()), (ErrorKind::ResourceExhausted, true));
    one.step(inference().inputs).await.expect("the sequence is as it was");
    assert_eq!(seen.requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn who_is_not_there_is_told_with_a_hint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let config = ClientConfig { pause: Duration::from_millis(1), ..ClientConfig::default() };
    let client = Client::new(&format!("http://{address}"), config).expect("an address");
    let error = client.server_metadata().await.expect_err("nobody listens");
    assert_eq!(error.to_string(), format!("cannot connect to {address}"));
    assert!(error.hint().is_some_and(|hint| hint.contains("modelyard serve")));
}

#[tokio::test]
async fn metadata_is_typed_and_nonsense_is_refused() {
    let told = json!({ "name": "m", "versions": ["1"], "platform": "p",
        "inputs": [{ "name": "x", "datatype": "FP32", "shape": [-1, 2] }], "outputs": [] });
    let short = Reply::Status(200, "<html>".to_owned());
    let (client, _) = listen(vec![Reply::Status(200, told.to_string()), short, rows(2)]).await;
    let metadata = client.model_metadata("m", None).await.expect("an answer");
    assert_eq!(metadata.inputs[0].shape, [Dim::Any, Dim::Fixed(2)]);
    let error = client.server_metadata().await.expect_err("no JSON");
    assert!(error.to_string().contains("cannot be read") && error.hint().is_some(), "{error}");
    let error = client.predict("m", None, &[json!(1)]).await.expect_err("two answers");
    assert!(error.to_string().contains("2 answers to 1 rows"), "{error}");
}
