//! The client's end of the handshake with a TCP server that shares a token with it.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::connection::quoted;
use crate::auth::{self, FrameReader, Heard, Nonce, Said, Secret};
use crate::sys::{self, Interest, Monotonic, STARVED, Unsent};
use crate::timestamp::Stamper;
use crate::zone::Zone;
use crate::{Error, Message, Result, Status};

#[derive(Debug)]
pub(super) struct Handshake {
    secret: Secret,
    event_name: String,
    stamper: Stamper,
    address: String,
    reader: FrameReader,
    answered: Option<Answered>,
}

/// The server has asked.
#[derive(Debug)]
struct Answered {
    server_nonce: Nonce,
    client_nonce: Nonce,
    answer: Message,
    /// How much of the answer has left.
    sent: usize,
    /// There was no memory for a write: when the next one is due.
    starved: Option<Monotonic>,
}

/// How far a handshake has come.
#[derive(Debug)]
pub(super) enum Step {
    Waiting,
    /// The server knows the token.
    Done,
    Failed(Error),
    Refused(Error),
}

impl Handshake {
    pub fn new(secret: Secret, event_name: &str, zone: Zone, address: &str) -> Handshake {
        Handshake {
            secret,
            event_name: event_name.to_owned(),
            stamper: Stamper::new(zone),
            address: address.to_owned(),
            reader: FrameReader::default(),
            answered: None,
        }
    }

    /// What to wait for on the socket.
    pub fn interest(&self) -> Interest {
        let waits = |answered: &Answered| !answered.has_left() && answered.starved.is_none();
        Interest { read: true, write: self.answered.as_ref().is_some_and(waits) }
    }

    /// When to go on whatever the socket says.
    pub fn due(&self) -> Option<Monotonic> {
        self.answered.as_ref()?.starved
    }

    /// Goes on as far as that is possible without waiting.
    pub fn advance(&mut self, socket: BorrowedFd) -> Step {
        loop {
            let written = self.answered.as_mut().map_or(Ok(()), |answered| answered.write(socket));
            // Whatever has become of the answer, the server may have said why.
            let frame = match (self.reader.read(socket), written) {
                (Heard::Frame(frame), _) => frame,
                (Heard::TooLarge(_), _) => return Step::Refused(self.stranger()),
                (Heard::Nothing, Ok(())) => return Step::Waiting,
                (Heard::Nothing | Heard::End | Heard::Failed(_), Err(error))
                | (Heard::Failed(error), Ok(())) => {
                    return Step::Failed(self.lost(&error.to_string()));
                }
                (Heard::End, Ok(())) => return Step::Failed(self.lost("the server closed it")),
            };
            match (auth::listen(&frame), &self.answered) {
                (Said::Denied(said), _) => return Step::Refused(self.denied(&said)),
                (Said::Ask(nonce), None) => match self.answer(nonce) {
                    Ok(answered) => self.answered = Some(answered),
                    Err(error) => return Step::Failed(error),
                },
                (Said::Confirm(mac), Some(Answered { server_nonce, client_nonce, .. })) => {
                    return match self.secret.is_server(server_nonce, client_nonce, &mac) {
                        true => Step::Done,
                        false => Step::Refused(self.impostor()),
                    };
                }
                _ => return Step::Refused(self.stranger()),
            }
        }
    }

    fn answer(&mut self, server_nonce: Nonce) -> Result<Answered> {
        let client_nonce = auth::fresh_nonce()?;
        let mac = self.secret.client_mac(&server_nonce, &client_nonce);
        let answer = auth::answer(&self.event_name, &mut self.stamper, &client_nonce, &mac)?;
        Ok(Answered { server_nonce, client_nonce, answer, sent: 0, starved: None })
    }

    /// Why there is no connection when the time is up.
    pub fn overdue(&self, limit: Duration) -> Error {
        let (address, seconds) = (&self.address, limit.as_secs_f64());
        let text = match self.answered {
            Some(Answered { starved: Some(_), .. }) => {
                return Error::new(
                    Status::NoMemory,
                    format!(
                        "The system had no memory to show the token to the server at {address} \
                         with for {seconds} s (default_timeout): connect again later"
                    ),
                );
            }
            None => format!(
                "The server at {address} did not ask for the token within {seconds} s \
                 (default_timeout), and is refused: is it busy, or has it no token? Set the same \
                 one on both sides, or none"
            ),
            Some(_) => format!(
                "The server at {address} did not show within {seconds} s (default_timeout) that it \
                 knows the token, and is refused: is it busy, or a stranger?"
            ),
        };
        Error::new(Status::Permission, text)
    }

    fn stranger(&self) -> Error {
        let address = &self.address;
        let text = match self.answered {
            None => format!(
                "The server at {address} sends without asking for the token, and is refused: set \
                 the same token there, or none here"
            ),
            Some(_) => format!(
                "The server at {address} sends without having shown that it knows the token, and \
                 is refused: do not trust what answers there"
            ),
        };
        Error::new(Status::Permission, text)
    }

    fn impostor(&self) -> Error {
        let address = &self.address;
        Error::new(
            Status::Permission,
            format!(
                "The server at {address} does not know the token, and is refused: do not trust \
                 what answers there"
            ),
        )
    }

    fn denied(&self, said: &str) -> Error {
        let address = &self.address;
        Error::new(
            Status::Permission,
            format!(
                "The server at {address} turns this client away: check that the token (token or \
                 token_file) and the name of the event are the same on both sides{}",
                quoted(said)
            ),
        )
    }

    fn lost(&self, reason: &str) -> Error {
        let address = &self.address;
        Error::new(
            Status::Closed,
            format!(
                "The connection to {address} ended ({reason}) before both sides had shown the \
                 token: connect again"
            ),
        )
    }
}

impl Answered {
    fn has_left(&self) -> bool {
        self.sent == self.answer.frame().len()
    }

    /// Writes what there is room for, without waiting.
    fn write(&mut self, socket: BorrowedFd) -> io::Result<()> {
        self.starved.take_if(|due| *due <= Monotonic::now());
        if self.starved.is_some() {
            return Ok(());
        }
        while !self.has_left() {
            match sys::send(socket, &[IoSlice::new(&self.answer.frame()[self.sent..])]) {
                Ok(count) => self.sent += count,
                Err(Unsent::NoRoom) => return Ok(()),
                // The socket, which has room, would tell of that at once and for ever.
                Err(Unsent::NoMemory) => {
                    self.starved = Some(Monotonic::now().after(STARVED));
                    return Ok(());
                }
                Err(Unsent::Broken(error)) => return Err(error),
            }
        }
        Ok(())
    }
}
