//! What stands behind a version: sessions of its network, or a graph of other models.

use std::sync::Arc;

use modelyard_runtime::LoadedModel;
use modelyard_types::Signature;

use crate::error::ServeError;
use crate::graph::GraphRun;
use crate::journey::Journey;
use crate::pool::{Pool, Ran, Work};
use crate::telemetry::VersionTelemetry;

pub(super) enum Engine {
    Sessions { network: Arc<dyn LoadedModel>, pool: Pool },
    Graph(Box<GraphRun>),
}

impl Engine {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sessions { network, .. } => network.runtime(),
            Self::Graph(_) => "graph",
        }
    }

    pub(super) fn signature(&self) -> &Signature {
        match self {
            Self::Sessions { network, .. } => network.signature(),
            Self::Graph(graph) => graph.signature(),
        }
    }

    pub(super) fn telemetry(&self) -> &VersionTelemetry {
        match self {
            Self::Sessions { pool, .. } => pool.telemetry(),
            Self::Graph(graph) => graph.telemetry(),
        }
    }

    /// Most rows of one batch; none where requests are not joined. A graph's requests are joined step by step.
    pub(super) fn batch_rows_max(&self) -> Option<usize> {
        match self {
            Self::Sessions { pool, .. } => pool.batch_rows_max(),
            Self::Graph(_) => None,
        }
    }

    /// Whether not one more row would be taken.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Sessions { pool, .. } => pool.is_full(),
            Self::Graph(graph) => graph.is_full(),
        }
    }

    /// Rows that wait; for a graph those under way, which wait at one of its steps or another.
    pub(super) fn queued_rows(&self) -> usize {
        match self {
            Self::Sessions { pool, .. } => pool.queued_rows(),
            Self::Graph(graph) => graph.rows(),
        }
    }

    /// Batches that may be computed at once just now; a graph computes none itself.
    pub(super) fn sessions_at_once(&self) -> usize {
        match self {
            Self::Sessions { pool, .. } => pool.sessions_at_once(),
            Self::Graph(_) => 0,
        }
    }

    /// Runs a request, of whose journey only graphs want to know.
    pub(super) async fn run(&self, work: Work, journey: Journey) -> Result<Ran, ServeError> {
        match self {
            Self::Sessions { pool, .. } => pool.run(work).await,
            Self::Graph(graph) => graph.run(work, journey).await,
        }
    }
}
