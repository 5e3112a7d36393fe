//! Objects of shared memory as the files that they are, where the system has such.

use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(unix)]
pub(super) fn open_object(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    // As shm_open does: no way out of the folder by a link; and no waiting where it is a pipe.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    File::options().read(true).write(true).custom_flags(flags).open(path)
}

#[cfg(unix)]
pub(super) fn read_at(object: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(object, bytes, at)
}

#[cfg(unix)]
pub(super) fn write_at(object: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(object, bytes, at)
}

#[cfg(not(unix))]
pub(super) fn open_object(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
pub(super) fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
pub(super) fn write_at(_: &File, _: &[u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
