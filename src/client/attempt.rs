//! One attempt to connect: several addresses in turn, none of them waited for here.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::handshake::{Handshake, Step};
use crate::sys::{self, Interest, Monotonic, Readiness, StreamSocket, WaitFor};
use crate::transport::{self, Connected, Target};
use crate::{Error, Result, Status};

/// How soon a Unix server whose queue is full is asked again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// An attempt in progress. It belongs to the client, not to a thread: whoever waits drives it.
#[derive(Debug)]
pub(super) struct Attempt {
    pub number: u64,
    /// Made by `connect`, which returns its failure; else by `recv` or `send` on their own.
    pub asked_for: bool,
    address: usize,
    stage: Stage,
    deadline: Monotonic,
    pause: Duration,
    timeout: Duration,
}

#[derive(Debug)]
enum Stage {
    Start,
    Pending {
        socket: StreamSocket,
        address: SocketAddr,
    },
    /// Connected, and showing each other the token.
    Greeting {
        connected: Connected,
        handshake: Box<Handshake>,
    },
    /// Nothing to wait for but the clock.
    Busy {
        again: Monotonic,
    },
    Over,
}

/// How far an attempt has come.
#[derive(Debug)]
pub(super) enum Progress {
    Connected(Connected),
    /// The same, and the server knows the token.
    Greeted(Connected),
    Failed(Error),
    /// Server and client do not trust each other.
    Refused(Error),
    Waiting,
}

impl Attempt {
    pub fn new(number: u64, asked_for: bool, timeout: Duration, now: Monotonic) -> Attempt {
        Attempt {
            number,
            asked_for,
            address: 0,
            stage: Stage::Start,
            deadline: now.after(timeout),
            pause: FIRST_PAUSE,
            timeout,
        }
    }

    /// The socket to wait for, if there is one.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.stage {
            Stage::Pending { socket, .. } => Some(socket.as_fd()),
            Stage::Greeting { connected, .. } => Some(connected.socket.as_fd()),
            _ => None,
        }
    }

    /// What to wait for on it.
    pub fn interest(&self) -> Interest {
        match &self.stage {
            Stage::Greeting { handshake, .. } => handshake.interest(),
            _ => Interest::WRITE,
        }
    }

    /// The socket once it is connected.
    pub fn connected(&self) -> Option<&Arc<StreamSocket>> {
        match &self.stage {
            Stage::Greeting { connected, .. } => Some(&connected.socket),
            _ => None,
        }
    }

    pub fn into_connected(self) -> Option<Arc<StreamSocket>> {
        match self.stage {
            Stage::Greeting { connected, .. } => Some(connected.socket),
            _ => None,
        }
    }

    /// A connection is of use only once both sides have shown the token.
    pub fn greet(&mut self, connected: Connected, handshake: Handshake) {
        self.stage = Stage::Greeting { connected, handshake: Box::new(handshake) };
    }

    /// When to go on whatever the socket says.
    pub fn due(&self) -> Monotonic {
        match &self.stage {
            Stage::Busy { again } => self.deadline.min(*again),
            Stage::Greeting { handshake, .. } => {
                handshake.due().map_or(self.deadline, |due| self.deadline.min(due))
            }
            _ => self.deadline,
        }
    }

    /// Goes on as far as that is possible without waiting.
    pub fn advance(&mut self, target: &Target, now: Monotonic) -> Progress {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Start => match target.attempt(self.address) {
                    Ok(transport::Attempt::Connected(connected)) => {
                        return Progress::Connected(connected);
                    }
                    Ok(transport::Attempt::Pending { socket, address }) => {
                        self.stage = Stage::Pending { socket, address };
                    }
                    Ok(transport::Attempt::Busy) => {
                        self.stage = Stage::Busy { again: now.after(self.pause) };
                        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                        return self.wait(now);
                    }
                    Err(_) if self.has_next(target) => self.next(),
                    Err(error) => return Progress::Failed(error),
                },
                Stage::Pending { socket, address } => match is_writable(&socket) {
                    Ok(true) => match target.finish(socket, address) {
                        Ok(connected) => return Progress::Connected(connected),
                        Err(_) if self.has_next(target) => self.next(),
                        Err(error) => return Progress::Failed(error),
                    },
                    Ok(false) => {
                        self.stage = Stage::Pending { socket, address };
                        return self.wait(now);
                    }
                    Err(error) => return Progress::Failed(error),
                },
                Stage::Greeting { connected, handshake } => {
                    return self.go_on_greeting(connected, handshake, now);
                }
                Stage::Busy { again } if now >= again => self.stage = Stage::Start,
                Stage::Busy { again } => {
                    self.stage = Stage::Busy { again };
                    return self.wait(now);
                }
                Stage::Over => return Progress::Failed(Error::new(Status::Internal, OVER)),
            }
        }
    }

    fn go_on_greeting(
        &mut self,
        connected: Connected,
        mut handshake: Box<Handshake>,
        now: Monotonic,
    ) -> Progress {
        let step = handshake.advance(connected.socket.as_fd());
        if let Step::Done = step {
            return Progress::Greeted(connected);
        }
        // After a failure, too: whoever gives the attempt up shuts its socket down.
        self.stage = Stage::Greeting { connected, handshake };
        match step {
            Step::Failed(error) => Progress::Failed(error),
            Step::Refused(error) => Progress::Refused(error),
            Step::Waiting | Step::Done => self.wait(now),
        }
    }

    /// Still waiting, unless the time is up.
    fn wait(&mut self, now: Monotonic) -> Progress {
        if now < self.deadline {
            return Progress::Waiting;
        }
        let seconds = self.timeout.as_secs_f64();
        let text = match &self.stage {
            Stage::Greeting { handshake, .. } => {
                let error = handshake.overdue(self.timeout);
                return match error.status() {
                    Status::Permission => Progress::Refused(error),
                    _ => Progress::Failed(error),
                };
            }
            Stage::Pending { address, .. } => format!(
                "No answer from {address} within {seconds} s (default_timeout): \
                 is the host up, and the port not filtered?"
            ),
            _ => format!(
                "The server's queue of connections stayed full for {seconds} s (default_timeout): \
                 it accepts none; is it busy or stopped?"
            ),
        };
        Progress::Failed(Error::new(Status::Timeout, text))
    }

    fn has_next(&self, target: &Target) -> bool {
        self.address + 1 < target.addresses()
    }

    fn next(&mut self) {
        self.address += 1;
        self.stage = Stage::Start;
    }
}

const OVER: &str = "An attempt to connect went on after its end; this is a defect in the library";

fn is_writable(socket: &StreamSocket) -> Result<bool> {
    sys::poll(&[(socket.as_fd(), WaitFor::Write)], Some(Duration::ZERO))
        .map(|readiness| readiness == Readiness::Ready)
        .map_err(|error| Error::os(Status::Io, "Looking at a new connection failed", &error))
}
