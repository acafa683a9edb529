//! Signal handlers: the first SIGINT (Ctrl-C), SIGTERM, SIGQUIT or SIGHUP ends watching, a second SIGINT or SIGTERM ends
//! the process. What is printed then is made in `command/live.rs` and `output/view.rs`.

use std::{fs, process, thread};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::exit;
use crate::error::RunError;

/// SIGINT, SIGQUIT, SIGTERM and SIGHUP: each ends watching, after the final drain and the summary.
pub(crate) struct Signals {
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Sets the handlers.
    ///
    /// # Errors
    /// The kernel refused one.
    pub(crate) fn listen() -> Result<Self, RunError> {
        let of = |kind| signal(kind).map_err(RunError::Runtime);
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            quit: of(SignalKind::quit())?,
            terminate: of(SignalKind::terminate())?,
            // A handler would undo nohup(1).
            hangup: if ignores_hangup() { None } else { Some(of(SignalKind::hangup())?) },
        })
    }

    /// Waits for any of them.
    pub(crate) async fn end(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// True when whoever started us had SIGHUP (the lowest bit of the mask in proc_pid_status(5)) ignored.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// From now on SIGINT and SIGTERM end the process at once, even while it waits for a reader that does not read. Not
/// SIGHUP: a terminal that closes sends it more than once.
pub(crate) fn end_at_once_on_the_next() {
    // Without the thread a stalled final print can only be killed: no reason not to print.
    let _none: Option<thread::JoinHandle<()>> =
        thread::Builder::new().name("signals".to_string()).spawn(end_at_once).ok();
}

fn end_at_once() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let heard = runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt()).ok()?, signal(SignalKind::terminate()).ok()?);
        tokio::select! {
            heard = interrupt.recv() => heard,
            heard = terminate.recv() => heard,
        }
    });
    if heard.is_some() {
        process::exit(i32::from(exit::FAILED));
    }
}
