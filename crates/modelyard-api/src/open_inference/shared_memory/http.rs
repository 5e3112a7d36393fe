//! The routes of shared memory: registering regions, letting go of them, and telling them.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use modelyard_types::ErrorKind;
use serde::{Deserialize, Serialize};

use super::Told;
use crate::error::Failure;
use crate::open_inference::repository::read;
use crate::router::Service;
use crate::routes::{About, Content, Routes};

/// Of orders to register.
const REGISTER: &[u16] = &[400, 403, 408, 413, 415, 429];

/// All routes below `/v2/systemsharedmemory` and `/v2/cudasharedmemory`.
pub(in crate::open_inference) fn routes() -> Routes {
    let about = |summary, takes, gives, refuses| About { summary, takes, gives, refuses };
    let tells = |summary, schema, refuses| about(summary, Content::Nothing, Content::Json(schema), refuses);
    let lets_go = |summary| about(summary, Content::Nothing, Content::Nothing, &[400]);
    let takes = Content::Json("Region");
    let registers = about("Takes up a region of shared memory.", takes, Content::Nothing, REGISTER);
    let takes = Content::JsonOrNothing("CudaRegion");
    let refuses = about("Refused: there are no graphics processors.", takes, Content::Nothing, &[400, 501]);
    let all = tells("The regions that were registered.", "Regions", &[]);
    let one = tells("One region that was registered.", "Regions", &[400, 403, 404]);
    let cuda = tells("No regions: there are no graphics processors.", "CudaRegions", &[]);
    let cuda_one = tells("No region: there are no graphics processors.", "CudaRegions", &[400, 404]);
    let (cuda_told, cuda_kept) = (async || Json(Vec::<CudaRegion>::new()), async || StatusCode::OK);
    Routes::new()
        .get("/v2/systemsharedmemory/status", told, all)
        .get("/v2/systemsharedmemory/region/{region}/status", told_one, one)
        .post("/v2/systemsharedmemory/region/{region}/register", register, registers)
        .post("/v2/systemsharedmemory/unregister", unregister, lets_go("Lets go of all regions."))
        .post(
            "/v2/systemsharedmemory/region/{region}/unregister",
            unregister_one,
            lets_go("Lets go of a region."),
        )
        .get("/v2/cudasharedmemory/status", cuda_told, cuda)
        .get("/v2/cudasharedmemory/region/{region}/status", cuda_told_one, cuda_one)
        .post("/v2/cudasharedmemory/region/{region}/register", async || no_cuda(), refuses)
        .post("/v2/cudasharedmemory/unregister", cuda_kept, lets_go("Does nothing: there are none."))
        .post(
            "/v2/cudasharedmemory/region/{region}/unregister",
            cuda_kept,
            lets_go("Does nothing: there is none."),
        )
}

#[derive(Deserialize)]
struct Registration {
    key: String,
    #[serde(default)]
    offset: u64,
    byte_size: u64,
}

/// A region on a graphics processor, of which there is none.
#[derive(Serialize)]
enum CudaRegion {}

async fn told(State(service): State<Service>) -> Result<Json<Vec<Told>>, Failure> {
    service.regions.told(None).map(Json)
}

async fn told_one(
    State(service): State<Service>,
    Path(region): Path<String>,
) -> Result<Json<Vec<Told>>, Failure> {
    service.regions.told(Some(&region)).map(Json)
}

async fn register(
    State(service): State<Service>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Result<StatusCode, Failure> {
    let given: Option<Registration> = read(&service, request).await?;
    let Registration { key, offset, byte_size } = given.ok_or_else(|| {
        let hint = r#"send {"key": "/frames", "byte_size": 4096}"#;
        Failure::invalid("the body tells no region").with_hint(hint)
    })?;
    service.regions.register(Told { name, key, offset, byte_size })?;
    Ok(StatusCode::OK)
}

async fn unregister(State(service): State<Service>) -> StatusCode {
    service.regions.unregister(None);
    StatusCode::OK
}

async fn unregister_one(State(service): State<Service>, Path(region): Path<String>) -> StatusCode {
    service.regions.unregister(Some(&region));
    StatusCode::OK
}

async fn cuda_told_one(Path(region): Path<String>) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("no CUDA shared memory region {region:?} is registered"))
}

/// Why memory of a graphics processor is not taken up.
pub(in crate::open_inference) fn no_cuda() -> Failure {
    let message = "this server runs on processors only and shares no CUDA memory";
    Failure::new(ErrorKind::Unsupported, message).with_hint("register system shared memory in its place")
}
