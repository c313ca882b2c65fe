//! The one way in and out: every `extern "C"` goes through one of the functions here.
//!
//! They catch panics, keep the thread's last error, and carry out at the end of a call what a log
//! function asked for in it.

use std::any::Any;
use std::cell::{OnceCell, RefCell};
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::constants::status_code;
use crate::{Error, Result, Status, deferred};

/// A call that can fail and answers with a status.
#[inline(always)]
pub(super) fn call(body: impl FnOnce() -> Result<()>) -> c_int {
    match guarded(body) {
        Ok(()) => 0,
        Err(status) => status_code(status),
    }
}

/// A call that can fail and answers with a pointer, or NULL.
pub(super) fn pointer<T>(body: impl FnOnce() -> Result<*mut T>) -> *mut T {
    guarded(body).unwrap_or(std::ptr::null_mut())
}

#[inline(always)]
fn guarded<T>(body: impl FnOnce() -> Result<T>) -> std::result::Result<T, Status> {
    // Kept until the end: its text may be an argument of this call.
    let _before = forget();
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(defect(&*panic)));
    // Last of all, so that nothing that ran inside this call has a say in it.
    run_deferred();
    result.map_err(|error| {
        let status = error.status();
        remember(error);
        status
    })
}

/// A getter: answers `otherwise` where there is nothing to get, and leaves the last error alone.
#[inline(always)]
pub(super) fn get<T>(otherwise: T, body: impl FnOnce() -> Option<T>) -> T {
    let answer = catch_unwind(AssertUnwindSafe(body)).unwrap_or(None);
    run_deferred();
    answer.unwrap_or(otherwise)
}

/// Frees something, in a log function once the call that logged is over; leaves the last error
/// alone.
#[inline(always)]
pub(super) fn free(body: impl FnOnce() + 'static) {
    if deferred::in_logger() {
        deferred::push(body);
        return;
    }
    let _ = catch_unwind(AssertUnwindSafe(body));
    run_deferred();
}

/// A call that a signal handler may make: no lock, no allocation, no thread-local.
pub(super) fn from_signal(body: impl FnOnce() -> Result<()>) -> c_int {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => status_code(error.status()),
        Err(_) => status_code(Status::Internal),
    }
}

/// Runs a function of the program's: a hook, a log function or a `drop`.
///
/// Its calls have a last error of their own, so that it cannot disturb that of the call, or of
/// the getter, that it runs in.
pub(super) fn foreign<T>(function: impl FnOnce() -> T) -> T {
    let before = forget();
    let result = function();
    // What the function's calls have left gives way to what was there before.
    drop(forget());
    if let Some(before) = before {
        let _ = LAST.try_with(|last| last.replace(Some(before)));
    }
    result
}

#[inline(always)]
fn run_deferred() {
    if deferred::is_waiting() {
        run_all_deferred();
    }
}

#[cold]
fn run_all_deferred() {
    let _ = catch_unwind(deferred::run);
}

#[cold]
fn defect(panic: &(dyn Any + Send)) -> Error {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no details");
    Error::new(
        Status::Internal,
        format!("A defect in dotsock, please report it with what you did: {what}"),
    )
}

/// Why this thread's last call that can fail did so.
struct LastError {
    error: Error,
    /// Made when the program asks for it: many errors are an answer like any other, such as that
    /// nothing came in time.
    text: OnceCell<CString>,
}

/// How many last errors there are, in all threads: mostly none, which costs less to ask than a
/// thread-local, and every call has to.
static LAST_ERRORS: AtomicUsize = AtomicUsize::new(0);

impl LastError {
    fn new(error: Error) -> Box<LastError> {
        LAST_ERRORS.fetch_add(1, Ordering::Relaxed);
        Box::new(LastError { error, text: OnceCell::new() })
    }
}

impl Drop for LastError {
    fn drop(&mut self) {
        LAST_ERRORS.fetch_sub(1, Ordering::Relaxed);
    }
}

thread_local! {
    /// `None` when it did not fail.
    static LAST: RefCell<Option<Box<LastError>>> = const { RefCell::new(None) };
}

/// Clears the last error and returns it, if there was one.
#[inline(always)]
fn forget() -> Option<Box<LastError>> {
    // One of this thread has been counted by it.
    if LAST_ERRORS.load(Ordering::Relaxed) == 0 { None } else { take_last() }
}

#[inline(never)]
fn take_last() -> Option<Box<LastError>> {
    // A thread that is ending has lost its thread-locals; there is nobody to read them either.
    LAST.try_with(RefCell::take).unwrap_or_default()
}

#[inline(never)]
fn remember(error: Error) {
    let _ = LAST.try_with(|kept| kept.replace(Some(LastError::new(error))));
}

/// What `get` says of the last error, `otherwise` when there is none.
fn last<T>(otherwise: T, get: impl FnOnce(&LastError) -> T) -> T {
    LAST.try_with(|last| last.borrow().as_deref().map(get)).ok().flatten().unwrap_or(otherwise)
}

pub(super) fn last_status() -> c_int {
    last(0, |last| status_code(last.error.status()))
}

pub(super) fn last_os_error() -> c_int {
    last(0, |last| last.error.os_error().unwrap_or(0))
}

pub(super) fn last_text() -> *const c_char {
    // Where nothing failed it is a constant, so that not even a pointer that is used for too long
    // does harm.
    const NONE: &CStr = c"";
    // The text stays where it is until the end of the next call, longer than the header promises.
    last(NONE.as_ptr(), |last| last.text.get_or_init(|| c_text(&last.error.to_string())).as_ptr())
}

/// Text for C; a NUL in it, where text would end for C, becomes U+FFFD.
pub(super) fn c_text(text: &str) -> CString {
    CString::new(text).or_else(|_| CString::new(text.replace('\0', "\u{FFFD}"))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        // SAFETY: the text is NUL-terminated and nothing replaces it before it is copied.
        unsafe { CStr::from_ptr(last_text()) }.to_str().expect("UTF-8").to_owned()
    }

    #[test]
    fn a_panic_becomes_a_status_that_says_what_happened() {
        assert_eq!(call(|| panic!("the number is {}", 7)), Status::Internal.code());
        assert_eq!(last_status(), Status::Internal.code());
        assert!(text().ends_with("the number is 7"));
        assert!(pointer::<u8>(|| panic!("boom")).is_null());
        assert_eq!(from_signal(|| panic!("boom")), Status::Internal.code());
        assert_eq!(get(-1, || panic!("boom")), -1);
        free(|| panic!("boom"));
    }

    #[test]
    fn a_call_clears_the_last_error_on_entry_and_sets_it_at_the_end() {
        call(|| Err(Error::invalid("first")));
        let status = call(|| {
            assert_eq!((last_status(), text().as_str()), (0, ""));
            foreign(|| call(|| Err(Error::invalid("in a hook"))));
            Err(Error::os(Status::Io, "second", &std::io::Error::from_raw_os_error(libc::EACCES)))
        });
        assert_eq!(status, Status::Io.code());
        assert_eq!((last_status(), last_os_error()), (Status::Io.code(), libc::EACCES));
        assert!(text().starts_with("second: "));
        assert_eq!(call(|| Ok(())), 0);
        assert_eq!((last_status(), last_os_error(), text().as_str()), (0, 0, ""));
    }

    #[test]
    fn the_text_of_the_last_error_may_be_an_argument_of_the_next_call() {
        call(|| Err(Error::invalid("what went wrong")));
        let argument = last_text();
        let status = call(|| {
            // SAFETY: this is what the test is about: the text is there during the call.
            let text = unsafe { CStr::from_ptr(argument) }.to_str().expect("UTF-8");
            Err(Error::invalid(format!("passed on: {text}")))
        });
        assert_eq!(status, Status::Invalid.code());
        assert_eq!(text(), "passed on: what went wrong");
    }

    #[test]
    fn getters_and_frees_leave_the_last_error_alone() {
        call(|| Err(Error::invalid("kept\0 whole")));
        let address = last_text();
        get(0, || Some(1));
        free(|| foreign(|| assert_eq!(call(|| Ok(())), 0)));
        get((), || {
            foreign(|| call(|| Err(Error::invalid("in a log function"))));
            None
        });
        from_signal(|| Err(Error::invalid("not kept")));
        assert_eq!(text(), "kept\u{FFFD} whole");
        assert_eq!(address, last_text());
    }

    #[test]
    fn what_a_log_function_frees_goes_when_the_call_that_logged_is_over() {
        let freed = std::rc::Rc::new(std::cell::Cell::new(false));
        let flag = freed.clone();
        call(|| {
            deferred::while_logging(|| {
                free(move || flag.set(true));
                assert_eq!(call(|| Ok(())), 0);
            });
            assert!(!freed.get());
            Ok(())
        });
        assert!(freed.get());
    }
}
