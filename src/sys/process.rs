//! What belongs to the whole process: forks, signal masks, privileges.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use once_cell::sync::OnceCell;

/// Tells a process from its forked children, at the price of one load.
///
/// The number stands in a page that the kernel wipes in a child, so that no system call and no
/// hook on `fork` is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u64);

/// Numbers given so far. A child inherits it and goes on counting, so that its number is new.
static GIVEN: AtomicU64 = AtomicU64::new(0);

impl Process {
    /// The process that this runs in.
    pub fn current() -> io::Result<Process> {
        let page = page()?;
        let number = page.load(Ordering::Relaxed);
        if number != 0 {
            return Ok(Process(number));
        }
        let fresh = GIVEN.fetch_add(1, Ordering::Relaxed) + 1;
        match page.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Ok(Process(fresh)),
            Err(number) => Ok(Process(number)),
        }
    }

    /// Whether this still is the process that the number was given to. Safe in a signal handler.
    pub fn is_current(self) -> bool {
        PAGE.get().is_some_and(|page| page.load(Ordering::Relaxed) == self.0)
    }
}

static PAGE: OnceCell<&'static AtomicU64> = OnceCell::new();

fn page() -> io::Result<&'static AtomicU64> {
    PAGE.get_or_try_init(|| {
        const SIZE: usize = 4096;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no other
        // memory; the flags and the size are valid.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the range is the mapping that was just made.
        super::check(unsafe { libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) })?;
        // SAFETY: the mapping is zeroed, aligned to a page, large enough for an AtomicU64, and
        // never unmapped; it is only ever used through this atomic.
        Ok(unsafe { &*page.cast::<AtomicU64>() })
    })
    .copied()
}

/// Tells threads of this process apart, those that have ended too: what the system calls a thread,
/// it calls a later one as well.
///
/// `std::thread::current` would allocate on threads that Rust has not made, and leave the memory
/// behind when they end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadMark(u64);

static MARKED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// 0 until the thread asks. Without a destructor, which a thread at its end would have run.
    static MARK: Cell<u64> = const { Cell::new(0) };
}

impl ThreadMark {
    pub fn current() -> ThreadMark {
        MARK.with(|mark| {
            if mark.get() == 0 {
                mark.set(MARKED.fetch_add(1, Ordering::Relaxed) + 1);
            }
            ThreadMark(mark.get())
        })
    }
}

/// Whether the program runs with raised privileges, so that its environment is not to be trusted.
pub(crate) fn in_secure_mode() -> bool {
    // SAFETY: getauxval reads a value that the kernel left at start; it takes no pointer.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// While it lives, this thread receives no signal.
pub(crate) struct SignalsBlocked {
    before: libc::sigset_t,
    /// The mask belongs to the thread.
    of_thread: PhantomData<*const ()>,
}

impl SignalsBlocked {
    pub fn new() -> io::Result<SignalsBlocked> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        // The system writes only as many bytes as it has signals for.
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: sigfillset initialises `all`; pthread_sigmask reads it and writes the calling
        // thread's mask to `before`, both valid for the call.
        let error = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr())
        };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: a set of integers, all of which were zeroed before the call wrote to some.
        let before = unsafe { before.assume_init() };
        Ok(SignalsBlocked { before, of_thread: PhantomData })
    }

    /// What was blocked before.
    pub fn before(&self) -> &libc::sigset_t {
        &self.before
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: `before` is a mask that the system wrote; nothing is to be written.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

/// Starts a thread that receives no signal, so that they reach the program's own threads.
pub(crate) fn spawn_without_signals(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    // The new thread inherits the mask of the one that makes it.
    let _blocked = SignalsBlocked::new()?;
    std::thread::Builder::new().name(name.into()).spawn(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_not_taken_for_one_that_has_ended() {
        let mark = || std::thread::spawn(ThreadMark::current).join().unwrap();
        let marks: Vec<ThreadMark> = (0..10).map(|_| mark()).collect();
        for (index, mark) in marks.iter().enumerate() {
            assert!(!marks[..index].contains(mark));
        }
        assert_eq!(ThreadMark::current(), ThreadMark::current());
    }
}
