//! Contexts of hooks and log functions, each with its `drop`.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::guard::foreign;

/// Releases the context of a hook or log function. Runs exactly once, after the last call of that
/// function, on whichever thread that is.
pub type sock_drop_fn = Option<unsafe extern "C" fn(ctx: *mut c_void)>;

/// A context that the library took, and must drop exactly once.
pub(super) struct Context {
    pointer: *mut c_void,
    drop: sock_drop_fn,
    done: AtomicBool,
}

// SAFETY: the library only hands the pointer back to the program's own functions, of which the
// header says that they run on any thread.
unsafe impl Send for Context {}
// SAFETY: as above; `done` is atomic and nothing else changes.
unsafe impl Sync for Context {}

impl Context {
    pub fn new(pointer: *mut c_void, drop: sock_drop_fn) -> Context {
        Context { pointer, drop, done: AtomicBool::new(false) }
    }

    pub fn pointer(&self) -> *mut c_void {
        self.pointer
    }

    /// Runs the `drop`, unless it has run.
    fn finish(&self) {
        if let Some(drop) = self.drop
            && !self.done.swap(true, Ordering::AcqRel)
        {
            // SAFETY: the header asks for a function of this type that takes this context.
            foreign(|| unsafe { drop(self.pointer) });
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The context of one hook of a server, seen from the handle.
///
/// The hook itself keeps its context alive. The handle holds on to it as well, because in a forked
/// child it runs the `drop`s while the server, whose threads and locks stayed behind in the
/// parent, is not to be touched. It is an atomic for the same reason: a lock could be held for ever.
#[derive(Default)]
pub(super) struct Slot(AtomicPtr<Context>);

impl Slot {
    /// Puts `context` in; the one before is returned, to be dropped outside any lock.
    pub fn replace(&self, context: Option<Arc<Context>>) -> Option<Arc<Context>> {
        let new = context.map_or(std::ptr::null_mut(), |new| Arc::into_raw(new).cast_mut());
        let old = self.0.swap(new, Ordering::AcqRel);
        // SAFETY: what is in the slot came from `Arc::into_raw`, and the swap took it out, so that
        // it is made an Arc again exactly once.
        (!old.is_null()).then(|| unsafe { Arc::from_raw(old) })
    }

    /// In a forked child: runs the `drop` without asking whether the hook is still needed.
    pub fn finish(&self) {
        if let Some(context) = self.replace(None) {
            context.finish();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.replace(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    unsafe extern "C" fn count(ctx: *mut c_void) {
        // SAFETY: the tests pass a pointer to a counter that outlives the context.
        unsafe { &*ctx.cast::<AtomicUsize>() }.fetch_add(1, Ordering::Relaxed);
    }

    fn context(counter: &AtomicUsize) -> Arc<Context> {
        let pointer = std::ptr::from_ref(counter).cast_mut().cast();
        Arc::new(Context::new(pointer, Some(count)))
    }

    #[test]
    fn a_context_is_dropped_once_when_neither_hook_nor_handle_needs_it() {
        let drops = AtomicUsize::new(0);
        let slot = Slot::default();
        let held_by_the_hook = context(&drops);
        slot.replace(Some(held_by_the_hook.clone()));
        drop(slot.replace(None));
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(held_by_the_hook);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn in_a_child_it_is_dropped_although_the_hook_is_still_there() {
        let drops = AtomicUsize::new(0);
        let slot = Slot::default();
        let held_by_the_hook = context(&drops);
        slot.replace(Some(held_by_the_hook.clone()));
        slot.finish();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(held_by_the_hook);
        drop(slot);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }
}
