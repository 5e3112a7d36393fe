//! The regions that clients registered, and what is read from them and written into them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use modelyard_client::raw;
use modelyard_types::{ErrorKind, NamedTensor, Tensor};
use serde::Serialize;

use super::objects::{open_object, read_at, write_at};
use super::{Place, SharedInput};
use crate::error::Failure;
use crate::open_inference::request::DecodedRequest;

/// Where Linux shows the objects of POSIX shared memory (shm_overview(7)).
const OBJECTS: &str = "/dev/shm";
/// Each region holds a descriptor.
const REGIONS_MAX: usize = 256;
/// Most bytes of a region's name, and of an object's.
const NAME_BYTES_MAX: usize = 255;

/// A region as it was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Told {
    /// What requests call it.
    pub(crate) name: String,
    /// The object of shared memory, such as `/frames`.
    pub(crate) key: String,
    /// Where in the object it begins.
    pub(crate) offset: u64,
    /// Its size.
    pub(crate) byte_size: u64,
}

struct Region {
    told: Told,
    object: File,
}

type ByName = BTreeMap<String, Arc<Region>>;

/// All regions; none where the server was not told to share memory.
#[derive(Clone, Default)]
pub(crate) struct Regions(Option<Arc<Mutex<ByName>>>);

impl Regions {
    /// Of a server that shares memory with clients, or does not.
    pub(crate) fn new(shares: bool) -> Self {
        Self(shares.then(Arc::default))
    }

    fn all(&self) -> Result<MutexGuard<'_, ByName>, Failure> {
        let all = self.0.as_ref().ok_or_else(|| {
            let message = "this server shares no memory with its clients";
            Failure::new(ErrorKind::PermissionDenied, message)
                .with_hint("start it with --shared-memory, or send the values with the request")
        })?;
        // A map is whole after every statement that can panic.
        Ok(all.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes up a region.
    ///
    /// # Errors
    /// A server that shares none, a name that is taken, an object that is not there or too small.
    pub(crate) fn register(&self, told: Told) -> Result<(), Failure> {
        let mut all = self.all()?;
        if told.name.is_empty() || told.name.len() > NAME_BYTES_MAX {
            return Err(Failure::invalid(format!("a region's name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        if all.contains_key(&told.name) {
            let message = format!("the region {:?} is registered already", told.name);
            // The status that Triton's clients over HTTP know.
            let taken = Failure::new(ErrorKind::AlreadyExists, message).with_status(StatusCode::BAD_REQUEST);
            return Err(taken.with_hint("unregister it first, or choose another name"));
        }
        if all.len() >= REGIONS_MAX {
            let message = format!("{REGIONS_MAX} regions are registered, which is all that are taken");
            let full = Failure::new(ErrorKind::ResourceExhausted, message);
            return Err(full.with_hint("unregister those that are not used any more"));
        }
        let object = open(&told)?;
        all.insert(told.name.clone(), Arc::new(Region { told, object }));
        Ok(())
    }

    /// Lets go of a region, or of all. One that is not there is as good as gone.
    pub(crate) fn unregister(&self, name: Option<&str>) {
        if let Ok(mut all) = self.all() {
            match name {
                Some(name) => drop(all.remove(name)),
                None => all.clear(),
            }
        }
    }

    /// The region of this name, or all.
    ///
    /// # Errors
    /// None of this name.
    pub(crate) fn told(&self, name: Option<&str>) -> Result<Vec<Told>, Failure> {
        match name {
            Some(name) => Ok(vec![self.find(name)?.told.clone()]),
            None if self.0.is_none() => Ok(Vec::new()),
            None => Ok(self.all()?.values().map(|region| region.told.clone()).collect()),
        }
    }

    fn find(&self, name: &str) -> Result<Arc<Region>, Failure> {
        let region = self.all()?.get(name).cloned();
        region.ok_or_else(|| {
            let message = format!("no shared memory region {name:?} is registered");
            Failure::new(ErrorKind::NotFound, message).with_hint("register it first")
        })
    }

    /// Makes inputs of those whose values lie in regions, and gives where its outputs are to go: those regions stay,
    /// whatever becomes of their names meanwhile.
    ///
    /// # Errors
    /// A region that is not there, a place beyond its end, more bytes than a body may have, or values that are not
    /// what type and shape say.
    pub(crate) fn fill(
        &self,
        request: &mut DecodedRequest,
        bytes_max: usize,
    ) -> Result<Vec<Reserved>, Failure> {
        let mut reserved = Vec::new();
        for output in &request.outputs {
            if let Some(place) = &output.place {
                let region = self.find(&place.region)?;
                let range = region.within(place)?;
                reserved.push(Reserved { output: output.name.clone(), region, range });
            }
        }
        let bytes: u64 = request.shared.iter().fold(0, |sum, input| sum.saturating_add(input.place.bytes));
        if bytes > bytes_max as u64 {
            let message =
                format!("the inputs in shared memory have {bytes} bytes, at most {bytes_max} are read");
            return Err(Failure::new(ErrorKind::TooLarge, message)
                .with_hint("split the request, or raise the server's body limit"));
        }
        for input in std::mem::take(&mut request.shared) {
            request.inputs.push(self.read(input)?);
        }
        Ok(reserved)
    }

    fn read(&self, input: SharedInput) -> Result<NamedTensor, Failure> {
        let SharedInput { name, data_type, shape, place } = input;
        let region = self.find(&place.region)?;
        let range = region.within(&place)?;
        let unfit = |what: String| Failure::invalid(format!("input {name:?}: {what}"));
        let length = usize::try_from(place.bytes).unwrap_or(usize::MAX);
        let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
        let count = count.ok_or_else(|| unfit(format!("shape {shape:?} has too many elements")))?;
        // Before any room is made for them.
        let wanted = data_type.size_bytes().map(|size| count.saturating_mul(size));
        if let Some(wanted) = wanted.filter(|&wanted| wanted != length) {
            let place = format!("its place in shared memory {length}");
            return Err(unfit(format!("shape {shape:?} of {data_type} has {wanted} bytes, {place}")));
        }
        let mut bytes = vec![0; length];
        read_at(&region.object, &mut bytes, range.start).map_err(|error| {
            region.failed("read", &error, "its owner may have made it shorter since it was registered")
        })?;
        let data = raw::read(data_type, count, &bytes).map_err(unfit)?;
        let tensor = Tensor::new(shape, data).map_err(|error| unfit(error.to_string()))?;
        Ok(NamedTensor { name, tensor })
    }
}

/// Where an output is to go.
pub(crate) struct Reserved {
    output: String,
    region: Arc<Region>,
    /// Bytes of the object.
    range: Range<u64>,
}

/// Writes outputs where they were asked to be.
///
/// # Errors
/// One that is larger than its place, or an object that was cut short.
pub(crate) fn put(reserved: &[Reserved], outputs: &[NamedTensor]) -> Result<(), Failure> {
    for Reserved { output: name, region, range } in reserved {
        let Some(output) = outputs.iter().find(|output| output.name == *name) else { continue };
        let (size, room) = (raw::size(output.tensor.data()), range.end - range.start);
        if size as u64 > room {
            let message = format!("output {name:?} has {size} bytes, its place in shared memory {room}");
            return Err(Failure::invalid(message).with_hint("make shared_memory_byte_size as large at least"));
        }
        let mut bytes = Vec::with_capacity(size);
        raw::write(&mut bytes, output.tensor.data());
        region.write(&bytes, range).map_err(|error| {
            let hint = "its owner may have made it shorter, or there is no memory left for it";
            region.failed("write", &error, hint)
        })?;
    }
    Ok(())
}

impl Region {
    /// A place's bytes, counted from the object's start.
    fn within(&self, place: &Place) -> Result<Range<u64>, Failure> {
        let end = place.offset.checked_add(place.bytes).filter(|&end| end <= self.told.byte_size);
        let end = end.ok_or_else(|| {
            let Place { region, offset, bytes } = place;
            let size = self.told.byte_size;
            Failure::invalid(format!(
                "{bytes} bytes from {offset} on are beyond the {size} of the region {region:?}"
            ))
        })?;
        Ok(self.told.offset + place.offset..self.told.offset + end)
    }

    fn write(&self, bytes: &[u8], range: &Range<u64>) -> io::Result<()> {
        // Writing beyond its end would make the object grow again.
        if self.object.metadata()?.len() < range.end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_at(&self.object, bytes, range.start)
    }

    fn failed(&self, doing: &str, error: &io::Error, hint: &str) -> Failure {
        let Told { name, key, .. } = &self.told;
        Failure::invalid(format!("cannot {doing} the region {name:?} ({key}): {error}")).with_hint(hint)
    }
}

/// The object that a region lies in.
///
/// # Errors
/// A key that is no object's name, an object that cannot be opened, or one that the region goes beyond.
fn open(told: &Told) -> Result<File, Failure> {
    let key = &told.key;
    let name = key.strip_prefix('/').unwrap_or(key);
    let is_name =
        !name.contains(['/', '\0']) && !["", ".", ".."].contains(&name) && name.len() <= NAME_BYTES_MAX;
    if !is_name {
        return Err(Failure::invalid(format!("the key {key:?} names no shared memory"))
            .with_hint("give the name that the object was made with, such as /frames"));
    }
    let path = PathBuf::from(OBJECTS).join(name);
    let opened = open_object(&path).and_then(|object| Ok((object.metadata()?, object)));
    let (about, object) = opened.map_err(|error| {
        Failure::invalid(format!("the shared memory {key:?} cannot be opened: {error}"))
            .with_hint("make it first, on the server's machine, with rights for the server's user")
    })?;
    let end = told.offset.checked_add(told.byte_size);
    if !about.is_file() || told.byte_size == 0 || end.is_none_or(|end| end > about.len()) {
        let Told { offset, byte_size, .. } = told;
        let message =
            format!("{byte_size} bytes from {offset} on do not lie in {key:?}, which has {}", about.len());
        return Err(Failure::invalid(message));
    }
    Ok(object)
}
