//! Memory to read into, shared by all clients that a thread receives for: a connection has it only
//! from a read until its whole frames are taken. A thousand clients need it once, and it is still
//! in the processor's cache when the next one reads.

use std::cell::RefCell;

thread_local! {
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Initialized memory of `size` bytes; none where there is none to be had.
pub(super) fn take(size: usize) -> Vec<u8> {
    // A thread that is ending has lost its thread-locals.
    let mut spare = SPARE.try_with(RefCell::take).unwrap_or_default();
    if spare.len() != size {
        spare = Vec::new();
        if spare.try_reserve_exact(size).is_ok() {
            spare.resize(size, 0);
        }
    }
    spare
}

/// Keeps memory for the next client that reads.
pub(super) fn give_back(memory: Vec<u8>) {
    if !memory.is_empty() {
        let _ = SPARE.try_with(|spare| spare.replace(memory));
    }
}
