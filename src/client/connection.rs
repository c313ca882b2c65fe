//! A connection to a server: bytes read from its socket, cut into messages.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::{ClientStats, spare};
use crate::auth;
use crate::notes::Notes;
use crate::settings::Settings;
use crate::sys::{self, Monotonic, StreamSocket};
use crate::transport::{Connected, Peer};
use crate::wire::envelope;
use crate::wire::frame::{Cut, FrameBuffer, HEADER, LARGE};
use crate::{Error, Message, MessageType, Result, Status};

/// A reader that comes later than this for a frame that is overdue starts its time anew, if it
/// finds more of it: the server may have waited for the reader all that time.
const LATE: Duration = Duration::from_secs(1);

/// How much of what a server says is quoted in an error, in characters.
const LONGEST_QUOTE: usize = 200;

/// A socket that is connected, and what has been read from it; what every message needs first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Connection {
    /// Shared with calls that sleep on it.
    pub socket: Arc<StreamSocket>,
    buffer: FrameBuffer,
    /// When the frame at the head was found to be incomplete.
    incomplete_since: Option<Monotonic>,
    /// When the socket was last read (by the coarse clock), if it was.
    looked: Option<Monotonic>,
    /// The last read took all that it had room for, so that there is likely more.
    likely_more: bool,
    /// The first frame was seen, whatever it was.
    greeted: bool,
    /// A message has arrived.
    pub proven: bool,
    /// The server said that it takes no messages.
    pub denied: bool,
    /// Earlier connections filled the inbox: as long as it is full, what is found at the end of this
    /// one counts as missed.
    pub crowded: bool,
    /// When it was made.
    pub since: Monotonic,
    pub peer: Peer,
    pub address: String,
}

/// What one read came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(usize),
    Nothing,
    /// The end of the stream, and why.
    End(String),
}

/// What stands next in what was read.
#[derive(Debug)]
pub(super) enum Next {
    Message(Message),
    /// No whole frame.
    Nothing,
    /// The server has as many clients as it allows, or asks for a token.
    Refused(Error),
    /// What came is no frame of ours.
    Garbage(Error),
}

/// Whether a frame that stays incomplete has run out of time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    No,
    Yes,
    Ended(String),
}

impl Connection {
    pub fn new(connected: Connected, crowded: bool) -> Connection {
        Connection {
            socket: connected.socket,
            peer: connected.peer,
            address: connected.address,
            since: Monotonic::now(),
            denied: false,
            proven: false,
            crowded,
            buffer: FrameBuffer::default(),
            likely_more: false,
            looked: None,
            greeted: false,
            incomplete_since: None,
        }
    }

    pub fn is_tcp(&self) -> bool {
        matches!(self.peer, Peer::Tcp(_))
    }

    /// Whether a read is worth a try before waiting.
    pub fn likely_more(&self) -> bool {
        self.likely_more
    }

    pub fn looked(&self) -> Option<Monotonic> {
        self.looked
    }

    /// Whether the frame at the head was found to be incomplete.
    pub fn has_begun(&self) -> bool {
        self.incomplete_since.is_some()
    }

    /// Bytes that were read and not taken.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether what was read has something at its head that is to be taken.
    #[inline(always)]
    pub fn has_next(&self, settings: &Settings) -> bool {
        self.buffer.cut(settings.max_message_size) != Cut::Incomplete
    }

    /// Reads once, without waiting.
    #[inline(always)]
    pub fn read(&mut self, settings: &Settings, stats: &mut ClientStats) -> Result<Read> {
        if self.buffer.capacity() < settings.buffer_size && !self.buffer.expects_large() {
            self.buffer.lend(spare::take());
        }
        let socket = self.socket.as_fd();
        let read = |to: &mut Vec<u8>, most| sys::receive_to(socket, to, most);
        let (size, result) = self.buffer.fill(settings.buffer_size, read)?;
        self.looked = Some(Monotonic::coarse());
        self.likely_more = false;
        Ok(match result {
            Ok(0) => Read::End("the server closed it".into()),
            Ok(count) => {
                self.likely_more = count == size;
                stats.bytes_received += count as u64;
                self.excuse_late_reader(settings);
                Read::Bytes(count)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                self.rest();
                Read::Nothing
            }
            Err(error) => Read::End(error.to_string()),
        })
    }

    /// The frame at the head, if one has begun, has to be complete in time from now on.
    fn settle(&mut self) {
        if self.buffer.len() > 0 && self.incomplete_since.is_none() {
            self.incomplete_since = Some(Monotonic::now());
        }
        self.rest();
    }

    /// All whole frames were taken: memory to read into is for the next client that reads, which
    /// finds it in the processor's cache.
    #[inline(always)]
    fn rest(&mut self) {
        spare::give_back(self.buffer.release());
    }

    /// Takes the next message out of what was read; malformed frames before it are dropped.
    pub fn next(
        &mut self,
        settings: &Settings,
        stats: &mut ClientStats,
        notes: &mut Notes,
    ) -> Result<Next> {
        loop {
            let body = match self.buffer.cut(settings.max_message_size) {
                Cut::Frame(body) => body,
                Cut::Incomplete => {
                    self.settle();
                    return Ok(Next::Nothing);
                }
                Cut::TooLarge(body) => {
                    stats.malformed += 1;
                    return Ok(Next::Garbage(self.too_large(body, settings)));
                }
            };
            let taken = Message::take_from(&mut self.buffer, body, settings.max_depth)?;
            self.incomplete_since = None;
            if !self.has_next(settings) {
                // Now, not with the next call: a descriptor tells whether to call.
                self.settle();
            }
            let is_first = !std::mem::replace(&mut self.greeted, true);
            let message = match taken {
                Ok(message) => message,
                Err(reason) => {
                    stats.malformed += 1;
                    notes.add(Level::Warn, super::LOG, || {
                        let from = &self.peer;
                        format!("Dropped a malformed message from the server ({from}): {reason}")
                    });
                    continue;
                }
            };
            if is_first && let Some(refusal) = self.refused_by(&message) {
                return Ok(Next::Refused(refusal));
            }
            self.denied |= error_code(&message) == Some("send_denied");
            self.proven = true;
            stats.messages_received += 1;
            return Ok(Next::Message(message));
        }
    }

    /// Why the server takes no client, where its first message says so.
    fn refused_by(&self, first: &Message) -> Option<Error> {
        if self.is_tcp() && auth::is_ask(first) {
            return Some(self.lack_of_token());
        }
        (error_code(first) == Some("max_connections")).then(|| self.refusal(first))
    }

    /// The next message, where it is one like most, which came whole and says nothing about the
    /// connection, and whether others follow it in what was read. `None` leaves everything to
    /// [`Connection::next`].
    #[inline(always)]
    pub fn next_plain(&mut self, settings: &Settings) -> Option<(Message, bool)> {
        if !self.greeted || self.incomplete_since.is_some() {
            return None;
        }
        let Cut::Frame(body) = self.buffer.cut(settings.max_message_size) else {
            return None;
        };
        if HEADER + body >= LARGE {
            return None;
        }
        let frame = self.buffer.frame(body);
        let fields = envelope::check_usual(frame, settings.max_depth)?;
        if fields.message_type == MessageType::Error {
            return None;
        }
        let message = Message::copy_frame(frame, fields).ok()?;
        self.buffer.pass(body);
        self.proven = true;
        let others_follow = self.has_next(settings);
        if !others_follow {
            self.settle();
        }
        Some((message, others_follow))
    }

    /// When the frame at the head has to be complete, if one has begun.
    pub fn frame_due(&self, settings: &Settings) -> Option<Monotonic> {
        if settings.frame_timeout.is_zero() {
            return None;
        }
        self.incomplete_since.map(|since| since.after(settings.frame_timeout))
    }

    /// Judges the frame at the head, once what has arrived of it was read.
    pub fn check_overdue(
        &mut self,
        settings: &Settings,
        stats: &mut ClientStats,
    ) -> Result<Overdue> {
        while let Some(due) = self.frame_due(settings) {
            if Monotonic::now() < due || self.has_next(settings) {
                break;
            }
            match self.read(settings, stats)? {
                Read::Bytes(_) => {}
                Read::End(reason) => return Ok(Overdue::Ended(reason)),
                Read::Nothing => return Ok(Overdue::Yes),
            }
        }
        Ok(Overdue::No)
    }

    /// More of a frame that is incomplete has come.
    fn excuse_late_reader(&mut self, settings: &Settings) {
        if let Some(due) = self.frame_due(settings) {
            let now = Monotonic::now();
            if now.since(due) > LATE {
                self.incomplete_since = Some(now);
            }
        }
    }

    #[cold]
    fn too_large(&self, body: usize, settings: &Settings) -> Error {
        let limit = settings.max_message_size;
        let address = &self.address;
        Error::new(
            Status::Message,
            format!(
                "The server at {address} announced a message of {body} bytes, more than \
                 max_message_size allows ({limit}): raise that option, or check that what answers \
                 there speaks this protocol"
            ),
        )
    }

    #[cold]
    fn lack_of_token(&self) -> Error {
        let address = &self.address;
        Error::new(
            Status::Permission,
            format!("The server at {address} asks for a token: set token or token_file"),
        )
    }

    #[cold]
    fn refusal(&self, message: &Message) -> Error {
        let said = message.get("/message").and_then(|text| text.as_str()).unwrap_or("");
        let limit = message.get("/limit").and_then(|limit| limit.as_u64());
        let limit = limit.map(|limit| format!(" ({limit})")).unwrap_or_default();
        let address = &self.address;
        let mut text = format!(
            "The server at {address} has as many clients as it allows{limit}: try again later, or \
             raise its max_connections"
        );
        text.push_str(&quoted(said));
        Error::new(Status::MaxConnections, text)
    }
}

/// What a server says of a refusal, for an error.
pub(super) fn quoted(said: &str) -> String {
    let printable = said.chars().filter(|c| !c.is_control());
    let said: String = printable.take(LONGEST_QUOTE).collect();
    if said.is_empty() { said } else { format!(". It said: {said}") }
}

/// The code of an error, by which the library knows those of its own making.
fn error_code(message: &Message) -> Option<&str> {
    match message.message_type() {
        MessageType::Error => message.get("/code")?.as_str(),
        _ => None,
    }
}
