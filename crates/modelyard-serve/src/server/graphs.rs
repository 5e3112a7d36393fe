//! Graphs of models among the served models: offered under their own names, opened by their steps.

use std::sync::Arc;

use modelyard_registry::document::WiredGraph;
use modelyard_types::{ModelName, VersionSelector};

use super::Server;
use super::offer::Offer;
use crate::error::ServeError;
use crate::graph::{RemoteModels, Surroundings};
use crate::rollout::Routed;
use crate::version::Wanted;

impl Server {
    /// Lets graphs reach other servers from now on; the first way that is given stays.
    pub fn reach_by(&self, remote: Arc<dyn RemoteModels>) {
        // A second one would speak to the same servers in the same way.
        let _ = self.remote.set(remote);
    }

    /// Offers a graph; as it was where neither it nor what its models take and give changed.
    pub(super) fn join(&self, name: &ModelName, offer: &mut Offer, graph: WiredGraph) {
        let Some(source) = offer.versions.last().copied() else { return };
        offer.wanted = Some(source.version);
        let live = offer.live.as_ref().filter(|live| live.is(&source, &offer.settings));
        if live.and_then(|live| live.graph()).is_some_and(|wired| *wired == graph) {
            return;
        }
        let (server, remote) = (self.me.clone(), Arc::clone(&self.remote));
        let rows_max = offer.settings.limits(self.config()).queue_rows_max;
        let around = Surroundings { server, remote, clock: Arc::clone(&self.loader.clock), rows_max };
        let wanted = Wanted { model: name.clone(), source, settings: Arc::clone(&offer.settings) };
        match self.loader.join(wanted, graph, around) {
            Ok(joined) => {
                tracing::info!(graph = %name, version = source.version.get(), "a graph serves now");
                offer.live = Some(Arc::new(joined));
            }
            Err(error) => offer.problem = Some(error.to_string()),
        }
    }

    /// The version that answers for a step: as for a request from outside that says nothing of itself.
    ///
    /// # Errors
    /// As [`Server::open`]; nothing is counted, for the graph's own request is.
    pub(crate) async fn open_for_step(
        &self,
        model: &ModelName,
        version: Option<&VersionSelector>,
    ) -> Result<Routed, ServeError> {
        if let Some(chosen) = self.choose(model.as_str(), version, &|_| None) {
            return Ok(chosen);
        }
        let version = self.find(model.as_str(), version).await?;
        self.touch(&version);
        Ok(version.into())
    }
}
