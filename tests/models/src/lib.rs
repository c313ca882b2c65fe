//! The parts of the library that other threads and signal handlers reach without its locks, or that
//! hand a wake-up on, under a model checker: every interleaving of their steps, and every value
//! that the memory model lets a load see, up to a bound on preemptions.
//!
//! The code is the library's own (see build.rs); around it stands as much of the loops that call it
//! as matters. A wake-up that is lost shows as a deadlock.

pub mod kernel;
pub mod line;

/// What the checked files use of the library.
pub mod sys {
    pub use crate::kernel::{EventFd, Readiness, StreamSocket, WaitFor, poll_for_room};

    pub fn uncancelled<R>(run: impl FnOnce() -> R) -> R {
        run()
    }
}

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub struct Error;

#[derive(Debug)]
pub enum Status {
    Io,
}

impl Error {
    pub fn os(_: Status, _: &str, _: &std::io::Error) -> Error {
        Error
    }
}

pub mod waking {
    include!(concat!(env!("OUT_DIR"), "/client_waking.rs"));
}

pub mod cancels {
    include!(concat!(env!("OUT_DIR"), "/server_cancels.rs"));
}

/// Runs every interleaving of `model` with at most LOOM_MAX_PREEMPTIONS preemptions (2 if unset), and
/// says how many there were.
pub fn check(model: impl Fn() + Sync + Send + 'static) {
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = runs.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    println!("models: {name}: {} interleavings", runs.load(std::sync::atomic::Ordering::Relaxed));
}
