//! Who watches requests: the access log, the caller's trace, and the metrics under other names.

use std::sync::Arc;

use modelyard_api::{AccessLog, ApiConfig, Call, Watcher, Watchers};
use modelyard_serve::ServeConfig;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{Paper, Running, Store, infer_body, native};

const INFER: &str = "/v2/models/m/infer";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn serve(api: ApiConfig) -> Running {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    store.serve_with(ServeConfig::default(), api).await
}

#[tokio::test]
async fn the_access_log_tells_of_requests_and_nothing_of_what_they_hold() {
    let paper = Paper::default();
    let log = AccessLog::start(paper.clone()).expect("a thread");
    let running =
        serve(ApiConfig { watchers: Watchers::new(vec![Arc::new(log)]), ..ApiConfig::default() }).await;
    let mut client = running.client().await;
    let given = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [("x-request-id", "mine"), ("traceparent", &*given)];
    let secret = infer_body(2, 1234.5);
    let reply = client.send("POST", INFER, &headers, secret.as_bytes()).await.expect("an answer");
    assert_eq!(reply.status, 200);
    let back = &reply.headers["traceparent"];
    assert!(back.starts_with(&format!("00-{TRACE}-")) && !back.contains("00f067aa0ba902b7"), "{back}");
    client.send("POST", "/v2/models/nobody/infer", &[], secret.as_bytes()).await.expect("an answer");
    running.stop().await;

    let lines = paper.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let (good, bad) = (&lines[0], &lines[1]);
    assert_eq!((&good["request_id"], &good["trace_id"]), (&json!("mine"), &json!(TRACE)));
    assert_eq!(
        (&good["method"], &good["path"], &good["status"]),
        (&json!("POST"), &json!(INFER), &json!(200))
    );
    assert_eq!((&good["model"], &good["version"]), (&json!("m"), &json!(1)));
    assert!(good["took_us"].as_u64() >= good["compute_us"].as_u64(), "{good}");
    assert!(good["unix_ms"].as_u64() > Some(1_700_000_000_000));
    assert_eq!(
        (&bad["status"], &bad["kind"], &bad["model"]),
        (&json!(404), &json!("not_found"), &Value::Null)
    );
    assert_ne!(bad["trace_id"], good["trace_id"]);
    assert!(!format!("{lines:?}").contains("1234"), "no payloads: {lines:?}");
}

/// Tells each call to a channel.
struct Told(tokio::sync::mpsc::UnboundedSender<Call>);

impl Watcher for Told {
    fn ended(&self, call: &Call) {
        // The test may have heard enough.
        let _ = self.0.send(call.clone());
    }

    fn finish(&self) {}
}

#[tokio::test]
async fn a_caller_that_goes_away_is_told_as_such() {
    let (told, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let watchers = Watchers::new(vec![Arc::new(Told(told))]);
    let running = serve(ApiConfig { watchers, ..ApiConfig::default() }).await;
    let mut client = running.client().await;
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n{{");
    client.stream.write_all(head.as_bytes()).await.expect("writes");
    // The other side answers the half request with 400 where it sees the end of the body in time.
    client.stream.shutdown().await.expect("shuts its side");
    drop(client);
    let call = calls.recv().await.expect("a call");
    assert!([400, 499].contains(&call.status), "{call:?}");
    assert!(call.kind.is_some() && call.served.is_none(), "{call:?}");
    running.stop().await;
}

#[tokio::test]
async fn metrics_have_tritons_names_where_that_is_wanted() {
    let running = serve(ApiConfig { triton_metrics: true, ..ApiConfig::default() }).await;
    for _ in 0..3 {
        assert_eq!(running.post(INFER, infer_body(2, 1.0)).await.status, 200);
    }
    assert_eq!(running.post(INFER, infer_body(9, 1.0)).await.status, 400);
    let page = running.get("/metrics").await;
    for line in [
        "# TYPE nv_inference_request_success counter",
        "nv_inference_request_success{model=\"m\",version=\"1\"} 3",
        "nv_inference_request_failure{model=\"m\",version=\"1\"} 1",
        "nv_inference_exec_count{model=\"m\",version=\"1\"} 3",
        "nv_inference_pending_request_count{model=\"m\",version=\"1\"} 0",
    ] {
        assert!(page.text().lines().any(|l| l == line), "{line} is not in\n{}", page.text());
    }
    running.stop().await;
    let plain = serve(ApiConfig::default()).await;
    assert!(!plain.get("/metrics").await.text().contains("nv_inference"));
    plain.stop().await;
}
