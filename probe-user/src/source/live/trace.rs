//! Feature `trace`: what the kernel program says, through aya-log, of frames that it rejects or finds no room for.
//!
//! Only hands over lines; who prints them decides where. The program limits how many there are.

use std::sync::{Arc, Mutex, PoisonError};

use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use super::{LiveError, engine::Engine};

/// The reading end of the program's log.
pub struct Trace {
    logger: EbpfLogger<Lines>,
    lines: Lines,
}

impl Trace {
    /// Takes the log of an engine that was loaded with [`trace`](super::engine::EngineConfig::trace); once.
    ///
    /// # Errors
    /// The object has no log, or it was taken before.
    pub fn open(engine: &mut Engine) -> Result<Self, LiveError> {
        let lines = Lines::default();
        let logger = EbpfLogger::init_with_logger(engine.ebpf(), lines.clone());
        logger.map(|logger| Self { logger, lines }).map_err(|_| LiveError::ObjectLacks("AYA_LOGS"))
    }

    /// The lines since the last call, oldest first.
    pub fn take(&mut self) -> Vec<String> {
        self.logger.flush();
        std::mem::take(&mut self.lines.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes what aya-log has formatted. It wants to own its logger, hence two handles of one list.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // The program pads the last word to a fixed size.
        let line = record.args().to_string().trim_end().to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn flush(&self) {}
}
