//! The calls, and trying again within a call's time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::HeaderName;
use hyper::http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{Method, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::about::{ModelMetadata, ServerMetadata};
use crate::address::{Address, model_path};
use crate::error::{ClientError, unreadable};
use crate::http::{Connections, Reply};
use crate::inference::{Encoded, Inference, InferenceAnswer};
use crate::sequence::ModelSequence;

/// The header that says how many bytes of a body are JSON, where tensors follow.
const JSON_BYTES: HeaderName = HeaderName::from_static("inference-header-content-length");
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long a call may take and how often it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The time of a call, tries and pauses included. With [`Client::infer`] each try tells the server what is left
    /// of it, and it does not begin what is late. Rows by name ([`Client::predict`]) carry no deadline: there the
    /// server goes by its own.
    pub timeout: Duration,
    /// Tries of one call at most, the first included. Only what has certainly changed nothing
    /// ([`ClientError::changed_nothing`]), or changes nothing by running twice, is tried again.
    pub tries_max: u32,
    /// The pause before the second try; each further one is twice as long. The server may ask for a longer one.
    pub pause: Duration,
    /// Most bytes of an answer.
    pub answer_bytes_max: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            tries_max: 4,
            pause: Duration::from_millis(50),
            answer_bytes_max: 1 << 30,
        }
    }
}

/// A server to be asked. Calls may run at once; connections are kept and shared.
#[derive(Debug)]
pub struct Client {
    address: Address,
    connections: Connections,
    config: ClientConfig,
}

/// One call, as often as it is tried.
struct Call<'a> {
    method: Method,
    path: String,
    body: Body<'a>,
    /// Whether running it twice changes nothing.
    repeatable: bool,
}

/// What a call sends.
enum Body<'a> {
    /// The same with every try.
    Same(Bytes),
    /// Tensors, and how long the server may take, which each try tells anew.
    Tensors(&'a Inference),
}

impl Client {
    /// A client of the server at `http://host:port`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn new(url: &str, config: ClientConfig) -> Result<Self, ClientError> {
        let address = Address::parse(url)?;
        let connections = Connections::new(address.server.clone(), config.answer_bytes_max);
        Ok(Self { address, connections, config })
    }

    /// Another client of the same server whose calls may take this long; it has connections of its own.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        let config = ClientConfig { timeout, ..self.config.clone() };
        let connections = Connections::new(self.address.server.clone(), config.answer_bytes_max);
        Self { address: self.address.clone(), connections, config }
    }

    /// Whether the server runs.
    ///
    /// # Errors
    /// Where it cannot be reached.
    pub async fn is_live(&self) -> Result<bool, ClientError> {
        self.is_well("/v2/health/live".to_owned()).await
    }

    /// Whether the server takes requests and every model answers.
    ///
    /// # Errors
    /// Where it cannot be reached.
    pub async fn is_ready(&self) -> Result<bool, ClientError> {
        self.is_well("/v2/health/ready".to_owned()).await
    }

    /// Whether a model, or a version of it, answers.
    ///
    /// # Errors
    /// Where the server cannot be reached. A model that it does not have is not ready.
    pub async fn is_model_ready(&self, model: &str, version: Option<&str>) -> Result<bool, ClientError> {
        self.is_well(format!("{}/ready", model_path("/v2/models", model, version))).await
    }

    /// What the server is.
    ///
    /// # Errors
    /// Where it cannot be reached or answers otherwise than the protocol says.
    pub async fn server_metadata(&self) -> Result<ServerMetadata, ClientError> {
        self.get("/v2".to_owned()).await
    }

    /// What a model, or a version of it, takes and gives.
    ///
    /// # Errors
    /// As [`Client::server_metadata`], and a model or version that the server does not have.
    pub async fn model_metadata(
        &self,
        model: &str,
        version: Option<&str>,
    ) -> Result<ModelMetadata, ClientError> {
        let reply = self.ask(&Call::get(model_path("/v2/models", model, version))).await?;
        ModelMetadata::from_json(&reply.body)
    }

    /// Tensors in, tensors out.
    ///
    /// # Errors
    /// What the server refuses, and as [`Client::server_metadata`].
    pub async fn infer(&self, inference: &Inference) -> Result<InferenceAnswer, ClientError> {
        let place = model_path("/v2/models", &inference.model, inference.version.as_deref());
        let call = Call {
            method: Method::POST,
            path: format!("{place}/infer"),
            body: Body::Tensors(inference),
            // A sequence would go on twice; one that begins begins anew.
            repeatable: inference.sequence.as_ref().is_none_or(|place| place.start),
        };
        let reply = self.ask(&call).await?;
        let json_bytes =
            reply.parts.headers.get(JSON_BYTES).and_then(|value| value.to_str().ok()?.parse().ok());
        InferenceAnswer::decode(&reply.body, json_bytes)
    }

    /// A series in pieces, which the model remembers from step to step. Nothing is sent yet.
    pub fn sequence(&self, model: &str) -> ModelSequence<'_> {
        ModelSequence::new(self, model)
    }

    /// Rows by name in, named answers out, one for each row.
    ///
    /// # Errors
    /// As [`Client::infer`].
    pub async fn predict(
        &self,
        model: &str,
        version: Option<&str>,
        rows: &[Value],
    ) -> Result<Vec<Value>, ClientError> {
        #[derive(Deserialize)]
        struct Told {
            predictions: Vec<Value>,
        }
        let call = Call {
            method: Method::POST,
            path: format!("{}:predict", model_path("/v1/models", model, version)),
            body: Body::Same(json!({ "instances": rows }).to_string().into()),
            repeatable: true,
        };
        let Told { predictions } = read(&self.ask(&call).await?)?;
        match predictions.len() == rows.len() {
            true => Ok(predictions),
            false => Err(unreadable(format!("it has {} answers to {} rows", predictions.len(), rows.len()))),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, ClientError> {
        read(&self.ask(&Call::get(path)).await?)
    }

    async fn is_well(&self, path: String) -> Result<bool, ClientError> {
        let call = Call::get(path);
        let once = self.connections.send(self.request(&call, self.config.timeout)?);
        let late = |_| ClientError::DeadlineExceeded { time: self.config.timeout, last: None };
        let reply = tokio::time::timeout(self.config.timeout, once).await.map_err(late)??;
        Ok(reply.parts.status.is_success())
    }

    /// Sends a call until it is answered well, may not be sent again, or its time is over.
    async fn ask(&self, call: &Call<'_>) -> Result<Reply, ClientError> {
        let mut last = None;
        let tries = self.tries(call, Instant::now(), &mut last);
        match tokio::time::timeout(self.config.timeout, tries).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let last = last.map(Box::new);
                Err(ClientError::DeadlineExceeded { time: self.config.timeout, last })
            }
        }
    }

    async fn tries(
        &self,
        call: &Call<'_>,
        began: Instant,
        last: &mut Option<ClientError>,
    ) -> Result<Reply, ClientError> {
        let mut pause = self.config.pause;
        for _ in 1..self.config.tries_max.max(1) {
            let (error, asked) = match self.send(call, began).await {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            if !error.may_pass() || !(call.repeatable || error.changed_nothing()) {
                return Err(error);
            }
            let wait = pause.max(asked).min(PAUSE_MAX);
            // Nothing is under way, and nothing more would be: what is known is not in doubt.
            if wait >= self.config.timeout.saturating_sub(began.elapsed()) {
                return Err(error);
            }
            *last = Some(error);
            tokio::time::sleep(wait).await;
            pause = pause.saturating_mul(2);
        }
        self.send(call, began).await.map_err(|(error, _)| error)
    }

    /// One try; where it fails also how long the server asks to wait.
    async fn send(&self, call: &Call<'_>, began: Instant) -> Result<Reply, (ClientError, Duration)> {
        let at_once = |error| (error, Duration::ZERO);
        let left = self.config.timeout.saturating_sub(began.elapsed());
        let request = self.request(call, left).map_err(at_once)?;
        let reply = self.connections.send(request).await.map_err(at_once)?;
        if reply.parts.status.is_success() {
            return Ok(reply);
        }
        let seconds =
            reply.parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let refusal = ClientError::refusal(reply.parts.status.as_u16(), &reply.body);
        Err((refusal, Duration::from_secs(seconds.unwrap_or(0))))
    }

    fn request(&self, call: &Call<'_>, left: Duration) -> Result<Request<Full<Bytes>>, ClientError> {
        let (body, json_bytes) = match &call.body {
            Body::Same(body) => (body.clone(), None),
            Body::Tensors(inference) => {
                // No time at all would mean as much as the server likes.
                let Encoded { body, json_bytes } = inference.encode(left.max(Duration::from_micros(1)))?;
                (Bytes::from(body), json_bytes)
            }
        };
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(self.address.path(&call.path))
            .header(HOST, self.connections.server());
        if let Some(bytes) = json_bytes {
            request = request.header(JSON_BYTES, bytes).header(CONTENT_TYPE, "application/octet-stream");
        } else if call.method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(Full::new(body)).map_err(|error| ClientError::Request { what: error.to_string() })
    }
}

impl Call<'_> {
    fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: Body::Same(Bytes::new()), repeatable: true }
    }
}

fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, ClientError> {
    serde_json::from_slice(&reply.body).map_err(|error| unreadable(error.to_string()))
}
