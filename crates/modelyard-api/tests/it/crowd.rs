//! Many callers at once, and what is left of them: they hang up, they are too many, they drip.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use modelyard_api::{ApiConfig, Call, Watcher, Watchers};
use modelyard_serve::ServeConfig;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::support::{Client, Running, Store, infer_body, native};

const INFER: &str = "/v2/models/m/infer";
const LIVE: &str = "/v2/health/live";
/// Longer than any test: requests that wait for company wait for good.
const FOR_EVER: Duration = Duration::from_secs(600);

async fn serve(serve: ServeConfig, api: ApiConfig) -> Running {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    store.serve_with(serve, api).await
}

/// Waits until a gauge of the model shows this.
async fn until(client: &mut Client, name: &str, want: usize) {
    client.until(name, "m", want).await;
}

#[tokio::test]
async fn who_hangs_up_leaves_nothing_behind() {
    let waits = ServeConfig { batch_delay: FOR_EVER, batch_size_max: 4096, ..ServeConfig::default() };
    let running = serve(waits, ApiConfig::default()).await;
    let mut watcher = running.client().await;
    let body = infer_body(2, 1.0);
    let request = format!("POST {INFER} HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut whole = Vec::new();
    let mut half = Vec::new();
    for number in 0..200 {
        let mut client = running.client().await;
        let (part, of) =
            if number % 2 == 0 { (request.len(), &mut whole) } else { (request.len() / 2, &mut half) };
        client.stream.write_all(&request.as_bytes()[..part]).await.expect("writes");
        of.push(client);
    }
    until(&mut watcher, "modelyard_queue_rows", whole.len()).await;
    drop((whole, half));
    until(&mut watcher, "modelyard_requests_in_flight", 0).await;
    until(&mut watcher, "modelyard_queue_rows", 0).await;
    let metrics = running.get("/metrics").await;
    let cancelled = "modelyard_request_failures_total{model=\"m\",version=\"1\",kind=\"cancelled\"} 100";
    assert!(metrics.text().lines().any(|line| line == cancelled), "{}", metrics.text());
    running.stop().await;
}

#[tokio::test]
async fn who_is_too_many_is_refused_before_the_others_are_answered() {
    let full = ServeConfig {
        batch_delay: FOR_EVER,
        queue_rows_max: 8,
        deadline_default: Duration::from_secs(2),
        ..ServeConfig::default()
    };
    let running = serve(full, ApiConfig::default()).await;
    let mut clients = JoinSet::new();
    for _ in 0..40 {
        let mut client = running.client().await;
        clients.spawn(async move {
            let reply =
                client.send("POST", INFER, &[], infer_body(2, 1.0).as_bytes()).await.expect("an answer");
            (reply.status, reply.headers.contains_key("retry-after"))
        });
    }
    let answers = clients.join_all().await;
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    let (refused, late) = (count((429, true)), count((504, false)));
    assert_eq!(refused + late, 40, "{answers:?}");
    assert!(refused > 0 && late >= 8, "{refused} were refused, {late} waited in vain");
    assert!(answers[..refused].iter().all(|answer| answer.0 == 429), "refusals come first: {answers:?}");
    let mut watcher = running.client().await;
    until(&mut watcher, "modelyard_queue_rows", 0).await;
    running.stop().await;
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_and_others_are_answered() {
    let api = ApiConfig { body_pause: Duration::from_millis(200), ..ApiConfig::default() };
    let running = serve(ServeConfig::default(), api).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut client = running.client().await;
        let head = format!("POST {INFER} HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\n{{");
        client.stream.write_all(head.as_bytes()).await.expect("writes");
        slow.push(client);
    }
    assert_eq!(running.post(INFER, infer_body(2, 1.0)).await.status, 200);
    for mut client in slow {
        let reply = client.reply(false).await.expect("an answer");
        assert!(reply.failure(408, "cancelled").contains("too slowly"));
        client.closed().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn bodies_that_come_in_share_a_limit() {
    let api = ApiConfig { bodies_bytes_max: 1000, ..ApiConfig::default() };
    let running = serve(ServeConfig::default(), api).await;
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: t\r\ncontent-length: 2000\r\n\r\n");
    let body = infer_body(2, 1.0);
    let refused = async {
        loop {
            // One that is read while another is there is the one to be refused: then it is begun anew.
            let mut first = running.client().await;
            first.stream.write_all(format!("{head}{}", " ".repeat(999)).as_bytes()).await.expect("writes");
            for _ in 0..20 {
                let reply = running.post(INFER, &body).await;
                if reply.status != 200 {
                    return (first, reply);
                }
            }
        }
    };
    let (first, reply) =
        tokio::time::timeout(Duration::from_secs(60), refused).await.expect("the first body fills it");
    assert!(reply.failure(429, "resource_exhausted").contains("fill the memory"));
    drop(first);
    let taken = async { while running.post(INFER, &body).await.status != 200 {} };
    tokio::time::timeout(Duration::from_secs(60), taken).await.expect("its share is given back");
    running.stop().await;
}

#[tokio::test]
async fn requests_that_come_at_once_are_all_answered_in_their_order() {
    let running = serve(ServeConfig::default(), ApiConfig { threads: 1, ..ApiConfig::default() }).await;
    let mut many = running.client().await;
    let requests: String = (0..100)
        .map(|number| format!("GET /v2/health/live HTTP/1.1\r\nhost: t\r\nx-request-id: {number}\r\n\r\n"))
        .collect();
    many.stream.write_all(requests.as_bytes()).await.expect("writes");
    for number in 0..100 {
        let reply = many.reply(false).await.expect("an answer");
        assert_eq!(
            (reply.status, reply.headers["x-request-id"].as_str()),
            (200, number.to_string().as_str())
        );
    }
    running.stop().await;
}

/// Tells each request by its id as it ends, and stops the thread after the one named `gate` until that is opened.
struct Gate {
    told: UnboundedSender<String>,
    opened: Mutex<mpsc::Receiver<()>>,
}

impl Watcher for Gate {
    fn ended(&self, call: &Call) {
        // The test may have heard enough, or have failed: then nobody opens.
        let _ = self.told.send(call.request_id.clone());
        if call.request_id == "gate" {
            let _ = self.opened.lock().expect("whole").recv();
        }
    }

    fn finish(&self) {}
}

fn requests(id: &str, count: usize) -> Vec<u8> {
    format!("GET {LIVE} HTTP/1.1\r\nhost: t\r\nx-request-id: {id}\r\n\r\n").repeat(count).into_bytes()
}

#[tokio::test]
async fn who_sends_many_at_once_takes_turns_with_the_others() {
    const CALLERS: usize = 20;
    const MANY: usize = 20;
    let (told, mut ended) = unbounded_channel();
    let (gate, opened) = mpsc::channel();
    let watchers = Watchers::new(vec![Arc::new(Gate { told, opened: Mutex::new(opened) })]);
    let running =
        serve(ServeConfig::default(), ApiConfig { threads: 1, watchers, ..ApiConfig::default() }).await;
    let mut callers = Vec::new();
    for _ in 0..=CALLERS {
        let mut client = running.client().await;
        // Once it was answered, the thread knows the connection.
        let known = [("x-request-id", "known")];
        client.send("GET", LIVE, &known, b"").await.expect("an answer");
        callers.push(client);
    }
    let mut keeper = callers.pop().expect("one more");
    keeper.stream.write_all(&requests("gate", 1)).await.expect("writes");
    while ended.recv().await.expect("the server runs") != "gate" {}
    // While the thread stands still, all others send what they have.
    for client in &mut callers {
        client.stream.write_all(&requests("many", MANY)).await.expect("writes");
    }
    // Whenever the keeper is answered, the thread stands still until the keeper has asked again.
    let mut between = vec![0];
    while between.iter().sum::<usize>() < CALLERS * MANY {
        if between.last() == Some(&0) {
            keeper.stream.write_all(&requests("gate", 1)).await.expect("writes");
            gate.send(()).expect("it waits");
        }
        match ended.recv().await.expect("all are answered").as_str() {
            "gate" => between.push(0),
            _ => *between.last_mut().expect("never empty") += 1,
        }
    }
    drop(gate);
    // First each of them has its turn, and one more as its answer is written: from then on they stand in line.
    let (first, later) = between.split_at(between.len().min(2));
    assert!(first.iter().sum::<usize>() <= 2 * CALLERS, "they have more than their turn: {between:?}");
    let most = later.iter().max();
    assert!(most <= Some(&4), "who asks for one thing waits for {most:?} others: {between:?}");
    running.stop().await;
}
