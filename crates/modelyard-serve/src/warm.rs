//! A network whose every session runs some requests before it is handed out, so that no caller pays for what
//! an engine puts off until its first runs.

use std::sync::Arc;

use modelyard_runtime::{LoadedModel, RuntimeError, Session};
use modelyard_types::{NamedTensor, Signature};

struct Warm {
    network: Arc<dyn LoadedModel>,
    requests: Vec<Vec<NamedTensor>>,
}

/// The network, with sessions that ran these requests.
pub(crate) fn warm(network: Arc<dyn LoadedModel>, requests: &[Vec<NamedTensor>]) -> Arc<dyn LoadedModel> {
    match requests {
        [] => network,
        requests => Arc::new(Warm { network, requests: requests.to_vec() }),
    }
}

impl LoadedModel for Warm {
    fn runtime(&self) -> &'static str {
        self.network.runtime()
    }

    fn signature(&self) -> &Signature {
        self.network.signature()
    }

    fn session(&self) -> Result<Box<dyn Session>, RuntimeError> {
        let mut session = self.network.session()?;
        for request in &self.requests {
            session.run(request)?;
        }
        Ok(session)
    }

    fn stepwise(&self) -> Result<Arc<dyn LoadedModel>, RuntimeError> {
        // The requests are whole ones: they do not fit the other form.
        self.network.stepwise()
    }
}
