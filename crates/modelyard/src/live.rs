//! When a version becomes `live` by itself, and how to make it so by hand.
//!
//! The first version of a model has nothing to put at risk, so it goes live where it passed its gates. After
//! that, moving the alias is somebody's own decision, except under `modelyard up`.

use std::path::Path;

use modelyard_registry::{GateRule, ModelVersion, Promotion, Registry};
use modelyard_types::Alias;

use crate::cli::STORE_FOLDER;
use crate::failure::Failure;
use crate::wiring;

/// Whether a version answers requests that name none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// It does.
    Yes,
    /// Another version does, or none.
    No,
}

impl Live {
    /// Whether this version, as the registry gave it, is live.
    pub(crate) fn of(version: &ModelVersion) -> Self {
        if version.aliases.contains(&Alias::live()) { Self::Yes } else { Self::No }
    }

    /// What that means, in a sentence that says how to change it.
    pub(crate) fn sentence(self, version: &ModelVersion, store: &Path) -> String {
        let store = match store == Path::new(STORE_FOLDER) {
            true => String::new(),
            false => format!(" --store {}", store.display()),
        };
        match self {
            Self::Yes => format!("it is live: modelyard serve{store}"),
            Self::No => format!(
                "it is not live; make it so: modelyard models promote {} {}{store}",
                version.name, version.version
            ),
        }
    }
}

/// Points `live` at a version, if it passed its gates and the model has no live version yet.
///
/// # Errors
/// A store that cannot be used.
pub(crate) async fn first_goes_live(registry: &Registry, version: &ModelVersion) -> Result<Live, Failure> {
    let live = Alias::live();
    let versions = registry.versions(&version.name).await?;
    match versions.iter().find(|other| other.aliases.contains(&live)) {
        Some(holder) if holder.version == version.version => Ok(Live::Yes),
        Some(_) => Ok(Live::No),
        None if version.gates_passed => go_live(registry, version, "the first version").await,
        None => Ok(Live::No),
    }
}

/// Points `live` at a version that passed its gates.
///
/// # Errors
/// A version that missed a gate, or a store that cannot be used.
pub(crate) async fn go_live(registry: &Registry, version: &ModelVersion, why: &str) -> Result<Live, Failure> {
    let promotion = Promotion {
        name: version.name.clone(),
        alias: Alias::live(),
        version: version.version,
        gates: GateRule::MustPass,
        by: wiring::caller(),
        why: why.to_owned(),
    };
    registry.promote(promotion).await?;
    Ok(Live::Yes)
}
