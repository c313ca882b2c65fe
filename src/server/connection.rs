//! One client as the engine sees it: bytes come in, frames come out.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::sys::Monotonic;
use crate::transport::Peer;
use crate::wire::frame::FrameBuffer;

pub(crate) struct Connection {
    pub socket: Arc<OwnedFd>,
    pub peer: Peer,
    pub buffer: FrameBuffer,
    /// When the frame that has begun must be complete.
    pub frame_due: Option<Monotonic>,
    /// The client was told that it may not send.
    pub denied: bool,
}

impl Connection {
    pub fn new(socket: Arc<OwnedFd>, peer: Peer) -> Connection {
        Connection { socket, peer, buffer: FrameBuffer::default(), frame_due: None, denied: false }
    }
}
