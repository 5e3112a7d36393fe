//! A training run on disk: everything that the steps to come depend on, so that a run that was stopped or killed
//! goes on as if it never had been.
//!
//! The file is `MYCHKPT1`, the length of a JSON header (8 bytes, little-endian), the header, and the parts whose
//! lengths the header lists: the engine, the order of the rows, and the best network so far.

use modelyard_model::Network;
use modelyard_registry::Checkpoints;
use modelyard_registry::document::EpochRecord;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::fingerprint::{project_digest, text_digest};
use crate::prepare::Prepared;
use crate::project::Project;
use crate::schedule::Memory;

const MAGIC: &[u8; 8] = b"MYCHKPT1";
const FORMAT_VERSION: u32 = 1;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    /// The epoch, from 1.
    pub(crate) epoch: usize,
    /// Mini-batches done in it.
    pub(crate) mini_batches: usize,
    /// The sum of this epoch's losses times their rows, as bits.
    pub(crate) loss_sum_bits: u64,
    /// The generator of row orders, after this epoch's.
    pub(crate) random: u64,
    /// Training time of this epoch so far, in seconds.
    pub(crate) seconds: f64,
}

/// What a run is of: a checkpoint goes with no other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) project_sha256: String,
    pub(crate) data_sha256: String,
    /// The network, as its JSON's digest.
    pub(crate) network_sha256: String,
    /// The digest of the model that it started from; empty where it drew its weights.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) start_sha256: String,
}

impl Identity {
    pub(crate) fn of(project: &Project, prepared: &Prepared) -> Self {
        let network = serde_json::to_string(&prepared.network).expect("a network spec is plain data");
        Self {
            project_sha256: project_digest(project),
            data_sha256: prepared.data_sha256.clone(),
            network_sha256: text_digest(&network),
            start_sha256: prepared
                .start
                .as_ref()
                .map(|start| start.record.digest.clone())
                .unwrap_or_default(),
        }
    }

    /// What differs, in words.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let pairs = [
            ("the network", &self.network_sha256, &other.network_sha256),
            ("the data", &self.data_sha256, &other.data_sha256),
            ("the model that it starts from", &self.start_sha256, &other.start_sha256),
            ("the project file", &self.project_sha256, &other.project_sha256),
        ];
        pairs.into_iter().filter(|(_, a, b)| a != b).map(|(what, ..)| what).collect()
    }
}

/// The best epoch so far.
#[derive(Clone, Debug)]
pub(crate) struct Best {
    pub(crate) epoch: usize,
    /// What early stopping watches.
    pub(crate) watched: f64,
    /// Its weights, where they are to be restored.
    pub(crate) network: Option<Network>,
}

/// A checkpoint in memory.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub(crate) identity: Identity,
    pub(crate) program: String,
    pub(crate) threads: usize,
    pub(crate) position: Position,
    pub(crate) memory: Memory,
    pub(crate) history: Vec<EpochRecord>,
    pub(crate) best: Option<Best>,
    pub(crate) order: Vec<usize>,
    /// The engine's state.
    pub(crate) engine: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format_version: u32,
    identity: Identity,
    program: String,
    threads: usize,
    position: Position,
    memory: Memory,
    history: Vec<EpochRecord>,
    best: Option<BestHeader>,
    engine_len: usize,
    order_len: usize,
    best_len: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BestHeader {
    epoch: usize,
    watched_bits: u64,
}

/// What is wrong with a checkpoint's bytes.
type Damage = String;

impl Checkpoint {
    /// The newest checkpoint that is whole and goes with the project and its data, and remarks on the way.
    ///
    /// # Errors
    /// [`TrainError::NoCheckpoint`] where there is none, [`TrainError::OtherCheckpoint`] where it is one of something
    /// else.
    pub fn newest(
        files: &Checkpoints,
        project: &Project,
        prepared: &Prepared,
        program: &str,
    ) -> Result<(Self, Vec<String>), TrainError> {
        let wanted = Identity::of(project, prepared);
        let mut remarks = Vec::new();
        for file in files.newest_first()? {
            let read = match files.load(&file)? {
                Some(bytes) => Self::from_bytes(&bytes, prepared, &wanted),
                None => Err("its bytes are not those that were written".to_owned()),
            };
            match read {
                Ok(Err(different)) => return Err(TrainError::OtherCheckpoint { different }),
                Err(damage) => remarks.push(format!(
                    "the checkpoint of step {} cannot be used ({damage}); trying the one before it",
                    file.step
                )),
                Ok(Ok(found)) => {
                    if found.program != program {
                        let written = &found.program;
                        remarks.push(format!("it was begun by {written}: {program} may round otherwise"));
                    }
                    return Ok((found, remarks));
                }
            }
        }
        Err(TrainError::NoCheckpoint { folder: files.path().to_owned(), damaged: remarks.len() })
    }

    /// The epoch in which it stands, from 1, and the mini-batches done in it.
    pub fn place(&self) -> (usize, usize) {
        (self.position.epoch, self.position.mini_batches)
    }

    /// The epochs that are over.
    pub fn history(&self) -> &[EpochRecord] {
        &self.history
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let best = self.best.as_ref().and_then(|best| best.network.as_ref());
        let best = best.map(Network::weights_safetensors).unwrap_or_default();
        let header = Header {
            format_version: FORMAT_VERSION,
            identity: self.identity.clone(),
            program: self.program.clone(),
            threads: self.threads,
            position: self.position.clone(),
            memory: self.memory.clone(),
            history: self.history.clone(),
            best: self
                .best
                .as_ref()
                .map(|best| BestHeader { epoch: best.epoch, watched_bits: best.watched.to_bits() }),
            engine_len: self.engine.len(),
            order_len: self.order.len(),
            best_len: best.len(),
        };
        let header = serde_json::to_vec(&header).expect("plain data");
        let order = self.order.iter().flat_map(|&row| (row as u64).to_le_bytes());
        let mut bytes =
            Vec::with_capacity(16 + header.len() + self.engine.len() + 8 * self.order.len() + best.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&self.engine);
        bytes.extend(order);
        bytes.extend_from_slice(&best);
        bytes
    }

    /// Reads a checkpoint, or says in what it is another run's.
    fn from_bytes(
        bytes: &[u8],
        prepared: &Prepared,
        wanted: &Identity,
    ) -> Result<Result<Self, Vec<&'static str>>, Damage> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("it is no checkpoint")?;
        let (length, rest) = rest.split_first_chunk::<8>().ok_or("it is cut short")?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| "its header is too long")?;
        let (header, rest) = rest.split_at_checked(length).ok_or("it is cut short")?;
        // The version first: what is newer may hold anything else.
        let head: Head = serde_json::from_slice(header).map_err(|error| error.to_string())?;
        if head.format_version > u64::from(FORMAT_VERSION) {
            return Err(format!("it has format version {}, newer than this program", head.format_version));
        }
        let header: Header = serde_json::from_slice(header).map_err(|error| error.to_string())?;
        let different = header.identity.differences(wanted);
        if !different.is_empty() {
            return Ok(Err(different));
        }
        let (engine, rest) = rest.split_at_checked(header.engine_len).ok_or("it is cut short")?;
        let (order, best) = header
            .order_len
            .checked_mul(8)
            .and_then(|order_len| rest.split_at_checked(order_len))
            .filter(|(_, best)| best.len() == header.best_len)
            .ok_or("it is cut short")?;
        let order =
            order.chunks_exact(8).map(|row| u64::from_le_bytes(row.try_into().expect("eight")) as usize);
        let network = match best.is_empty() {
            true => None,
            false => Some(best_network(prepared, best)?),
        };
        Ok(Ok(Self {
            best: header.best.map(|best| Best {
                epoch: best.epoch,
                watched: f64::from_bits(best.watched_bits),
                network,
            }),
            identity: header.identity,
            program: header.program,
            threads: header.threads,
            position: header.position,
            memory: header.memory,
            history: header.history,
            order: order.collect(),
            engine: engine.to_vec(),
        }))
    }
}

/// The first thing looked at in a header.
#[derive(Deserialize)]
struct Head {
    format_version: u64,
}

/// The best network: its weights are stored, the project tells the rest.
fn best_network(prepared: &Prepared, weights: &[u8]) -> Result<Network, Damage> {
    let declared = Network::init(prepared.network.clone(), 0).map_err(|error| error.to_string())?;
    Network::from_parts(declared.network_json().as_bytes(), weights).map_err(|error| error.to_string())
}
