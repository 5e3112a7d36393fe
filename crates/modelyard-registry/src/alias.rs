//! Moving an alias from version to version, walking back, and the history of both.

use modelyard_types::{Alias, Caller, ModelName, Version};

use crate::registry::Registry;
use crate::{ModelVersion, RegistryError};

/// Whether a version may be promoted that missed a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateRule {
    /// Refuse a version that missed a gate.
    MustPass,
    /// Promote it all the same.
    Override,
}

/// The wish to point an alias at a version.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// The model.
    pub name: ModelName,
    /// The alias to move; it is made where it is new.
    pub alias: Alias,
    /// Where it shall point.
    pub version: Version,
    /// What to do about a missed gate.
    pub gates: GateRule,
    /// Who asks.
    pub by: Caller,
    /// The reason, for the history.
    pub why: String,
}

/// How an alias came to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveKind {
    /// Somebody chose the version.
    Promote,
    /// Somebody went back to what it was before.
    Rollback,
}

impl MoveKind {
    /// The stable name, as the database and JSON show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Rollback => "rollback",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Promote, Self::Rollback].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One line of an alias's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasMove {
    /// The alias.
    pub alias: Alias,
    /// How.
    pub kind: MoveKind,
    /// Where it pointed before; none when it was new.
    pub from: Option<Version>,
    /// Where it points since.
    pub to: Version,
    /// When, in milliseconds since 1970 (UTC).
    pub at_unix_ms: u64,
    /// Who asked.
    pub by: String,
    /// The reason given.
    pub why: String,
}

impl Registry {
    /// Points an alias at a version. Where it points there already, nothing changes and the move that
    /// brought it there is returned.
    ///
    /// # Errors
    /// [`RegistryError::GatesMissed`] where the version missed a gate and that is not overridden;
    /// [`RegistryError::NoSuchModel`] or [`RegistryError::NoSuchVersion`].
    pub async fn promote(&self, promotion: Promotion) -> Result<AliasMove, RegistryError> {
        let Promotion { name, alias, version, gates, by, why } = promotion;
        let mut rows = self.write().await?;
        let target = rows.version(&name, version).await?;
        let Some(target) = target else {
            drop(rows);
            return Err(self.no_such_version(&name, version).await?);
        };
        if !target.gates_passed && gates == GateRule::MustPass {
            return Err(RegistryError::GatesMissed { name, version, alias });
        }
        let current = rows.current_move(&name, &alias).await?;
        if let Some(current) = &current
            && current.to == version
        {
            let done = rows.alias_move(current.id).await?;
            return Ok(done);
        }
        let done = AliasMove {
            alias,
            kind: MoveKind::Promote,
            from: current.as_ref().map(|current| current.to),
            to: version,
            at_unix_ms: self.now_unix_ms(),
            by: by.0,
            why,
        };
        let before = current.map(|current| current.id);
        rows.move_alias(&name, &done, before).await?;
        rows.commit().await?;
        Ok(done)
    }

    /// Points an alias back at what it was before the promotion that brought it where it is. Repeated, it
    /// walks further back, as undo does: a rollback is never itself rolled back to.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchAlias`]; [`RegistryError::NothingBefore`] at the first version it ever had.
    pub async fn rollback(
        &self,
        name: &ModelName,
        alias: &Alias,
        by: &Caller,
        why: &str,
    ) -> Result<AliasMove, RegistryError> {
        let mut rows = self.write().await?;
        let current = rows.current_move(name, alias).await?;
        let Some(current) = current else {
            drop(rows);
            return Err(self.no_such_alias(name, alias).await?);
        };
        let Some(target) = current.before else {
            return Err(RegistryError::NothingBefore {
                name: name.clone(),
                alias: alias.clone(),
                version: current.to,
            });
        };
        let target = rows.move_link(target).await?;
        let done = AliasMove {
            alias: alias.clone(),
            kind: MoveKind::Rollback,
            from: Some(current.to),
            to: target.to,
            at_unix_ms: self.now_unix_ms(),
            by: by.0.clone(),
            why: why.to_owned(),
        };
        rows.move_alias(name, &done, target.before).await?;
        rows.commit().await?;
        Ok(done)
    }

    /// Every move of every alias of a model, newest first.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`].
    pub async fn history(&self, name: &ModelName) -> Result<Vec<AliasMove>, RegistryError> {
        let mut rows = self.read().await?;
        let moves = rows.history(name).await?;
        drop(rows);
        if moves.is_empty() {
            self.must_know(name).await?;
        }
        Ok(moves)
    }

    /// What an alias points at now.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`] or [`RegistryError::NoSuchAlias`].
    pub(crate) async fn resolve(
        &self,
        name: &ModelName,
        alias: &Alias,
    ) -> Result<ModelVersion, RegistryError> {
        let mut rows = self.read().await?;
        let current = rows.current_move(name, alias).await?;
        let Some(current) = current else {
            drop(rows);
            return Err(self.no_such_alias(name, alias).await?);
        };
        let found = rows.version(name, current.to).await?;
        found.ok_or_else(|| RegistryError::BrokenRow {
            what: format!("alias {alias} of {name}"),
            why: format!("it points at version {}, which is not there", current.to),
        })
    }
}
