//! What a log function asked for and what must wait until the call that logged is over.
//!
//! A log function runs in the middle of a call of the library, on any thread. Stopping or freeing
//! the very handle that is in use there would pull it away from under that call, so such requests
//! are kept for the thread and carried out when the call has ended: by the C API at its outermost
//! exit, and by a server's engine after each turn of its loop.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};

type Action = Box<dyn FnOnce()>;

thread_local! {
    static LOGGING: Cell<bool> = const { Cell::new(false) };
    static ACTIONS: RefCell<Vec<Action>> = const { RefCell::new(Vec::new()) };
}

/// How many actions wait, of all threads: what every call asks, and must cost little.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// How many threads are inside a log function: mostly none, which costs less to ask than a
/// thread-local.
static LOGGERS: AtomicUsize = AtomicUsize::new(0);

/// Whether this thread is inside a log function.
#[inline(always)]
pub(crate) fn in_logger() -> bool {
    // Where this thread is in one, it has counted itself.
    LOGGERS.load(Ordering::Relaxed) > 0 && is_logging()
}

#[inline(never)]
fn is_logging() -> bool {
    // A thread that is ending has lost its thread-locals, and calls no log function any more.
    LOGGING.try_with(Cell::get).unwrap_or(true)
}

/// Runs `log`, a call of a log function, so that [`in_logger`] is true meanwhile.
///
/// It is not run inside another one: what a log function calls does not log.
pub(crate) fn while_logging(log: impl FnOnce()) {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            let _ = LOGGING.try_with(|logging| logging.set(false));
            LOGGERS.fetch_sub(1, Ordering::Relaxed);
        }
    }
    if is_logging() {
        return;
    }
    LOGGERS.fetch_add(1, Ordering::Relaxed);
    let _ = LOGGING.try_with(|logging| logging.set(true));
    let _leave = Leave;
    log();
}

/// Keeps `action` until the call that logged is over.
pub(crate) fn push(action: impl FnOnce() + 'static) {
    let mut action = Some(Box::new(action) as Action);
    let _ = ACTIONS.try_with(|actions| actions.borrow_mut().extend(action.take()));
    match action {
        Some(action) => action(),
        None => _ = WAITING.fetch_add(1, Ordering::Relaxed),
    }
}

/// Whether [`run`] may have something to do.
#[inline]
pub(crate) fn is_waiting() -> bool {
    WAITING.load(Ordering::Relaxed) > 0
}

/// Carries out what log functions asked for on this thread. Call it without a lock.
#[inline]
pub(crate) fn run() {
    if is_waiting() && !in_logger() {
        run_all();
    }
}

#[cold]
fn run_all() {
    // An action may log, and so ask for more.
    while let Some(action) = next() {
        action();
    }
}

fn next() -> Option<Action> {
    ACTIONS
        .try_with(|actions| {
            let mut actions = actions.borrow_mut();
            if actions.is_empty() {
                return None;
            }
            WAITING.fetch_sub(1, Ordering::Relaxed);
            Some(actions.remove(0))
        })
        .ok()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn actions_wait_for_the_end_of_the_call_and_keep_their_order() {
        let done = Rc::new(RefCell::new(Vec::new()));
        while_logging(|| {
            for number in 0..2 {
                let done = done.clone();
                push(move || done.borrow_mut().push(number));
            }
            run();
            assert!(done.borrow().is_empty());
            while_logging(|| panic!("a log function inside a log function"));
        });
        assert!(done.borrow().is_empty());
        run();
        assert_eq!(*done.borrow(), [0, 1]);
    }

    #[test]
    fn an_action_may_ask_for_more() {
        let done = Rc::new(Cell::new(false));
        let inner = done.clone();
        push(move || {
            while_logging(|| push(move || inner.set(true)));
        });
        run();
        assert!(done.get());
    }
}
