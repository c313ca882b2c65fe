//! # Logging
//!
//! The library logs nothing until it is told where to. Levels: DOTSOCK_LOG_OFF 0 to
//! DOTSOCK_LOG_TRACE 5.
//!
//! A log function runs on any thread, several at once, and in the middle of a call. It may call
//! the library; what it calls does not log, and what it stops or frees takes effect once the call
//! that logged is over. It must return: no longjmp and no C++ exception may leave it.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use ::log::{LevelFilter, Log, Metadata, Record};
use once_cell::sync::OnceCell;
use parking_lot::RwLock;

use super::context::{Context, sock_drop_fn};
use super::guard::{self, c_text, foreign};
use crate::sys::{self, Process};
use crate::{Error, Result, Status, deferred};

/// A log function. `target` says which part of the library speaks ("dotsock::server"), `text` is
/// one sentence; both are valid during the call.
pub type sock_log_fn = Option<
    unsafe extern "C" fn(
        ctx: *mut c_void,
        level: c_int,
        target: *const c_char,
        text: *const c_char,
    ),
>;

/// Logs to a function from now on, records up to `level`; NULL or level 0 ends it.
///
/// `ctx` is handed to the function as it is. `drop`, if not NULL, is called with it exactly once:
/// after logging has been set again and the last running call of this function has returned, on
/// that call's thread. Setting does not wait for that. With a NULL function or level 0 the `drop`
/// that is passed runs at once, before this returns. When it fails, nothing was taken and `ctx` is
/// still the caller's.
///
/// DOTSOCK_E_INVALID: there is no such level. DOTSOCK_E_STATE: the program is written in Rust and
/// has a logger already, which gets the records.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_set_log(
    level: c_int,
    log: sock_log_fn,
    ctx: *mut c_void,
    drop: sock_drop_fn,
) -> c_int {
    guard::call(|| {
        let level = checked_level(level)?;
        if log.is_some() {
            install()?;
        }
        // What cannot be called is as good as none, and its context is dropped at once.
        let sink = Sink { level, to: To::Function { log, context: Context::new(ctx, drop) } };
        replace(Some(sink).filter(|_| log.is_some()));
        Ok(())
    })
}

/// Logs to a descriptor from now on, records up to `level`, for languages that cannot be called
/// back: one line for each record, "LEVEL target: text", written at once; errors are ignored. -1 or
/// level 0 ends it. It replaces what sock_set_log() set.
///
/// The descriptor stays the caller's: keep it open until logging has been set again. A full pipe
/// blocks the library until somebody reads from it.
///
/// DOTSOCK_E_INVALID: there is no such level, or the descriptor is not open. DOTSOCK_E_STATE: as
/// for sock_set_log().
#[unsafe(no_mangle)]
pub extern "C" fn sock_set_log_fd(level: c_int, fd: c_int) -> c_int {
    guard::call(|| {
        let level = checked_level(level)?;
        let to = match fd {
            -1 => None,
            _ => {
                sys::check_open(fd).map_err(|error| {
                    let text = format!("`fd` is {fd}: pass an open descriptor, or -1 for none");
                    Error::os(Status::Invalid, text, &error)
                })?;
                install()?;
                Some(To::Descriptor(fd))
            }
        };
        replace(to.map(|to| Sink { level, to }));
        Ok(())
    })
}

fn checked_level(level: c_int) -> Result<LevelFilter> {
    usize::try_from(level)
        .ok()
        .and_then(|level| LevelFilter::iter().nth(level))
        .ok_or_else(|| Error::invalid(format!("`level` is {level}: pass 0 (off) to 5 (trace)")))
}

/// Where records go.
struct Sink {
    level: LevelFilter,
    to: To,
}

enum To {
    Function { log: sock_log_fn, context: Context },
    Descriptor(c_int),
}

/// Where the sink in use stands. A record takes an `Arc` of it along, so that no lock is held while
/// a log function runs, and the last one that lets go of an earlier sink runs its `drop`.
struct Place {
    process: Option<Process>,
    sink: RwLock<Option<Arc<Sink>>>,
}

static PLACE: AtomicPtr<Place> = AtomicPtr::new(std::ptr::null_mut());

/// A forked child makes a place of its own, and takes along what it can: a thread of its parent may
/// have locked the other one, which nobody unlocks there.
fn place() -> &'static Place {
    let process = Process::current().ok();
    let known = PLACE.load(Ordering::Acquire);
    // SAFETY: NULL, or a place that was published whole and is never freed.
    let before = unsafe { known.as_ref() };
    if let Some(place) = before.filter(|place| place.process == process) {
        return place;
    }
    let made: &Place = Box::leak(Box::new(Place { process, sink: RwLock::new(None) }));
    // Locked until it has what it takes along: others find it as soon as it is published.
    let mut sink = made.sink.write();
    let new = std::ptr::from_ref(made).cast_mut();
    match PLACE.compare_exchange(known, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            *sink = before.and_then(|place| place.sink.try_write()?.take());
            made
        }
        // SAFETY: a place that another thread has published, and that is never freed.
        Err(other) => unsafe { &*other },
    }
}

fn replace(sink: Option<Sink>) {
    let sink = sink.filter(|sink| sink.level != LevelFilter::Off);
    let level = sink.as_ref().map_or(LevelFilter::Off, |sink| sink.level);
    let before = {
        let mut current = place().sink.write();
        if INSTALLED.get() == Some(&true) {
            ::log::set_max_level(level);
        }
        std::mem::replace(&mut *current, sink.map(Arc::new))
    };
    drop(before);
}

/// Whether records come to us: not where a program in Rust has set a logger of its own.
static INSTALLED: OnceCell<bool> = OnceCell::new();

fn install() -> Result<()> {
    static FORWARD: Forward = Forward;
    if *INSTALLED.get_or_init(|| ::log::set_logger(&FORWARD).is_ok()) {
        return Ok(());
    }
    Err(Error::new(
        Status::State,
        "This program has a logger of Rust's `log` already: it gets the records, under targets \
         that begin with \"dotsock\"",
    ))
}

/// Takes records of this library from the `log` crate to the sink.
struct Forward;

impl Log for Forward {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // A program in Rust may log by other names through the same crate.
        metadata.target().split("::").next() == Some("dotsock")
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        deferred::while_logging(|| {
            let sink = place().sink.read().clone();
            if let Some(sink) = sink
                && record.level() <= sink.level
            {
                sink.to.write(record);
            }
        });
    }

    fn flush(&self) {}
}

impl To {
    fn write(&self, record: &Record) {
        let text = record.args().to_string();
        match self {
            To::Function { log, context } => {
                let Some(log) = log else { return };
                let (target, text) = (c_text(record.target()), c_text(&text));
                let level = record.level() as c_int;
                // SAFETY: the header asks for a function of this type that takes this context;
                // the texts are valid during the call.
                foreign(|| unsafe {
                    log(context.pointer(), level, target.as_ptr(), text.as_ptr());
                });
            }
            To::Descriptor(fd) => sys::write_once(*fd, line(record, &text).as_bytes()),
        }
    }
}

/// One line, whatever control characters a peer put into a name.
fn line(record: &Record, text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{} {}: {text}\n", record.level(), record.target())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::log::Level;
    use std::io::Read;

    #[test]
    fn levels_are_0_to_5() {
        assert_eq!(checked_level(0).ok(), Some(LevelFilter::Off));
        assert_eq!(checked_level(2).ok(), Some(LevelFilter::Warn));
        assert_eq!(checked_level(5).ok(), Some(LevelFilter::Trace));
        for level in [-1, 6, c_int::MIN, c_int::MAX] {
            assert!(checked_level(level).is_err());
        }
        assert_eq!(Level::Error as c_int, 1);
        assert_eq!(Level::Trace as c_int, 5);
    }

    #[test]
    fn a_forked_child_sets_a_log_that_was_locked() {
        let locked = place().sink.read();
        // SAFETY: the child sets a log and ends; it touches nothing else of this program's.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // SAFETY: both take numbers; a child that hangs is ended by the alarm.
            unsafe {
                libc::alarm(20);
                replace(None);
                libc::_exit(0);
            }
        }
        drop(locked);
        let mut status = -1;
        // SAFETY: a child of this process, and a place for what became of it.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "it did not end by itself");
    }

    #[test]
    fn a_record_is_one_line_and_a_reader_that_is_gone_does_no_harm() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let fd = std::os::fd::AsRawFd::as_raw_fd(&writer);
        let write = || {
            To::Descriptor(fd).write(
                &Record::builder()
                    .level(Level::Warn)
                    .target("dotsock::server")
                    .args(format_args!("of\nthree\rlines"))
                    .build(),
            );
        };
        write();
        let mut text = [0; 64];
        let size = reader.read(&mut text).expect("a line");
        assert_eq!(&text[..size], b"WARN dotsock::server: of three lines\n");
        drop(reader);
        // Rust's test harness ignores SIGPIPE, so that this only shows that it returns.
        write();
    }
}
