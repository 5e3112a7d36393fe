//! The calls of the shared memory extension.

use tonic::Status;

use super::proto::inference::system_shared_memory_status_response::RegionStatus;
use super::proto::inference::{
    SystemSharedMemoryRegisterRequest, SystemSharedMemoryRegisterResponse, SystemSharedMemoryStatusRequest,
    SystemSharedMemoryStatusResponse, SystemSharedMemoryUnregisterRequest,
    SystemSharedMemoryUnregisterResponse,
};
use super::status::refuse;
use crate::open_inference::shared_memory::Told;
use crate::router::Service;

/// Without a name, all are meant.
fn named(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

/// The region named, or all.
pub(super) fn told(
    service: &Service,
    request: &SystemSharedMemoryStatusRequest,
) -> Result<SystemSharedMemoryStatusResponse, Status> {
    let told = service.regions.told(named(&request.name)).map_err(|failure| refuse(service, failure))?;
    let one = |Told { name, key, offset, byte_size }: Told| {
        (name.clone(), RegionStatus { name, key, offset, byte_size })
    };
    Ok(SystemSharedMemoryStatusResponse { regions: told.into_iter().map(one).collect() })
}

/// Takes up a region.
pub(super) fn register(
    service: &Service,
    request: SystemSharedMemoryRegisterRequest,
) -> Result<SystemSharedMemoryRegisterResponse, Status> {
    let SystemSharedMemoryRegisterRequest { name, key, offset, byte_size } = request;
    let registered = service.regions.register(Told { name, key, offset, byte_size });
    registered.map_err(|failure| refuse(service, failure))?;
    Ok(SystemSharedMemoryRegisterResponse {})
}

/// Lets go of the region named, or of all.
pub(super) fn unregister(
    service: &Service,
    request: &SystemSharedMemoryUnregisterRequest,
) -> SystemSharedMemoryUnregisterResponse {
    service.regions.unregister(named(&request.name));
    SystemSharedMemoryUnregisterResponse {}
}
