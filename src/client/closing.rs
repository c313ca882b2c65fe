//! The end of a connection that takes nothing away from what was sent on it.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::connection::Connection;
use super::outbox::{Outbox, Written};
use crate::sys::{self, Monotonic, STARVED, Unsent, WaitFor};

/// How often a TCP socket is asked whether its peer has everything, at first and at most: no
/// event tells of it.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// How many reads in a row a server that never stops sending is given.
const READS: usize = 64;

/// Delivers what is in the outbox and closes the connection, for at most `linger`. Returns what
/// left meanwhile.
pub(super) fn close(connection: &Connection, mut outbox: Outbox, linger: Duration) -> Written {
    let mut closing = Closing {
        socket: connection.socket.as_fd(),
        deadline: Monotonic::now().after(linger),
        has_ended: false,
    };
    let written = closing.empty(&mut outbox);
    sys::shut_down_writing(closing.socket);
    if connection.is_tcp() {
        closing.await_delivery();
    }
    // Unread input would turn the end of the stream into a reset.
    closing.discard();
    written
}

struct Closing<'a> {
    socket: BorrowedFd<'a>,
    deadline: Monotonic,
    /// The server has ended its stream.
    has_ended: bool,
}

impl Closing<'_> {
    fn empty(&mut self, outbox: &mut Outbox) -> Written {
        let mut total = Written::default();
        while !outbox.is_empty() {
            match outbox.write(self.socket) {
                Ok(written) => {
                    total.bytes += written.bytes;
                    total.messages += written.messages;
                }
                Err(Unsent::NoRoom) => {
                    // A server that sends before it reads would wait for us, and we for it.
                    self.discard();
                    if !self.pause(true, self.deadline.remaining()) {
                        break;
                    }
                }
                // Memory for it may come in time, which the socket would not tell.
                Err(Unsent::NoMemory) => {
                    self.discard();
                    if !self.pause(false, self.deadline.remaining().min(STARVED)) {
                        break;
                    }
                }
                Err(Unsent::Broken(_)) => break,
            }
        }
        total
    }

    /// Until the server has ended its stream, or its kernel has all that was sent.
    fn await_delivery(&mut self) {
        let mut step = FIRST_PAUSE;
        loop {
            self.discard();
            let remaining = self.deadline.remaining();
            let is_delivered = sys::unsent_bytes(self.socket) == 0;
            if self.has_ended || is_delivered || !self.pause(false, remaining.min(step)) {
                return;
            }
            step = (step * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits until there is something to read, or room to write; `false` when there is no time.
    fn pause(&self, for_room: bool, time: Duration) -> bool {
        let read = (self.socket, WaitFor::Read);
        let write = (self.socket, WaitFor::Write);
        let watched: &[_] = match (for_room, self.has_ended) {
            (true, false) => &[write, read],
            (true, true) => &[write],
            (false, false) => &[read],
            (false, true) => &[],
        };
        // However the wait ends, by a signal too, the next look decides.
        !time.is_zero() && sys::poll(watched, Some(time)).is_ok()
    }

    fn discard(&mut self) {
        let mut waste = [0; 16 * 1024];
        for _ in 0..READS {
            match sys::receive(self.socket, &mut waste) {
                Ok(0) => self.has_ended = true,
                Ok(_) => continue,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => self.has_ended = true,
            }
            return;
        }
    }
}
