//! Memory to read into, shared by all clients that a thread receives for: a connection has it only
//! from a read until its whole frames are taken. A thousand clients need it once, and it is still
//! in the processor's cache when the next one reads.

use std::cell::RefCell;

thread_local! {
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Memory that a client of this thread has read into before, if there is some.
#[inline(always)]
pub(super) fn take() -> Vec<u8> {
    // A thread that is ending has lost its thread-locals.
    SPARE.try_with(RefCell::take).unwrap_or_default()
}

/// Keeps memory for the next client that reads.
#[inline(always)]
pub(super) fn give_back(memory: Vec<u8>) {
    if memory.capacity() > 0 {
        let _ = SPARE.try_with(|spare| spare.replace(memory));
    }
}
