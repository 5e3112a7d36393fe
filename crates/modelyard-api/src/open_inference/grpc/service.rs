//! The calls of `inference.GRPCInferenceService`.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::HeaderMap;
use futures_util::StreamExt as _;
use modelyard_serve::{Answered, Journey, Routed, ServedVersion, Terms, Times};
use modelyard_types::{Deadline, NamedTensor, VersionSelector};
use tokio::sync::Mutex;
use tokio_stream::Stream;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::proto::inference::grpc_inference_service_server::GrpcInferenceService;
use super::proto::inference::model_repository_parameter::ParameterChoice;
use super::proto::inference::repository_index_response::ModelIndex;
use super::proto::inference::{
    CudaSharedMemoryRegisterRequest, CudaSharedMemoryRegisterResponse, CudaSharedMemoryStatusRequest,
    CudaSharedMemoryStatusResponse, CudaSharedMemoryUnregisterRequest, CudaSharedMemoryUnregisterResponse,
    LogSettingsRequest, LogSettingsResponse, ModelConfigRequest, ModelConfigResponse, ModelInferRequest,
    ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse,
    ModelRepositoryParameter, ModelStatisticsRequest, ModelStatisticsResponse, ModelStreamInferResponse,
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse,
    ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
    SystemSharedMemoryRegisterRequest, SystemSharedMemoryRegisterResponse, SystemSharedMemoryStatusRequest,
    SystemSharedMemoryStatusResponse, SystemSharedMemoryUnregisterRequest,
    SystemSharedMemoryUnregisterResponse, TraceSettingRequest, TraceSettingResponse,
};
use super::status::refuse;
use super::{request, response, settings, shared_memory};
use crate::error::Failure;
use crate::open_inference::convert::{ServerMetadata, metadata};
use crate::open_inference::infer;
use crate::open_inference::repository::{self, Order};
use crate::open_inference::request::DecodedRequest;
use crate::open_inference::shared_memory::{Place, no_cuda, put};
use crate::router::{self, Service, selector};
use crate::watch::{self, Served};

/// Requests of one stream that are under way at once; their answers keep the requests' order.
const STREAM_REQUESTS_MAX: usize = 32;

/// What comes with an order to load or unload.
type Parameters = HashMap<String, ModelRepositoryParameter>;

/// Answers calls from the one server.
pub(super) struct Inference {
    service: Service,
}

impl Inference {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }

    async fn open(&self, model: &str, version: &str) -> Result<Arc<ServedVersion>, Status> {
        let opened = open(&self.service, model, version).await;
        opened.map_err(|failure| refuse(&self.service, failure))
    }

    async fn control(&self, order: Order, model: &str, parameters: Parameters) -> Result<(), Status> {
        let text = |parameter: &ModelRepositoryParameter| match &parameter.parameter_choice {
            Some(ParameterChoice::StringParam(text)) => Some(text.clone()),
            _ => None,
        };
        let texts: Vec<_> = parameters.iter().map(|(name, given)| (name.as_str(), text(given))).collect();
        let given = texts.iter().map(|(name, text)| (*name, text.as_deref()));
        let done = repository::control(&self.service, order, model, given).await;
        done.map_err(|failure| refuse(&self.service, failure))
    }
}

/// The version that the model's route chooses by the call's metadata.
pub(super) fn choose(service: &Service, message: &ModelInferRequest, headers: &HeaderMap) -> Option<Routed> {
    let labels = router::labels(headers);
    let unnamed = message.model_version.is_empty();
    unnamed.then(|| service.server.choose(&message.model_name, None, &labels)).flatten()
}

/// The version that answers; an empty one means the default.
async fn open(service: &Service, model: &str, version: &str) -> Result<Arc<ServedVersion>, Failure> {
    let selector: Option<VersionSelector> = match version {
        "" => None,
        text => Some(selector(text)?),
    };
    Ok(service.server.open(model, selector.as_ref()).await?)
}

/// What comes with a call, or with all requests of a stream.
pub(super) struct Call {
    /// Until when, where the caller says so.
    ends: Option<Deadline>,
    headers: HeaderMap,
    extensions: Extensions,
    /// Held by requests of sequences until they have their turn, so that those of one stream keep theirs.
    order: Mutex<()>,
}

impl Call {
    /// By its headers and what the server laid beside them.
    pub(super) fn new(service: &Service, headers: HeaderMap, extensions: Extensions) -> Self {
        let ends = request::timeout(&headers).map(|time| service.server.deadline_in(time));
        Self { ends, headers, extensions, order: Mutex::default() }
    }

    fn of<T>(service: &Service, request: Request<T>) -> (Self, T) {
        let (metadata, extensions, message) = request.into_parts();
        (Self::new(service, metadata.into_headers(), extensions), message)
    }

    fn journey(&self, version: &ServedVersion) -> Journey {
        watch::journey(version, &self.headers, &self.extensions)
    }
}

/// What an inference gave, and who gave it.
pub(super) struct Inferred {
    pub(super) version: Arc<ServedVersion>,
    pub(super) id: Option<String>,
    pub(super) outputs: Vec<NamedTensor>,
    /// Where in shared memory each was written, if any was.
    pub(super) places: Vec<Option<Place>>,
    pub(super) times: Times,
}

impl Inferred {
    /// It as an answer, and what is to be told of it.
    pub(super) fn write<T>(self, service: &Service, write: impl FnOnce(Self) -> T) -> (T, Option<Served>) {
        let version = Arc::clone(&self.version);
        let served = service.config.watchers.served(&version, self.times);
        let computed = version.now();
        let answer = write(self);
        version.encoded(version.now().saturating_duration_since(computed));
        (answer, served)
    }
}

/// An inference's answer as a message.
async fn answer(
    service: &Service,
    message: ModelInferRequest,
    call: &Call,
) -> Result<(ModelInferResponse, Option<Served>), Failure> {
    let inferred = run(service, message, call).await?;
    Ok(inferred.write(service, response::infer))
}

/// One inference by the version that the model's route chooses, or that is named.
pub(super) async fn run(
    service: &Service,
    message: ModelInferRequest,
    call: &Call,
) -> Result<Inferred, Failure> {
    let chosen = choose(service, &message, &call.headers);
    let server = &service.server;
    let _busy = server.enter()?;
    let ordered = match request::sequence_name(&message.parameters)? {
        None => None,
        Some(_) => Some(call.order.lock().await),
    };
    let named = !message.model_version.is_empty();
    let arrived = call.ends.unwrap_or_else(|| server.deadline());
    let version = match chosen {
        Some(chosen) => chosen,
        None => open(service, &message.model_name, &message.model_version).await?.into(),
    };
    version.check_room()?;
    let mut decoded = request::decode(message)?;
    let reserved = service.regions.fill(&mut decoded, service.config.body_bytes_max)?;
    let mut urgency = infer::urgency(server, arrived, &decoded.parameters);
    urgency.deadline = call.ends.map_or(urgency.deadline, |ends| ends.min(urgency.deadline));
    let terms = Terms { urgency, journey: call.journey(&version) };
    let (version, answered) = match decoded.sequence.take() {
        None => {
            // The sequence named 0 is none.
            drop(ordered);
            let answered = infer::run(&version, &mut decoded, terms).await?;
            put(&reserved, &answered.answer)?;
            (Arc::clone(&version), answered)
        }
        Some(step) => {
            let turn = server.take_turn(&version, named, step)?;
            drop(ordered);
            let version = Arc::clone(turn.version());
            let write = |_: &ServedVersion, _: &DecodedRequest, outputs: Vec<NamedTensor>| {
                put(&reserved, &outputs).map(|()| outputs)
            };
            (version, infer::run_in_sequence(turn, &mut decoded, terms, write).await?)
        }
    };
    let Answered { answer: outputs, times } = answered;
    let places = decoded.places(&outputs);
    Ok(Inferred { version, id: decoded.id, outputs, places, times })
}

/// One inference of a stream: what fails is told in its answer, and the stream goes on.
async fn answer_in_stream(
    service: Service,
    message: Result<ModelInferRequest, Status>,
    call: Arc<Call>,
) -> Result<ModelStreamInferResponse, Status> {
    let message = message?;
    let wants_final = request::is_true(&message.parameters, "triton_enable_empty_final_response");
    Ok(match answer(&service, message, &call).await {
        Ok((mut answer, _)) => {
            if wants_final {
                response::mark_final(&mut answer);
            }
            ModelStreamInferResponse { error_message: String::new(), infer_response: Some(answer) }
        }
        Err(failure) => {
            let error_message = refuse(&service, failure).message().to_owned();
            ModelStreamInferResponse { error_message, infer_response: Some(ModelInferResponse::default()) }
        }
    })
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(
        &self,
        _request: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _request: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: self.service.server.is_ready() }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let loaded = open(&self.service, &name, &version).await;
        Ok(Response::new(ModelReadyResponse { ready: loaded.is_ok() && !self.service.server.is_draining() }))
    }

    async fn server_metadata(
        &self,
        _request: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        let ServerMetadata { name, version, extensions } = ServerMetadata::new(&self.service.config);
        let extensions = extensions.into_iter().map(str::to_owned).collect();
        Ok(Response::new(ServerMetadataResponse { name, version: version.into(), extensions }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        let version = self.open(&name, &version).await?;
        let status = self.service.server.model(&name).map_err(|error| refuse(&self.service, error))?;
        Ok(Response::new(response::metadata(metadata(&status, &version))))
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let (call, message) = Call::of(&self.service, request);
        let answered = answer(&self.service, message, &call).await;
        let (answer, served) = answered.map_err(|failure| refuse(&self.service, failure))?;
        let mut response = Response::new(answer);
        if let Some(served) = served {
            response.extensions_mut().insert(served);
        }
        Ok(response)
    }

    type ModelStreamInferStream =
        Pin<Box<dyn Stream<Item = Result<ModelStreamInferResponse, Status>> + Send>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let (call, messages) = Call::of(&self.service, request);
        let (service, call) = (self.service.clone(), Arc::new(call));
        let answer = move |message| answer_in_stream(service.clone(), message, Arc::clone(&call));
        let answers = messages.map(answer).buffered(STREAM_REQUESTS_MAX);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let version = self.open(&name, &version).await?;
        let config = response::config(&version);
        Ok(Response::new(ModelConfigResponse { config: Some(config) }))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let mut versions = match version.as_str() {
            "" => self.service.server.loaded(),
            _ => vec![self.open(&name, &version).await?],
        };
        if !name.is_empty() {
            self.service.server.model(&name).map_err(|error| refuse(&self.service, error))?;
            versions.retain(|version| version.model().as_str() == name);
        }
        let model_stats = versions.iter().map(|version| response::statistics(version)).collect();
        Ok(Response::new(ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let only_ready = request.into_inner().ready;
        let entries = self.service.server.index().into_iter().filter(|entry| entry.ready || !only_ready);
        let line = |entry| {
            let (name, version, state, reason) = repository::in_words(entry);
            ModelIndex { name, version, state: state.to_owned(), reason }
        };
        Ok(Response::new(RepositoryIndexResponse { models: entries.map(line).collect() }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let RepositoryModelLoadRequest { model_name, parameters, .. } = request.into_inner();
        self.control(Order::Load, &model_name, parameters).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let RepositoryModelUnloadRequest { model_name, parameters, .. } = request.into_inner();
        self.control(Order::Unload, &model_name, parameters).await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }

    async fn trace_setting(
        &self,
        request: Request<TraceSettingRequest>,
    ) -> Result<Response<TraceSettingResponse>, Status> {
        settings::trace(&self.service, request.into_inner()).map(Response::new)
    }

    async fn system_shared_memory_status(
        &self,
        request: Request<SystemSharedMemoryStatusRequest>,
    ) -> Result<Response<SystemSharedMemoryStatusResponse>, Status> {
        shared_memory::told(&self.service, &request.into_inner()).map(Response::new)
    }

    async fn system_shared_memory_register(
        &self,
        request: Request<SystemSharedMemoryRegisterRequest>,
    ) -> Result<Response<SystemSharedMemoryRegisterResponse>, Status> {
        shared_memory::register(&self.service, request.into_inner()).map(Response::new)
    }

    async fn system_shared_memory_unregister(
        &self,
        request: Request<SystemSharedMemoryUnregisterRequest>,
    ) -> Result<Response<SystemSharedMemoryUnregisterResponse>, Status> {
        Ok(Response::new(shared_memory::unregister(&self.service, &request.into_inner())))
    }

    async fn cuda_shared_memory_status(
        &self,
        _request: Request<CudaSharedMemoryStatusRequest>,
    ) -> Result<Response<CudaSharedMemoryStatusResponse>, Status> {
        Ok(Response::new(CudaSharedMemoryStatusResponse::default()))
    }

    async fn cuda_shared_memory_register(
        &self,
        _request: Request<CudaSharedMemoryRegisterRequest>,
    ) -> Result<Response<CudaSharedMemoryRegisterResponse>, Status> {
        Err(refuse(&self.service, no_cuda()))
    }

    async fn cuda_shared_memory_unregister(
        &self,
        _request: Request<CudaSharedMemoryUnregisterRequest>,
    ) -> Result<Response<CudaSharedMemoryUnregisterResponse>, Status> {
        Ok(Response::new(CudaSharedMemoryUnregisterResponse {}))
    }

    async fn log_settings(
        &self,
        request: Request<LogSettingsRequest>,
    ) -> Result<Response<LogSettingsResponse>, Status> {
        settings::log(&self.service, request.into_inner()).map(Response::new)
    }
}
