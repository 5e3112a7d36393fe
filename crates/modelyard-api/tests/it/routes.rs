//! Every route of the Open Inference Protocol, the metrics, the page, and what is told when a request is wrong.

use std::time::Duration;

use modelyard_api::ApiConfig;
use modelyard_serve::ServeConfig;
use serde_json::{Value, json};

use crate::support::{Store, infer_body, named, native, onnx};

#[tokio::test]
async fn the_protocol_from_end_to_end() {
    let store = Store::new().await;
    store.publish("mine", native(4, 3, 1)).await;
    store.publish("foreign", onnx(4, 3, 1)).await;
    let running = store.serve().await;

    assert_eq!(running.get("/v2").await.json()["extensions"][0], json!("binary_tensor_data"));
    assert_eq!(running.get("/v2/health/live").await.json(), json!({ "live": true }));
    assert_eq!(running.get("/v2/health/ready").await.json()["ready"], json!(true));
    for (model, platform) in [("mine", "modelyard_native"), ("foreign", "modelyard_onnx")] {
        for path in [format!("/v2/models/{model}"), format!("/v2/models/{model}/versions/1")] {
            let metadata = running.get(&path).await.json();
            let want = json!({
                "name": model, "versions": ["1"], "platform": platform,
                "inputs": [{ "name": "input", "datatype": "FP32", "shape": [-1, 4] }],
                "outputs": [{ "name": "output", "datatype": "FP32", "shape": [-1, 3] }],
            });
            assert_eq!(metadata, want);
            let ready = running.get(&format!("{path}/ready")).await;
            assert_eq!((ready.status, &ready.json()["ready"]), (200, &json!(true)));
        }
    }
    let answers: Vec<Value> = [
        running.post("/v2/models/mine/infer", infer_body(4, 0.5)).await,
        running.post("/v2/models/mine/versions/1/infer", infer_body(4, 0.5)).await,
        running.post("/v2/models/foreign/infer", infer_body(4, 0.5)).await,
    ]
    .iter()
    .map(|reply| reply.json()["outputs"].clone())
    .collect();
    let probabilities = |answer: &Value| -> Vec<f64> {
        answer[0]["data"].as_array().expect("values").iter().filter_map(Value::as_f64).collect()
    };
    let first = probabilities(&answers[0]);
    assert!((first.iter().sum::<f64>() - 1.0).abs() < 1e-5 && first.len() == 3, "{first:?}");
    for answer in &answers {
        assert_eq!((&answer[0]["name"], &answer[0]["shape"]), (&json!("output"), &json!([1, 3])));
        assert!(probabilities(answer).iter().zip(&first).all(|(a, b)| (a - b).abs() < 1e-5), "{answer}");
    }
    running.stop().await;
}

#[tokio::test]
async fn an_encoded_path_asks_for_the_same_as_a_plain_one() {
    let store = Store::new().await;
    store.publish("m", native(2, 3, 1)).await;
    let running = store.serve().await;
    let outputs = async |path: &str| running.post(path, infer_body(2, 0.5)).await.json()["outputs"].clone();
    let want = outputs("/v2/models/m/infer").await;
    assert_eq!(want[0]["shape"], json!([1, 3]));
    let same = ["%6D/infer", "m/versions/1/infer", "m/versions/%31/infer", "m/infer?a=b"];
    for path in same {
        assert_eq!(outputs(&format!("/v2/models/{path}")).await, want, "{path}");
    }
    for nothing in ["/infer", "//infer", "m/v/1/infer", "m/versions/1/1/infer", "m/infer/"] {
        let reply = running.post(&format!("/v2/models/{nothing}"), infer_body(2, 0.5)).await;
        reply.failure(404, "not_found");
    }
    let version = running.post("/v2/models/m/versions/-1/infer", infer_body(2, 0.5)).await;
    version.failure(400, "invalid_argument");
    running.stop().await;
}

#[tokio::test]
async fn id_outputs_and_request_id_come_back() {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    let running = store.serve().await;
    let body = json!({
        "id": "abc", "parameters": { "anything": 1 }, "outputs": [{ "name": "output" }],
        "inputs": [{ "name": "input", "shape": [3, 2], "datatype": "FP32", "data": [[1, 2], [3, 4], [5, 6]] }],
    });
    let mut client = running.client().await;
    let headers = [("x-request-id", "mine-7")];
    let reply = client.send("POST", "/v2/models/m/infer", &headers, body.to_string().as_bytes()).await;
    let reply = reply.expect("an answer");
    assert_eq!(reply.headers["x-request-id"], "mine-7");
    let json = reply.json();
    assert_eq!((&json["id"], &json["model_version"]), (&json!("abc"), &json!("1")));
    assert_eq!(json["outputs"][0]["shape"], json!([3, 2]));
    let other =
        client.send("GET", "/v2", &[("x-request-id", &"x".repeat(500))], b"").await.expect("an answer");
    assert!(other.headers["x-request-id"].len() < 40, "a long id is replaced");
    running.stop().await;
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_expected() {
    let store = Store::new().await;
    store.publish("digits", native(2, 2, 1)).await;
    let running = store.serve().await;
    let infer = async |body: &str| {
        running.post("/v2/models/digits/infer", body).await.failure(400, "invalid_argument")
    };
    let tensor = |fields: &str| format!(r#"{{"inputs":[{{{fields}}}]}}"#);
    for (fields, want) in [
        (
            r#""name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]"#,
            "input \"x\" is not known; the model takes input",
        ),
        (
            r#""name":"input","shape":[1,3],"datatype":"FP32","data":[1,2,3]"#,
            "input \"input\" has shape [1, 3], the model takes [-1, 2]",
        ),
        (
            r#""name":"input","shape":[1,2],"datatype":"INT64","data":[1,2]"#,
            "input \"input\" has type INT64, the model takes FP32",
        ),
        (r#""name":"input","shape":[0,2],"datatype":"FP32","data":[]"#, "the request has no rows"),
        (r#""name":"input","shape":[1,2],"datatype":"FP32","data":[1e999,2]"#, "number out of range"),
        (r#""name":"input","shape":[1,2],"datatype":"FP32","data":["NaN",2]"#, "is no FP32"),
    ] {
        let told = infer(&tensor(fields)).await;
        assert!(told.contains(want), "{fields}: {told}");
    }
    let nan_output = r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}],"outputs":[{"name":"y"}]}"#;
    assert_eq!(infer(nan_output).await, "output \"y\" is not known; the model gives output");
    let deep = format!(
        r#"{{"inputs":[{{"name":"input","shape":[1,2],"datatype":"FP32","data":{}"#,
        "[".repeat(100_000)
    );
    assert!(infer(&deep).await.contains("recursion limit"));

    let unknown = running.post("/v2/models/digit/infer", "{}").await.failure(404, "not_found");
    assert_eq!(unknown, "Request for unknown model: there is no model \"digit\"; did you mean \"digits\"?");
    let version = running.post("/v2/models/digits/versions/9/infer", infer_body(2, 1.0)).await;
    assert_eq!(version.failure(404, "not_found"), "model digits has no version 9");
    assert_eq!(running.get("/v2/models/digits/versions/0").await.status, 400);
    running.get("/v2/models/%FF").await.failure(400, "invalid_argument");
    running.get("/nowhere").await.failure(404, "not_found");
    let method = running.get("/v2/models/digits/infer").await;
    assert_eq!(method.failure(405, "invalid_argument"), "GET is not answered at /v2/models/digits/infer");
    assert_eq!(method.headers["allow"], "POST");
    for (length, want) in [("-1", "no number of bytes"), ("11", "the body has 10 bytes")] {
        let mut client = running.client().await;
        let binary = [("inference-header-content-length", length)];
        let reply =
            client.send("POST", "/v2/models/digits/infer", &binary, b"0123456789").await.expect("an answer");
        assert!(reply.failure(400, "invalid_argument").contains(want), "{}", reply.text());
    }
    running.stop().await;
}

#[tokio::test]
async fn raw_tensors_answer_as_json_does() {
    let store = Store::new().await;
    store.publish("m", native(2, 3, 1)).await;
    let running = store.serve().await;
    let want = running.post("/v2/models/m/infer", infer_body(2, 0.5)).await.json();
    let values: Vec<u8> = [0.5f32, 0.5].iter().flat_map(|value| value.to_le_bytes()).collect();
    let head = r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}],"outputs":[{"name":"output","parameters":{"binary_data":true}}]}"#;
    let length = head.len().to_string();
    for (length, body) in [(length.as_str(), [head.as_bytes(), &values].concat()), ("0", values.clone())] {
        let headers = [("inference-header-content-length", length)];
        let mut client = running.client().await;
        let reply = client.send("POST", "/v2/models/m/infer", &headers, &body).await.expect("an answer");
        assert_eq!(reply.headers["content-type"], "application/octet-stream");
        let json_bytes = reply.headers["inference-header-content-length"].parse().expect("a number");
        let (json, raw) = reply.body.split_at(json_bytes);
        let json: Value = serde_json::from_slice(json).expect("JSON");
        assert_eq!(json["outputs"][0]["parameters"], json!({ "binary_data_size": 12 }));
        let got: Vec<f32> = raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let want: Vec<f32> =
            serde_json::from_value(want["outputs"][0]["data"].clone()).expect("numbers of single precision");
        assert_eq!(got, want);
    }
    running.stop().await;
}

#[tokio::test]
async fn classes_are_given_in_place_of_values() {
    let store = Store::new().await;
    store.publish("fruit", named(1)).await;
    let running = store.serve().await;
    let metadata = running.get("/v2/models/fruit").await.json();
    let width = metadata["inputs"][0]["shape"][1].as_u64().expect("a width");
    let mut body: Value = serde_json::from_str(&infer_body(width as usize, 0.0)).expect("JSON");
    body["outputs"] = json!([{ "name": "output", "parameters": { "classification": 2 } }]);
    let answer = running.post("/v2/models/fruit/infer", body.to_string()).await.json();
    let output = &answer["outputs"][0];
    assert_eq!((&output["datatype"], &output["shape"]), (&json!("BYTES"), &json!([1, 2])), "{answer}");
    let likeliest = output["data"][0].as_str().expect("a text");
    assert!(["apple", "pear", "plum"].iter().any(|name| likeliest.ends_with(name)), "{likeliest}");
    running.stop().await;
}

#[tokio::test]
async fn a_request_may_bring_its_own_deadline_and_priority() {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    let config = ServeConfig { batch_delay: Duration::from_secs(20), ..ServeConfig::default() };
    let running = store.serve_with(config, ApiConfig::default()).await;
    let mut body: Value = serde_json::from_str(&infer_body(2, 1.0)).expect("JSON");
    body["parameters"] = json!({ "timeout": 1000, "priority": 1, "anything": "else" });
    let late = running.post("/v2/models/m/infer", body.to_string()).await;
    late.failure(504, "deadline_exceeded");
    running.stop().await;
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    let running = store.serve().await;
    for _ in 0..3 {
        assert_eq!(running.post("/v2/models/m/infer", infer_body(2, 1.0)).await.status, 200);
    }
    assert_eq!(running.post("/v2/models/m/infer", infer_body(3, 1.0)).await.status, 400);
    assert_eq!(running.post("/v2/models/x/infer", infer_body(2, 1.0)).await.status, 404);
    let metrics = running.get("/metrics").await;
    assert!(metrics.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    for line in [
        "modelyard_requests_total{model=\"m\",version=\"1\"} 4",
        "modelyard_request_failures_total{model=\"m\",version=\"1\",kind=\"invalid_argument\"} 1",
        "modelyard_request_failures_total{model=\"\",version=\"\",kind=\"not_found\"} 1",
        "modelyard_queue_seconds_count{model=\"m\",version=\"1\"} 3",
        "modelyard_compute_seconds_count{model=\"m\",version=\"1\"} 3",
        "modelyard_batch_rows_sum{model=\"m\",version=\"1\"} 3.0",
        "modelyard_versions_loaded 1",
    ] {
        assert!(metrics.text().lines().any(|l| l == line), "{line} is not in\n{}", metrics.text());
    }
    running.stop().await;
}

#[tokio::test]
async fn the_page_names_the_models_with_a_form_for_each() {
    let store = Store::new().await;
    store.publish("fruit", named(1)).await;
    store.publish("tensors", onnx(3, 2, 1)).await;
    let running = store.serve().await;
    let page = running.get("/").await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(page.headers["content-security-policy"].starts_with("default-src 'none'"));
    for part in [
        "<form data-model=\"fruit\">",
        "data-name=\"size\" required data-kind=\"number\"",
        "data-name=\"&lt;colour&gt;\"",
        "<option value=\"green\"",
        "<form data-model=\"tensors\">",
        "[0, 0, 0]</textarea>",
        "<dd>native</dd>",
    ] {
        assert!(page.text().contains(part), "{part} is not in\n{}", page.text());
    }
    assert!(!page.text().contains("<colour>"), "names are escaped");
    assert_eq!(
        running.get("/assets/page.js").await.headers["content-type"],
        "text/javascript; charset=utf-8"
    );
    assert_eq!(running.get("/assets/page.css").await.status, 200);
    let head = running.client().await.send("HEAD", "/", &[], b"").await.expect("an answer");
    assert_eq!(head.status, 200);
    running.stop().await;
}
