//! Predictions by rows: named rows through a pipeline, nested arrays where there is none.

use serde_json::{Value, json};

use crate::support::{Store, named, onnx, vector};

fn check_category(answer: &Value, labels: &[&str]) {
    let probabilities = answer["probabilities"].as_object().expect("probabilities");
    assert_eq!(probabilities.keys().map(String::as_str).collect::<Vec<_>>(), labels);
    let likeliest =
        probabilities.iter().max_by(|a, b| a.1.as_f64().partial_cmp(&b.1.as_f64()).expect("numbers"));
    assert_eq!(answer["label"], json!(likeliest.expect("one").0), "{answer}");
}

#[tokio::test]
async fn rows_by_name_get_named_answers() {
    let store = Store::new().await;
    store.publish("fruit", named(1)).await;
    let running = store.serve().await;
    let rows = json!([{ "size": 2, "<colour>": "red" }, { "size": 5.5, "<colour>": "never seen" }]);
    let body = json!({ "instances": rows }).to_string();
    for path in ["/v1/models/fruit:predict", "/v1/models/fruit/versions/1:predict"] {
        let reply = running.post(path, &body).await;
        assert_eq!((reply.status, reply.headers["x-model-version"].as_str()), (200, "1"), "{}", reply.text());
        let predictions = reply.json()["predictions"].clone();
        for answer in predictions.as_array().expect("one for each row") {
            check_category(&answer["kind"], &["apple", "pear", "plum"]);
        }
        assert_eq!(predictions.as_array().map(Vec::len), Some(2));
    }
    let one = running.post("/predict", json!({ "input": rows[0] }).to_string()).await.json();
    check_category(&one["prediction"]["kind"], &["apple", "pear", "plum"]);

    let wrong =
        running.post("/predict", json!({ "input": { "sise": 2, "<colour>": "red" } }).to_string()).await;
    let told = wrong.failure(400, "invalid_argument");
    assert!(told.contains("sise") || told.contains("size"), "{told}");
    let text =
        running.post("/predict", json!({ "input": { "size": "big", "<colour>": "red" } }).to_string()).await;
    assert!(text.failure(400, "invalid_argument").contains("size"));
    let empty = running.post("/v1/models/fruit:predict", r#"{"instances":[]}"#).await;
    assert_eq!(empty.failure(400, "invalid_argument"), "the request has no rows");
    for path in ["/v1/models/fruit:predict", "/v1/models/fruit/versions/1:predict"] {
        let asked = running.get(path).await;
        asked.failure(405, "invalid_argument");
        assert_eq!(asked.headers["allow"], "POST");
    }
    let tensors = running.post("/v1/models/fruit", "{}").await;
    assert!(tensors.failure(404, "not_found").contains("nothing to post to"));
    running.stop().await;
}

#[tokio::test]
async fn one_vector_may_be_given_bare() {
    let store = Store::new().await;
    store.publish("digits", vector(1)).await;
    let running = store.serve().await;
    let bare = running.post("/predict", r#"{"input":[0,1]}"#).await.json();
    let by_name = running.post("/predict", r#"{"input":{"pixels":[0,1]}}"#).await.json();
    check_category(&bare["prediction"]["digit"], &["3", "8", "9"]);
    assert_eq!(bare, by_name);
    let short = running.post("/predict", r#"{"input":[0]}"#).await;
    assert!(short.failure(400, "invalid_argument").contains("pixels"));
    let mut client = running.client().await;
    let image = [("content-type", "image/png")];
    let reply = client.send("POST", "/predict", &image, b"\x89PNG").await.expect("an answer");
    assert!(reply.failure(400, "invalid_argument").contains("image"));
    running.stop().await;
}

#[tokio::test]
async fn a_model_without_a_pipeline_takes_nested_arrays() {
    let store = Store::new().await;
    store.publish("foreign", onnx(2, 3, 1)).await;
    let running = store.serve().await;
    let path = "/v1/models/foreign:predict";
    let bare = running.post(path, r#"{"instances":[[1,2],[3,4]]}"#).await.json();
    let named = running.post(path, r#"{"instances":[{"input":[1,2]},{"input":[3,4]}]}"#).await.json();
    assert_eq!(bare, named);
    assert_eq!(bare["predictions"][1].as_array().map(Vec::len), Some(3), "{bare}");
    let one = running.post("/predict", r#"{"input":[1,2]}"#).await.json();
    assert_eq!(one["prediction"], bare["predictions"][0]);
    let wrong = running.post(path, r#"{"instances":[[1,2,3]]}"#).await.failure(400, "invalid_argument");
    assert!(wrong.contains("one row is \"input\" FP32 [2]"), "{wrong}");
    running.stop().await;
}

#[tokio::test]
async fn the_short_form_needs_exactly_one_model() {
    let store = Store::new().await;
    store.publish("a", onnx(2, 3, 1)).await;
    store.publish("b", onnx(2, 3, 2)).await;
    let running = store.serve().await;
    let refused = running.post("/predict", r#"{"input":[1,2]}"#).await.failure(409, "failed_precondition");
    assert_eq!(refused, "/predict needs exactly one served model, there are 2");
    assert_eq!(running.get("/v1/models").await.json(), json!({ "models": ["a", "b"] }));
    let status = running.get("/v1/models/a").await.json();
    assert_eq!(
        (&status["ready"], &status["model_version_status"][0]["state"]),
        (&json!(true), &json!("AVAILABLE"))
    );
    running.stop().await;
}
