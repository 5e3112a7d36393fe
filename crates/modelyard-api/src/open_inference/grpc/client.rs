//! Asking other servers by gRPC, for the steps of graphs that run there: any server of the protocol will do.
//!
//! Each server has one HTTP/2 connection, by TLS where its name says so, made when it is first asked and again
//! when it broke; all requests share it. What is left of the request's time goes along as `grpc-timeout`.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::uri::PathAndQuery;
use axum::http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use modelyard_serve::{
    PRIORITY_DEFAULT, RemoteAnswer, RemoteCall, RemoteFailure, RemoteModels, RemoteServer, RemoteTerms,
    SECURE, SequenceId, SequenceStep, TlsFiles,
};
use modelyard_types::{Dim, ErrorKind, NamedTensor, Signature, TensorSpec};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex as AsyncMutex;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use super::proto::inference::infer_parameter::ParameterChoice;
use super::proto::inference::model_infer_request::InferInputTensor;
use super::proto::inference::model_infer_response::InferOutputTensor;
use super::proto::inference::model_metadata_response::TensorMetadata;
use super::proto::inference::{
    InferParameter, ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
};
use super::request::tensor;
use super::tls;
use crate::watch::HOPS;
use modelyard_client::raw;

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const METADATA: &str = "/inference.GRPCInferenceService/ModelMetadata";
/// How long a server has to take a connection; it is local, or it is not there.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// A connection on which nothing came for so long is tried by a ping, and is closed where no answer comes.
const PING_AFTER: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(5);
/// Most bytes of one answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// What a server may send ahead on one request, and on all of a connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// A server, and its connection.
struct Link {
    origin: Uri,
    /// The files by which it is trusted.
    tls: Option<TlsFiles>,
    /// None before the first request.
    connection: AsyncMutex<Option<SendRequest<Body>>>,
}

/// The servers that were asked so far, with their connections.
#[derive(Default)]
pub struct GrpcServers {
    /// By their names; one that is trusted by several files has a connection for each.
    links: Mutex<BTreeMap<String, Vec<Arc<Link>>>>,
}

impl RemoteModels for GrpcServers {
    fn infer<'a>(
        &'a self,
        server: RemoteServer<'a>,
        call: &'a RemoteCall,
        terms: RemoteTerms,
    ) -> RemoteAnswer<'a> {
        Box::pin(async move {
            let answer: ModelInferResponse = self.call(server, INFER, request(message(call), &terms)).await?;
            read_answer(answer).map_err(|message| RemoteFailure { kind: ErrorKind::Internal, message })
        })
    }
}

impl GrpcServers {
    /// What a model takes and gives, by what its server says within this time.
    ///
    /// # Errors
    /// A server that is not there or does not know the model, and types that are not known here.
    pub async fn signature(
        &self,
        server: RemoteServer<'_>,
        model: &str,
        version: Option<&str>,
        time: Duration,
    ) -> Result<Signature, RemoteFailure> {
        let (name, version) = (model.to_owned(), version.unwrap_or_default().to_owned());
        let mut request = tonic::Request::new(ModelMetadataRequest { name, version });
        request.set_timeout(time);
        let asked = self.call(server, METADATA, request);
        let late = |_| RemoteFailure {
            kind: ErrorKind::Unavailable,
            message: format!("it did not answer within {} s", time.as_secs_f32()),
        };
        let answer = tokio::time::timeout(time, asked).await.map_err(late)?;
        let answer: ModelMetadataResponse = answer.map_err(|failure| or_tls(failure, server))?;
        read_metadata(answer).map_err(|message| RemoteFailure { kind: ErrorKind::Unsupported, message })
    }

    async fn call<Q, A>(
        &self,
        server: RemoteServer<'_>,
        path: &'static str,
        request: tonic::Request<Q>,
    ) -> Result<A, RemoteFailure>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let link = self.link(server)?;
        // Whoever waits for another one's connection has no more patience than who makes it.
        let late = |_| RemoteFailure {
            kind: ErrorKind::Unavailable,
            message: format!("it took no connection within {} s", CONNECT_MAX.as_secs()),
        };
        let sender = tokio::time::timeout(CONNECT_MAX, link.sender(server)).await.map_err(late)??;
        let mut grpc = Grpc::with_origin(Wire(sender), link.origin.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
            .max_encoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|error| unavailable(&error))?;
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        let answer = grpc.unary(request, PathAndQuery::from_static(path), codec).await;
        answer.map(tonic::Response::into_inner).map_err(|status| failure(&status))
    }

    /// What is kept of a server.
    fn link(&self, server: RemoteServer<'_>) -> Result<Arc<Link>, RemoteFailure> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let known = links.get(server.name).into_iter().flatten().find(|link| link.tls.as_ref() == server.tls);
        if let Some(link) = known {
            return Ok(Arc::clone(link));
        }
        let link = Arc::new(Link::new(server)?);
        links.entry(server.name.to_owned()).or_default().push(Arc::clone(&link));
        Ok(link)
    }
}

impl Link {
    fn new(server: RemoteServer<'_>) -> Result<Self, RemoteFailure> {
        let origin = match server.name.strip_prefix(SECURE) {
            Some(host) => format!("https://{host}"),
            None => format!("http://{}", server.name),
        };
        let origin = origin.parse().map_err(|_| RemoteFailure {
            kind: ErrorKind::InvalidArgument,
            message: "its name is no host and port".to_owned(),
        })?;
        Ok(Self { origin, tls: server.tls.cloned(), connection: AsyncMutex::default() })
    }

    /// The server's connection, made now where there is none that works.
    async fn sender(&self, server: RemoteServer<'_>) -> Result<SendRequest<Body>, RemoteFailure> {
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let sender = connect(server).await?;
        *connection = Some(sender.clone());
        Ok(sender)
    }
}

async fn connect(server: RemoteServer<'_>) -> Result<SendRequest<Body>, RemoteFailure> {
    let secure = server.name.strip_prefix(SECURE);
    let host = secure.unwrap_or(server.name);
    let stream = TcpStream::connect(host).await.map_err(|error| unavailable(&error))?;
    // Small messages wait for nobody; a socket without the option works all the same.
    let _ = stream.set_nodelay(true);
    if secure.is_none() {
        return speak(stream, host).await;
    }
    let distrusted = |message| RemoteFailure { kind: ErrorKind::Unavailable, message };
    speak(tls::secured(stream, host, server.tls).await.map_err(distrusted)?, host).await
}

/// Begins HTTP/2 on a connection.
async fn speak<S>(stream: S, server: &str) -> Result<SendRequest<Body>, RemoteFailure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let handshake = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(|error| unavailable(&error))?;
    let name = server.to_owned();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(server = name, error = &error as &dyn std::error::Error, "a connection broke");
        }
    });
    Ok(sender)
}

/// A connection as tonic wants it.
struct Wire(SendRequest<Body>);

impl Service<Request<Body>> for Wire {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// A connection that failed, told with its causes.
fn unavailable(error: &dyn std::error::Error) -> RemoteFailure {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        message = format!("{message}: {below}");
        cause = below.source();
    }
    RemoteFailure { kind: ErrorKind::Unavailable, message }
}

/// What a status says. One that did not come from the server tells of a broken connection.
fn failure(status: &Status) -> RemoteFailure {
    if let Some(source) = status.source() {
        return unavailable(source);
    }
    let kind = match status.code() {
        Code::InvalidArgument => ErrorKind::InvalidArgument,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::FailedPrecondition => ErrorKind::FailedPrecondition,
        Code::ResourceExhausted => ErrorKind::ResourceExhausted,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::PermissionDenied,
        // Among them OutOfRange, an answer larger than is taken here.
        _ => ErrorKind::Internal,
    };
    RemoteFailure { kind, message: status.message().to_owned() }
}

/// A message with how it is asked, as metadata.
fn request(message: ModelInferRequest, terms: &RemoteTerms) -> tonic::Request<ModelInferRequest> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(terms.time);
    let metadata = request.metadata_mut();
    metadata.insert(HOPS, u32::from(terms.hops).into());
    for (name, value) in &terms.carried {
        // What cannot be written there came from nobody's header.
        if let Ok(value) = value.parse() {
            metadata.insert(*name, value);
        }
    }
    request
}

/// A server that takes a connection and breaks it may expect TLS; who asks for the first time is told so.
fn or_tls(failure: RemoteFailure, server: RemoteServer<'_>) -> RemoteFailure {
    let broke = ["connection error", "http2 error"].iter().any(|what| failure.message.starts_with(what));
    if !broke || server.name.starts_with(SECURE) {
        return failure;
    }
    let message = format!("{}; where it speaks TLS, write {SECURE} before its name", failure.message);
    RemoteFailure { message, ..failure }
}

fn message(call: &RemoteCall) -> ModelInferRequest {
    let mut message = ModelInferRequest {
        model_name: call.model.clone(),
        model_version: call.version.clone().unwrap_or_default(),
        ..ModelInferRequest::default()
    };
    let mut tell = |name: &str, choice| {
        let parameter = InferParameter { parameter_choice: Some(choice) };
        message.parameters.insert(name.to_owned(), parameter);
    };
    if call.priority != PRIORITY_DEFAULT {
        tell("priority", ParameterChoice::Int64Param(call.priority.into()));
    }
    if let Some(SequenceStep { id, start, end }) = &call.sequence {
        tell(
            "sequence_id",
            match id {
                SequenceId::Text(text) => ParameterChoice::StringParam(text.clone()),
                SequenceId::Number(number) => match i64::try_from(*number) {
                    Ok(number) => ParameterChoice::Int64Param(number),
                    Err(_) => ParameterChoice::Uint64Param(*number),
                },
            },
        );
        tell("sequence_start", ParameterChoice::BoolParam(*start));
        tell("sequence_end", ParameterChoice::BoolParam(*end));
    }
    for NamedTensor { name, tensor } in &call.inputs {
        let shape = tensor.shape().iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect();
        let (name, datatype) = (name.clone(), tensor.data_type().as_str().to_owned());
        message.inputs.push(InferInputTensor { name, datatype, shape, ..InferInputTensor::default() });
        let mut bytes = Vec::with_capacity(raw::size(tensor.data()));
        raw::write(&mut bytes, tensor.data());
        message.raw_input_contents.push(bytes.into());
    }
    message
}

pub(super) fn read_answer(answer: ModelInferResponse) -> Result<Vec<NamedTensor>, String> {
    let ModelInferResponse { outputs, raw_output_contents: raw, .. } = answer;
    if !raw.is_empty() && raw.len() != outputs.len() {
        return Err(format!("its answer has {} outputs and {} raw contents", outputs.len(), raw.len()));
    }
    let mut raw = raw.iter();
    let one = |output: InferOutputTensor| {
        let InferOutputTensor { name, datatype, shape, parameters, contents } = output;
        let input = InferInputTensor { name, datatype, shape, parameters, contents };
        tensor(input, raw.next().map(AsRef::as_ref))
            .map_err(|failure| format!("its answer: {}", failure.message()))
    };
    outputs.into_iter().map(one).collect()
}

pub(super) fn read_metadata(answer: ModelMetadataResponse) -> Result<Signature, String> {
    let specs = |tensors: Vec<TensorMetadata>| tensors.into_iter().map(spec).collect::<Result<_, _>>();
    Ok(Signature { inputs: specs(answer.inputs)?, outputs: specs(answer.outputs)? })
}

fn spec(tensor: TensorMetadata) -> Result<TensorSpec, String> {
    let TensorMetadata { name, datatype, shape } = tensor;
    let data_type =
        datatype.parse().map_err(|error: modelyard_types::TensorError| format!("{name:?}: {error}"))?;
    let dim = |&size: &i64| usize::try_from(size).map_or(Dim::Any, Dim::Fixed);
    Ok(TensorSpec { name, data_type, shape: shape.iter().map(dim).collect() })
}

#[cfg(test)]
mod tests {
    use modelyard_types::{Tensor, TensorData};

    use super::*;

    fn plain(name: &str) -> RemoteServer<'_> {
        RemoteServer { name, tls: None }
    }

    #[test]
    fn a_call_reads_as_the_request_that_it_is() {
        let tensor = Tensor::new(vec![1, 2], TensorData::I64(vec![1, -2])).expect("fits");
        let inputs = vec![NamedTensor { name: "x".to_owned(), tensor }];
        let (model, version) = ("m".to_owned(), Some("3".to_owned()));
        let mut call = RemoteCall { model, version, inputs, priority: 7, sequence: None };
        for id in [SequenceId::Number(7), SequenceId::Number(u64::MAX), SequenceId::Text("a".to_owned())] {
            call.sequence = Some(SequenceStep { id, start: true, end: false });
            let decoded = super::super::request::decode(message(&call)).expect("it is a request");
            assert_eq!(decoded.sequence, call.sequence);
        }
        call.sequence = None;
        let sent = message(&call);
        assert_eq!((sent.model_name.as_str(), sent.model_version.as_str()), ("m", "3"));
        let decoded = super::super::request::decode(sent).expect("it is a request");
        assert_eq!((decoded.inputs, decoded.parameters.priority), (call.inputs, 7));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_told() {
        let output = InferOutputTensor {
            name: "y".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![2],
            ..InferOutputTensor::default()
        };
        for (raw, want) in [
            (vec![vec![0u8; 4]], "2 values of FP32 are not 4 bytes"),
            (vec![vec![0u8; 8], vec![]], "1 outputs and 2 raw contents"),
            (vec![], "neither contents nor raw"),
        ] {
            let raw_output_contents = raw.into_iter().map(Into::into).collect();
            let outputs = vec![output.clone()];
            let answer = ModelInferResponse { outputs, raw_output_contents, ..ModelInferResponse::default() };
            let told = read_answer(answer).expect_err(want);
            assert!(told.contains(want), "{told}");
        }
    }

    #[tokio::test]
    async fn a_server_that_takes_no_connection_keeps_every_caller_waiting_once() {
        let servers = GrpcServers::default();
        let link = servers.link(plain("far:1")).expect("a host and a port");
        let _connecting = link.connection.lock().await;
        let told =
            servers.signature(plain("far:1"), "m", None, CONNECT_MAX * 60).await.expect_err("no connection");
        assert_eq!(told.kind, ErrorKind::Unavailable);
        assert_eq!(told.message, "it took no connection within 1 s");
    }

    #[test]
    fn an_answer_that_is_too_large_is_not_the_callers_fault() {
        assert_eq!(failure(&Status::out_of_range("too large")).kind, ErrorKind::Internal);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unavailable() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = listener.local_addr().expect("bound").to_string();
        drop(listener);
        let told = GrpcServers::default().signature(plain(&server), "m", None, Duration::from_secs(2)).await;
        assert_eq!(told.map_err(|failure| failure.kind), Err(ErrorKind::Unavailable));
    }
}
