//! What the library has from the kernel and from once_cell, as a model that loom can interleave.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool as Bit, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Condvar, Mutex};

loom::lazy_static! {
    /// One system call at a time; who polls sleeps until a descriptor has changed.
    static ref KERNEL: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

/// An eventfd that never fails: readable from `signal` until `clear`.
#[derive(Debug, Default)]
pub struct EventFd {
    /// No atomic of the model: only touched while the kernel is locked.
    readable: Bit,
}

impl EventFd {
    pub fn new() -> std::io::Result<EventFd> {
        Ok(EventFd::default())
    }

    pub fn signal(&self) {
        let _kernel = KERNEL.0.lock().unwrap();
        self.readable.store(true, Relaxed);
        KERNEL.1.notify_all();
    }

    pub fn clear(&self) {
        let _kernel = KERNEL.0.lock().unwrap();
        self.readable.store(false, Relaxed);
    }
}

/// A socket whose buffer holds one frame, and who reads it.
#[derive(Debug, Default)]
pub struct StreamSocket {
    /// Its number, 0 for none; as those of `EventFd`, no atomics of the model.
    frame: AtomicU32,
    /// Whether the engine's epoll watches it for room.
    watched: Bit,
}

impl StreamSocket {
    fn is_empty(&self) -> bool {
        self.frame.load(Relaxed) == 0
    }

    /// Whether there was room.
    pub fn send(&self, frame: u32) -> bool {
        let _kernel = KERNEL.0.lock().unwrap();
        let has_room = self.is_empty();
        if has_room {
            self.frame.store(frame, Relaxed);
            KERNEL.1.notify_all();
        }
        has_room
    }

    /// The next frame, waited for.
    pub fn receive(&self) -> u32 {
        let mut kernel = KERNEL.0.lock().unwrap();
        loop {
            if !self.is_empty() {
                KERNEL.1.notify_all();
                return self.frame.swap(0, Relaxed);
            }
            kernel = KERNEL.1.wait(kernel).unwrap();
        }
    }

    pub fn watch(&self, watched: bool) {
        let _kernel = KERNEL.0.lock().unwrap();
        self.watched.store(watched, Relaxed);
        KERNEL.1.notify_all();
    }

    /// Sleeps in epoll: until there is room that is watched for, or `wake` is readable.
    pub fn epoll(&self, wake: &EventFd) {
        let mut kernel = KERNEL.0.lock().unwrap();
        while !(wake.readable.load(Relaxed) || self.watched.load(Relaxed) && self.is_empty()) {
            kernel = KERNEL.1.wait(kernel).unwrap();
        }
    }
}

/// A descriptor to poll.
#[derive(Clone, Copy)]
pub enum BorrowedFd<'a> {
    Event(&'a EventFd),
    Socket(&'a StreamSocket),
}

pub trait AsFd {
    fn as_fd(&self) -> BorrowedFd<'_>;
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        BorrowedFd::Event(self)
    }
}

impl AsFd for StreamSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        BorrowedFd::Socket(self)
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum WaitFor {
    Read,
    Write,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Readiness {
    Ready,
}

/// Sleeps until one of them is ready. No clock helps: sleeping for ever is a deadlock to loom.
pub fn poll(of: &[(BorrowedFd, WaitFor)], _: Option<Duration>) -> std::io::Result<Readiness> {
    let mut kernel = KERNEL.0.lock().unwrap();
    let is_ready = |fd: &BorrowedFd| match fd {
        BorrowedFd::Event(event) => event.readable.load(Relaxed),
        BorrowedFd::Socket(socket) => socket.is_empty(),
    };
    while !of.iter().any(|(fd, _)| is_ready(fd)) {
        kernel = KERNEL.1.wait(kernel).unwrap();
    }
    Ok(Readiness::Ready)
}

pub fn poll_for_room<'a>(
    others: &[(BorrowedFd, WaitFor)],
    sockets: impl ExactSizeIterator<Item = BorrowedFd<'a>>,
    _: Duration,
) -> std::io::Result<Readiness> {
    let sockets = sockets.map(|socket| (socket, WaitFor::Write));
    poll(&others.iter().copied().chain(sockets).collect::<Vec<_>>(), None)
}

/// A cell that promises no more than acquire and release, as that of once_cell does.
#[derive(Debug)]
pub struct OnceCell<T> {
    is_set: AtomicBool,
    setting: Mutex<()>,
    value: OnceLock<T>,
}

impl<T> Default for OnceCell<T> {
    fn default() -> OnceCell<T> {
        let (is_set, setting) = (AtomicBool::new(false), Mutex::new(()));
        OnceCell { is_set, setting, value: OnceLock::new() }
    }
}

impl<T> OnceCell<T> {
    pub fn get(&self) -> Option<&T> {
        if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
    }

    pub fn get_or_try_init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if self.get().is_none() {
            let _setting = self.setting.lock().unwrap();
            if self.value.get().is_none() {
                let _ = self.value.set(make()?);
                self.is_set.store(true, Ordering::Release);
            }
        }
        Ok(self.value.get().expect("it was just set"))
    }
}
