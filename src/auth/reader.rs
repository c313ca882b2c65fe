//! Frames of a peer that nobody knows yet.

use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use crate::sys;
use crate::wire::frame::HEADER;

/// The longest body that is read: those of a handshake have less than 300 bytes.
const LONGEST: usize = 512;

/// Reads one frame at a time and not a byte beyond it, so that nothing has to be handed on.
#[derive(Debug, Default)]
pub(crate) struct FrameReader(Vec<u8>);

/// What one read came to.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A whole frame, header included.
    Frame(Vec<u8>),
    /// It is not whole yet.
    Nothing,
    /// This many bytes were announced: no message of a handshake.
    TooLarge(usize),
    /// The stream has ended.
    End,
    Failed(io::Error),
}

impl FrameReader {
    /// Reads what is there, without waiting.
    pub fn read(&mut self, socket: BorrowedFd) -> Heard {
        loop {
            let whole = match self.0.first_chunk::<HEADER>() {
                None => HEADER,
                Some(header) => match u32::from_be_bytes(*header) as usize {
                    body if body > LONGEST => return Heard::TooLarge(body),
                    body => HEADER + body,
                },
            };
            let lacking = whole - self.0.len();
            if lacking == 0 && self.0.len() >= HEADER {
                return Heard::Frame(std::mem::take(&mut self.0));
            }
            if self.0.try_reserve_exact(lacking).is_err() {
                return Heard::Failed(ErrorKind::OutOfMemory.into());
            }
            match sys::receive_to(socket, &mut self.0, lacking) {
                Ok(0) => return Heard::End,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
                Err(error) => return Heard::Failed(error),
            }
        }
    }
}
