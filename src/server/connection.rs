//! One client as the engine sees it: bytes come in, frames come out.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use crate::Result;
use crate::sys::{self, Monotonic, Readiness, StreamSocket, WaitFor};
use crate::transport::Peer;
use crate::wire::frame::FrameBuffer;

pub(crate) struct Connection {
    pub socket: Arc<StreamSocket>,
    pub peer: Peer,
    pub buffer: FrameBuffer,
    /// When the frame that has begun must be complete.
    pub frame_due: Option<Monotonic>,
    /// The client was told that it may not send.
    pub denied: bool,
    /// Nothing can be written to it any more: it leaves as soon as it has nothing more to say.
    pub finishing: bool,
}

impl Connection {
    pub fn new(socket: Arc<StreamSocket>, peer: Peer) -> Connection {
        Connection {
            socket,
            peer,
            buffer: FrameBuffer::default(),
            frame_due: None,
            denied: false,
            finishing: false,
        }
    }

    /// Whether there is nothing to read.
    pub fn is_silent(&self) -> bool {
        let readable = (self.socket.as_fd(), WaitFor::Read);
        loop {
            match sys::poll(&[readable], Some(Duration::ZERO)) {
                Ok(Readiness::Interrupted) => {}
                other => return matches!(other, Ok(Readiness::TimedOut)),
            }
        }
    }

    /// Reads once, without waiting: how much, or why not; an error outside says that memory for it
    /// could not be had.
    #[inline(always)]
    pub fn receive(&mut self, size: usize) -> Result<io::Result<usize>> {
        let socket = self.socket.as_fd();
        let read = |to: &mut Vec<u8>, most| sys::receive_to(socket, to, most);
        self.buffer.fill(size, read).map(|(_, received)| received)
    }
}
