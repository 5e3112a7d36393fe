//! Tensors in memory that a client shares with the server.

use std::fs;
use std::path::PathBuf;

use modelyard_api::ApiConfig;
use modelyard_serve::ServeConfig;
use serde_json::{Value, json};

use crate::support::{Store, infer_body, native};

/// An object of shared memory, as long as it is held.
pub(crate) struct Object {
    pub(crate) key: String,
    path: PathBuf,
}

impl Object {
    /// None where the system has no such objects.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Option<Self> {
        let key = format!("/modelyard-{name}-{}", std::process::id());
        let path = PathBuf::from(format!("/dev/shm{key}"));
        match fs::write(&path, bytes) {
            Ok(()) => Some(Self { key, path }),
            Err(error) => {
                eprintln!("SKIPPED: no shared memory here: {error}");
                None
            }
        }
    }

    fn values(&self, range: std::ops::Range<usize>) -> Vec<f32> {
        let bytes = fs::read(&self.path).expect("it is there");
        bytes[range].as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

fn open() -> ApiConfig {
    ApiConfig { shares_memory: true, ..ApiConfig::default() }
}

fn place(offset: u64, bytes: u64) -> Value {
    json!({ "shared_memory_region": "r", "shared_memory_offset": offset, "shared_memory_byte_size": bytes })
}

/// A request whose input and output lie in the region `r`.
fn elsewhere(shape: &[usize], input: &Value, output: &Value) -> String {
    let inputs = json!([{ "name": "input", "shape": shape, "datatype": "FP32", "parameters": input }]);
    json!({ "inputs": inputs, "outputs": [{ "name": "output", "parameters": output }] }).to_string()
}

#[tokio::test]
async fn values_go_both_ways_through_a_region() {
    let values: Vec<u8> =
        [9.0f32, 0.5, 0.5, 7.0, 7.0, 7.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let Some(object) = Object::new("both", &values) else { return };
    let store = Store::new().await;
    store.publish("m", native(2, 3, 1)).await;
    let running = store.serve_with(ServeConfig::default(), open()).await;
    assert!(running.get("/v2").await.text().contains("system_shared_memory"));
    let want = running.post("/v2/models/m/infer", infer_body(2, 0.5)).await.json();

    let told = json!({ "key": object.key, "offset": 4, "byte_size": 20 });
    let register = "/v2/systemsharedmemory/region/r/register";
    assert_eq!(running.post(register, told.to_string()).await.status, 200);
    let all = json!([{ "name": "r", "key": object.key, "offset": 4, "byte_size": 20 }]);
    assert_eq!(running.get("/v2/systemsharedmemory/status").await.json(), all);
    assert_eq!(running.get("/v2/systemsharedmemory/region/r/status").await.json(), all);

    let body = elsewhere(&[1, 2], &place(0, 8), &place(8, 12));
    let answer = running.post("/v2/models/m/infer", body).await.json();
    let output =
        json!([{ "name": "output", "datatype": "FP32", "shape": [1, 3], "parameters": place(8, 12) }]);
    assert_eq!(answer["outputs"], output);
    let want: Vec<f32> = serde_json::from_value(want["outputs"][0]["data"].clone()).expect("numbers");
    assert_eq!(object.values(12..24), want);
    assert_eq!(object.values(0..12), [9.0, 0.5, 0.5], "what was not asked for stays");

    assert_eq!(running.post("/v2/systemsharedmemory/unregister", "").await.status, 200);
    assert_eq!(running.get("/v2/systemsharedmemory/status").await.json(), json!([]));
    running.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_region_is_told() {
    let Some(object) = Object::new("wrong", &[0; 32]) else { return };
    let store = Store::new().await;
    store.publish("m", native(2, 3, 1)).await;
    let api = ApiConfig { body_bytes_max: 1000, ..open() };
    let running = store.serve_with(ServeConfig::default(), api).await;
    let register = async |region: &str, told: Value| {
        running.post(&format!("/v2/systemsharedmemory/region/{region}/register"), told.to_string()).await
    };
    let key = &object.key;
    for (told, want) in [
        (json!({ "key": "/../etc/passwd", "byte_size": 8 }), "names no shared memory"),
        (json!({ "key": "/", "byte_size": 8 }), "names no shared memory"),
        (json!({ "key": "/modelyard-nobody", "byte_size": 8 }), "cannot be opened"),
        (json!({ "key": key, "byte_size": 33 }), "33 bytes from 0 on do not lie in"),
        (json!({ "key": key, "byte_size": 0 }), "0 bytes from 0 on do not lie in"),
        (json!({ "key": key, "offset": u64::MAX, "byte_size": 8 }), "do not lie in"),
        (json!({ "byte_size": 8 }), "missing field `key`"),
        (Value::Null, "the body tells no region"),
    ] {
        let failure = register("r", told.clone()).await.failure(400, "invalid_argument");
        assert!(failure.contains(want), "{told}: {failure}");
    }
    assert_eq!(register("r", json!({ "key": key, "byte_size": 32 })).await.status, 200);
    let again = register("r", json!({ "key": key, "byte_size": 8 })).await.failure(400, "already_exists");
    assert_eq!(again, "the region \"r\" is registered already");

    let infer = async |body: String| running.post("/v2/models/m/infer", body).await;
    let told = infer(elsewhere(&[1, 2], &place(0, 8), &place(8, 8))).await.failure(400, "invalid_argument");
    assert_eq!(told, "output \"output\" has 12 bytes, its place in shared memory 8");
    for (shape, input, output, want) in [
        ([1, 2], place(28, 8), place(8, 12), "8 bytes from 28 on are beyond the 32 of the region \"r\""),
        ([1, 2], place(0, 8), place(u64::MAX, 12), "are beyond the 32"),
        ([1, 2], place(0, 4), place(8, 12), "of FP32 has 8 bytes, its place in shared memory 4"),
        ([1, 2], json!({ "shared_memory_byte_size": 8 }), place(8, 12), "a shared_memory_region beside it"),
        ([1, 2], place(0, 8), json!({ "shared_memory_region": "r" }), "a shared_memory_byte_size beside it"),
        ([usize::MAX, 2], place(0, 8), place(8, 12), "too many elements"),
    ] {
        let failure = infer(elsewhere(&shape, &input, &output)).await.failure(400, "invalid_argument");
        assert!(failure.contains(want), "{failure}");
    }
    let large = infer(elsewhere(&[1, 2], &place(0, 1001), &place(8, 12))).await.failure(413, "too_large");
    assert!(large.contains("at most 1000 are read"), "{large}");

    // Its owner makes it shorter: the request fails, and the server lives.
    fs::write(&object.path, [0; 4]).expect("it is ours");
    let short = infer(elsewhere(&[1, 2], &place(0, 8), &place(8, 12))).await.failure(400, "invalid_argument");
    assert!(short.starts_with("cannot read the region \"r\""), "{short}");
    let mut from_here: Value = serde_json::from_str(&infer_body(2, 0.5)).expect("JSON");
    from_here["outputs"] = json!([{ "name": "output", "parameters": place(8, 12) }]);
    let short = infer(from_here.to_string()).await.failure(400, "invalid_argument");
    assert!(short.starts_with("cannot write the region \"r\""), "{short}");
    assert_eq!(fs::metadata(&object.path).expect("it is there").len(), 4, "it does not grow again");
    assert_eq!(running.post("/v2/systemsharedmemory/region/r/unregister", "").await.status, 200);
    let gone = infer(elsewhere(&[1, 2], &place(0, 8), &place(8, 12))).await.failure(404, "not_found");
    assert_eq!(gone, "no shared memory region \"r\" is registered");
    running.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_not_followed() {
    let Some(object) = Object::new("link", &[0; 8]) else { return };
    let link = format!("{}-link", object.path.display());
    std::os::unix::fs::symlink(&object.path, &link).expect("can link");
    let store = Store::new().await;
    store.publish("m", native(2, 3, 1)).await;
    let running = store.serve_with(ServeConfig::default(), open()).await;
    let told = json!({ "key": format!("{}-link", object.key), "byte_size": 8 }).to_string();
    let refused = running.post("/v2/systemsharedmemory/region/r/register", told).await;
    fs::remove_file(&link).expect("it is ours");
    assert!(refused.failure(400, "invalid_argument").contains("cannot be opened"));
    running.stop().await;
}

#[tokio::test]
async fn a_server_shares_memory_only_where_it_was_told_to() {
    let store = Store::new().await;
    store.publish("m", native(2, 3, 1)).await;
    let running = store.serve().await;
    assert!(!running.get("/v2").await.text().contains("shared_memory"));
    let told = json!({ "key": "/x", "byte_size": 8 }).to_string();
    let refused = running.post("/v2/systemsharedmemory/region/r/register", told).await;
    refused.failure(403, "permission_denied");
    assert!(refused.text().contains("--shared-memory"), "{}", refused.text());
    let asked = running.post("/v2/models/m/infer", elsewhere(&[1, 2], &place(0, 8), &place(8, 12))).await;
    asked.failure(403, "permission_denied");
    assert_eq!(running.get("/v2/systemsharedmemory/status").await.json(), json!([]));
    assert_eq!(running.post("/v2/systemsharedmemory/unregister", "").await.status, 200);
    assert_eq!(running.get("/v2/cudasharedmemory/status").await.json(), json!([]));
    assert_eq!(running.post("/v2/cudasharedmemory/unregister", "").await.status, 200);
    running.get("/v2/cudasharedmemory/region/r/status").await.failure(404, "not_found");
    running.post("/v2/cudasharedmemory/region/r/register", "{}").await.failure(501, "unsupported");
    running.stop().await;
}
