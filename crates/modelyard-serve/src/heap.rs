//! Gives the memory of unloaded networks back to the operating system.
//!
//! The C library keeps what a program frees for the next time it asks: large pieces once it has seen such pieces
//! come and go, and of each thread's heap what lies at its end. After networks of a hundred megabytes were loaded
//! and unloaded a few times, half of them would stay with the process for ever.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a thread is about to give memory back.
static UNDER_WAY: AtomicBool = AtomicBool::new(false);

/// Tells the C library, for the whole process, to keep little of what is freed.
pub(crate) fn keep_little() {
    library::keep_little();
}

/// Lies behind a network, as its owner's last field: once both are gone, free memory is given back.
pub(crate) struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        // Looking through the heap takes milliseconds, and whoever holds a network last may be answering requests.
        if !UNDER_WAY.swap(true, Ordering::AcqRel) {
            let thread = std::thread::Builder::new().name("give back".to_owned());
            if let Err(error) = thread.spawn(give_back) {
                UNDER_WAY.store(false, Ordering::Release);
                tracing::debug!(%error, "free memory stays with the process");
            }
        }
    }
}

fn give_back() {
    // First, so that what is freed from here on is asked for again.
    UNDER_WAY.store(false, Ordering::Release);
    library::trim();
}

/// The GNU C library: mallopt(3) and malloc_trim(3).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod library {
    /// Pieces of this size and more are the operating system's as soon as they are freed. The weights of large
    /// layers are larger; what a request needs is mostly smaller, and is kept.
    const OWN_PAGES_BYTES: i32 = 4 << 20;
    /// What may stay at the end of a thread's heap.
    const END_BYTES: i32 = 8 << 20;

    pub(super) fn keep_little() {
        // SAFETY: both take two numbers, and may be called by any thread at any time.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES_BYTES);
            libc::mallopt(libc::M_TRIM_THRESHOLD, END_BYTES);
        }
    }

    pub(super) fn trim() {
        // SAFETY: it takes a number, and may be called by any thread at any time.
        unsafe { libc::malloc_trim(0) };
    }
}

/// Other C libraries give memory back by themselves, or not at all.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod library {
    pub(super) fn keep_little() {}

    pub(super) fn trim() {}
}
