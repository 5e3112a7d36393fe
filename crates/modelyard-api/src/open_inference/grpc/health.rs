//! The standard health check, for probes that speak gRPC.

use std::pin::Pin;
use std::time::Duration;

use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::proto::health::health_check_response::ServingStatus;
use super::proto::health::health_server::Health;
use super::proto::health::{HealthCheckRequest, HealthCheckResponse};
use crate::router::Service;

/// How often a watcher's answer is looked at again.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
const INFERENCE: &str = "inference.GRPCInferenceService";

/// Answers from what the server is just now.
pub(super) struct Check {
    service: Service,
}

impl Check {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// The status of the whole server (by the empty name or the protocol's), or of one model.
fn status_of(service: &Service, name: &str) -> Option<ServingStatus> {
    let server = &service.server;
    let ready = match name {
        "" | INFERENCE => server.is_ready(),
        model => server.model(model).ok()?.answering().is_some() && !server.is_draining(),
    };
    Some(if ready { ServingStatus::Serving } else { ServingStatus::NotServing })
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Check {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        match status_of(&self.service, &name) {
            Some(status) => Ok(Response::new(told(status))),
            None => Err(Status::not_found(format!("there is no service and no model {name:?}"))),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let name = request.into_inner().service;
        let service = self.service.clone();
        let mut last = None;
        let looks = tokio_stream::wrappers::IntervalStream::new(tokio::time::interval(WATCH_INTERVAL));
        let changes = looks.filter_map(move |_| {
            let status = status_of(&service, &name).unwrap_or(ServingStatus::ServiceUnknown);
            (last.replace(status) != Some(status)).then(|| Ok(told(status)))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
