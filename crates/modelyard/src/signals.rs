//! Ctrl-C and SIGTERM: the first asks the work to stop cleanly, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::failure::{Exit, Failure};

/// Says when the user asked to stop, to code that waits and to code that computes.
#[derive(Clone, Debug)]
pub(crate) struct StopSignal {
    flag: Arc<AtomicBool>,
    changed: watch::Receiver<bool>,
}

impl StopSignal {
    /// Listens for SIGINT and SIGTERM from now on. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// Where the system refuses a signal handler.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let open =
            |kind: SignalKind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
        let (interrupt, terminate) = (open(SignalKind::interrupt())?, open(SignalKind::terminate())?);
        let flag = Arc::new(AtomicBool::new(false));
        let (sender, changed) = watch::channel(false);
        tokio::spawn(forward(interrupt, terminate, flag.clone(), sender));
        Ok(Self { flag, changed })
    }

    /// The flag that long computations look at between steps.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// Waits until stopping is asked for.
    pub(crate) async fn wait(mut self) {
        // The sender lives as long as the process; were it gone, stopping would be right as well.
        let _ = self.changed.wait_for(|stop| *stop).await;
    }
}

async fn forward(
    mut interrupt: Signal,
    mut terminate: Signal,
    flag: Arc<AtomicBool>,
    sender: watch::Sender<bool>,
) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(Exit::Interrupted as u8));
        }
        tracing::info!("stopping");
        sender.send_replace(true);
    }
}
