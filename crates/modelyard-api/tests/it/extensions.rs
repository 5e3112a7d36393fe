//! Triton's extensions: configuration, statistics, and loading and unloading on a client's word.

use std::sync::{Arc, Mutex};

use modelyard_api::{ApiConfig, LogLevels, LogSettings, Otlp};
use modelyard_serve::ServeConfig;
use serde_json::{Value, json};

use crate::support::{Running, Store, infer_body, native};

const INFER: &str = "/v2/models/m/infer";

async fn serve(store: &Store, repository_control: bool) -> Running {
    store.publish("m", native(2, 3, 1)).await;
    store.publish("other", native(2, 2, 1)).await;
    let api = ApiConfig { repository_control, ..ApiConfig::default() };
    store.serve_with(ServeConfig::default(), api).await
}

fn announces(running: &Value, extension: &str) -> bool {
    running["extensions"].as_array().is_some_and(|all| all.contains(&json!(extension)))
}

#[tokio::test]
async fn a_configuration_is_told_as_triton_tells_it() {
    let store = Store::new().await;
    let running = serve(&store, false).await;
    for path in ["/v2/models/m/config", "/v2/models/m/versions/1/config"] {
        let config = running.get(path).await.json();
        assert_eq!((&config["name"], &config["max_batch_size"]), (&json!("m"), &json!(64)), "{config}");
        assert_eq!(config["input"], json!([{ "name": "input", "data_type": "TYPE_FP32", "dims": [2] }]));
        assert_eq!(config["output"], json!([{ "name": "output", "data_type": "TYPE_FP32", "dims": [3] }]));
        assert_eq!(config["dynamic_batching"]["default_priority_level"], json!(100));
    }
    running.stop().await;
}

#[tokio::test]
async fn statistics_count_requests_rows_and_failures() {
    let store = Store::new().await;
    let running = serve(&store, false).await;
    for _ in 0..3 {
        assert_eq!(running.post(INFER, infer_body(2, 1.0)).await.status, 200);
    }
    assert_eq!(running.post(INFER, infer_body(9, 1.0)).await.status, 400);
    for path in ["/v2/models/m/stats", "/v2/models/m/versions/1/stats"] {
        let told = running.get(path).await.json()["model_stats"].clone();
        assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");
        let (stats, sums) = (&told[0], &told[0]["inference_stats"]);
        assert_eq!((&stats["inference_count"], &stats["execution_count"]), (&json!(3), &json!(3)));
        assert_eq!((&sums["success"]["count"], &sums["fail"]["count"]), (&json!(3), &json!(1)));
        assert!(sums["success"]["ns"].as_u64() >= sums["compute_infer"]["ns"].as_u64(), "{sums}");
        assert!(stats["last_inference"].as_u64().is_some_and(|moment| moment > 1_700_000_000_000));
    }
    let all = running.get("/v2/models/stats").await.json()["model_stats"].clone();
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    running.get("/v2/models/nobody/stats").await.failure(404, "not_found");
    running.stop().await;
}

#[tokio::test]
async fn models_leave_memory_and_come_back_on_a_clients_word() {
    let store = Store::new().await;
    let running = serve(&store, true).await;
    assert!(announces(&running.get("/v2").await.json(), "model_repository"));
    assert_eq!(running.post("/v2/repository/models/m/unload", "").await.status, 200);
    for path in [INFER, "/v2/models/m/versions/1/infer"] {
        let refused = running.post(path, infer_body(2, 1.0)).await;
        assert_eq!(refused.failure(503, "unavailable"), "model m was unloaded");
    }
    assert_eq!(running.post("/v2/models/other/infer", infer_body(2, 1.0)).await.status, 200);
    assert_eq!(running.get("/v2/health/ready").await.status, 200, "what nobody wants is not missed");
    assert!(running.get("/metrics").await.text().contains("modelyard_versions_loaded 1\n"));
    let index = running.post("/v2/repository/index", "").await.json();
    let gone =
        json!({ "name": "m", "version": "1", "state": "UNAVAILABLE", "reason": "model m was unloaded" });
    assert_eq!(index, json!([gone, { "name": "other", "version": "1", "state": "READY" }]));
    let ready = running.post("/v2/repository/index", r#"{"ready":true}"#).await.json();
    assert_eq!(ready.as_array().map(Vec::len), Some(1), "{ready}");

    assert_eq!(running.post("/v2/repository/models/m/load", "{}").await.status, 200);
    assert_eq!(running.post(INFER, infer_body(2, 1.0)).await.status, 200);
    running.post("/v2/repository/models/nobody/load", "").await.failure(404, "not_found");
    running.post("/v2/repository/models/m/load", "[").await.failure(400, "invalid_argument");
    let files = r#"{"parameters":{"file:1/model.onnx":"AAAA"}}"#;
    running.post("/v2/repository/models/m/load", files).await.failure(501, "unsupported");
    running.stop().await;
}

#[tokio::test]
async fn a_client_may_say_how_a_model_is_served_until_it_is_loaded_anew() {
    let store = Store::new().await;
    let running = serve(&store, true).await;
    let rows = async || running.get("/v2/models/m/config").await.json()["max_batch_size"].clone();
    let load = async |config: &str| {
        let order = json!({ "parameters": { "config": config } }).to_string();
        running.post("/v2/repository/models/m/load", order).await
    };
    let before = rows().await;
    assert_eq!(load(r#"{"max_batch_size": "5"}"#).await.status, 200);
    assert_eq!(rows().await, 5);
    for (config, what) in [
        ("{", "it is no JSON"),
        (r#"{"max_batch_size": "many"}"#, "max_batch_size is \"many\", which is not a whole number"),
        (r#"{"max_batch_size": 4, "input": [{"name": "z"}]}"#, "declares the input \"z\""),
    ] {
        let answer = load(config).await;
        let status = answer.status;
        let told = answer.json()["error"].as_str().expect("a sentence").to_owned();
        assert!(
            (400..500).contains(&status) && told.starts_with("failed to load \"m\": "),
            "{status} {told}"
        );
        assert!(told.contains(what), "{told}");
        assert_eq!(running.post(INFER, infer_body(2, 1.0)).await.status, 200);
        assert_eq!(rows().await, 5, "what served goes on as it did");
    }
    assert_eq!(running.post("/v2/repository/models/m/load", "").await.status, 200);
    assert_eq!(rows().await, before);
    running.stop().await;
}

#[tokio::test]
async fn nobody_unloads_models_unless_the_server_was_told_so() {
    let store = Store::new().await;
    let running = serve(&store, false).await;
    assert!(!announces(&running.get("/v2").await.json(), "model_repository"));
    let refused = running.post("/v2/repository/models/m/unload", "").await;
    assert!(refused.failure(403, "permission_denied").contains("takes no orders"));
    assert_eq!(running.post(INFER, infer_body(2, 1.0)).await.status, 200);
    running.stop().await;
}

#[tokio::test]
async fn traces_and_the_log_are_changed_where_the_server_allows_it() {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    let traces = Otlp::start("http://127.0.0.1:9", 0.1).expect("starts").settings();
    let quiet = LogLevels { info: false, warning: true, error: true, verbose_level: 0 };
    let applied = Arc::new(Mutex::new(quiet));
    let seen = Arc::clone(&applied);
    let log = LogSettings::new(quiet, move |levels| *seen.lock().expect("not poisoned") = levels);
    let open = ApiConfig {
        traces: Some(traces),
        log: Some(Arc::new(log)),
        telemetry_control: true,
        ..ApiConfig::default()
    };
    let running = store.serve_with(ServeConfig::default(), open.clone()).await;
    let metadata = running.get("/v2").await.json();
    assert!(announces(&metadata, "trace") && announces(&metadata, "logging"), "{metadata}");
    let own = "/v2/models/m/trace/setting";
    let told = running.get(own).await.json();
    assert_eq!((&told["trace_level"], &told["trace_rate"]), (&json!(["TIMESTAMPS"]), &json!("10")), "{told}");
    let changed = running.post(own, r#"{"trace_level": "OFF", "trace_count": 3}"#).await.json();
    assert_eq!(
        (&changed["trace_level"], &changed["trace_count"]),
        (&json!(["OFF"]), &json!("3")),
        "{changed}"
    );
    assert_eq!(running.get("/v2/trace/setting").await.json(), told, "of others nothing changed");
    let unknown = running.post("/v2/models/nobody/trace/setting", "{}").await;
    unknown.failure(404, "not_found");
    let wrong = running.post(own, r#"{"trace_level": null, "trace_file": "x"}"#).await;
    assert!(wrong.failure(400, "invalid_argument").contains("trace_file cannot be set"));
    assert_eq!(running.get(own).await.json(), changed, "all or nothing");
    let log = running.post("/v2/logging", r#"{"log_info": true}"#).await.json();
    assert_eq!(log, running.get("/v2/logging").await.json());
    assert_eq!(*applied.lock().expect("not poisoned"), LogLevels { info: true, ..quiet });
    running.stop().await;

    let closed = ApiConfig { telemetry_control: false, ..open };
    let running = store.serve_with(ServeConfig::default(), closed).await;
    assert!(!announces(&running.get("/v2").await.json(), "trace"));
    for (path, body) in [(own, r#"{"trace_rate": "1"}"#), ("/v2/logging", r#"{"log_info": true}"#)] {
        let refused = running.post(path, body).await;
        refused.failure(403, "permission_denied");
        assert!(refused.text().contains("--telemetry-control"), "{}", refused.text());
        assert_eq!(running.get(path).await.status, 200);
    }
    running.stop().await;
}

#[tokio::test]
async fn without_a_collector_nothing_is_traced() {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    let open = ApiConfig { telemetry_control: true, ..ApiConfig::default() };
    let running = store.serve_with(ServeConfig::default(), open).await;
    assert!(!announces(&running.get("/v2").await.json(), "trace"));
    let told = running.get("/v2/trace/setting").await.json();
    assert_eq!(told["trace_level"], json!(["OFF"]), "{told}");
    let refused = running.post("/v2/trace/setting", r#"{"trace_level": ["TIMESTAMPS"]}"#).await;
    assert_eq!(refused.failure(400, "invalid_argument"), "this server sends no traces");
    running.stop().await;
}
