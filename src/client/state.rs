//! What a client's lock guards: the way from one connection to the next.
//!
//! Nothing here waits. Whoever waits, in whatever call and thread, drives all of it.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::attempt::Attempt;
use super::connection::{Connection, Read};
use super::inbox::{End, Inbox};
use super::line::Line;
use super::outbox::Outbox;
use super::reconnect::{Backoff, SHORTEST};
use super::waking::Sleepers;
use super::watch::{Wanted, Watch};
use super::{ClientStats, LOG};
use crate::notes::Notes;
use crate::settings::Settings;
use crate::sys::{self, Interest, Monotonic};
use crate::timestamp::Stamper;
use crate::transport::{Target, Transport};
use crate::wire::envelope::Template;
use crate::{Error, MessageType, Result, Status};

/// What there is between the client and its server.
#[derive(Debug)]
pub(super) enum Link {
    Down,
    Connecting(Attempt),
    Up(Connection),
}

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum Ending {
    Lost(String),
    /// The server has as many clients as it allows, or asks for a token.
    Refused(Error),
    /// The server sent what is no frame.
    Garbage(Error),
}

/// What every message needs stands together: a program with a thousand clients finds none of it in
/// the processor's cache, and waits for each line.
#[repr(C)]
pub(super) struct State {
    pub settings: Arc<Settings>,
    /// Something changed that concerns everybody who sleeps.
    pub changed: bool,
    /// Something was read that a sleeping receiver does not know of.
    pub arrived: bool,
    pub corked: bool,
    /// The program said `connect` or `open`, and not `disconnect` since.
    pub told: bool,
    /// It said so at least once.
    pub ever_told: bool,
    /// Since the connection was lost, a failure to connect again was returned.
    pub failure_reported: bool,
    pub was_connected: bool,
    pub link: Link,
    pub inbox: Inbox,
    pub outbox: Outbox,
    pub line: Line,
    /// From the first time that the program asks for the descriptor.
    pub watch: Option<Watch>,
    pub sleepers: Sleepers,
    /// When the last of the sleeping receivers that were not told of anything looks by itself.
    pub last_look: Monotonic,
    /// There was no memory for a write: when the next one is due.
    pub starved: Option<Monotonic>,
    pub notes: Notes,
    pub stats: ClientStats,
    /// Memory for the next frame to send.
    pub scratch: Vec<u8>,
    pub stamper: Stamper,
    /// By message type.
    pub templates: [Template; 3],
    pub event_name: Arc<str>,
    pub target: Target,
    /// How often the program said `disconnect`.
    pub disconnects: u64,
    pub backoff: Backoff,
    /// What a call says that finds no connection and none to come.
    pub closed: Error,
    /// The last attempt that failed, for the `connect` that drove it.
    pub failed: Option<(u64, Error)>,
    pub attempts: u64,
}

impl State {
    pub fn new(transport: Transport, event_name: Arc<str>, settings: Arc<Settings>) -> State {
        let template = |message_type| Template::new(&event_name, message_type);
        State {
            target: Target::new(transport, &event_name, &settings),
            link: Link::Down,
            told: false,
            ever_told: false,
            disconnects: 0,
            backoff: Backoff::new(&settings, Monotonic::now()),
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            corked: false,
            starved: None,
            line: Line::default(),
            closed: Error::new(
                Status::Closed,
                format!("Not connected to event '{event_name}' yet: connect first"),
            ),
            failed: None,
            attempts: 0,
            failure_reported: false,
            was_connected: false,
            stats: ClientStats::default(),
            stamper: Stamper::new(settings.timezone),
            templates: [
                template(MessageType::Data),
                template(MessageType::Error),
                template(MessageType::Control),
            ],
            scratch: Vec::new(),
            sleepers: Sleepers::default(),
            last_look: Monotonic::EARLIEST,
            arrived: false,
            changed: false,
            watch: None,
            notes: Notes::default(),
            event_name,
            settings,
        }
    }

    /// Whether a lost connection is made again without being told so.
    pub fn reconnects(&self) -> bool {
        self.told && self.settings.auto_reconnect && self.backoff.due().is_some()
    }

    /// Whether there is, or may come, something to receive.
    pub fn has_hope(&self) -> bool {
        !matches!(self.link, Link::Down) || self.reconnects()
    }

    /// When something has to be done although no socket is ready.
    pub fn due(&self) -> Option<Monotonic> {
        match &self.link {
            Link::Up(connection) => {
                let write = self.starved.filter(|_| !self.outbox.is_empty());
                connection.frame_due(&self.settings).into_iter().chain(write).min()
            }
            Link::Connecting(attempt) => Some(attempt.due()),
            Link::Down if self.told && self.settings.auto_reconnect => self.backoff.due(),
            Link::Down => None,
        }
    }

    /// Ends the connection: whole messages that were read stay receivable, and what follows from
    /// the end is queued behind them.
    #[cold]
    pub fn end(&mut self, ending: Ending) {
        let Link::Up(connection) = self.take_down() else {
            return;
        };
        self.outbox.forget_begun();
        let now = Monotonic::now();
        let lived = now.since(connection.since) >= self.settings.reconnect_max_delay.max(SHORTEST);
        let automatic = self.told && self.settings.auto_reconnect;
        let reason = match &ending {
            Ending::Lost(reason) => reason.clone(),
            Ending::Refused(error) | Ending::Garbage(error) => error.to_string(),
        };
        if connection.buffered() > 0 && matches!(ending, Ending::Lost(_)) {
            self.stats.malformed += 1;
            self.notes.add(Level::Warn, LOG, || {
                let (from, bytes) = (&connection.peer, connection.buffered());
                format!(
                    "The connection to the server ({from}) ended inside a message: \
                         {bytes} bytes of it were dropped"
                )
            });
        }
        self.notes.add(Level::Info, LOG, || {
            let (name, address) = (&self.event_name, &connection.address);
            format!("The connection to event '{name}' at {address} is over: {reason}")
        });
        self.closed = self.loss(&connection.address, &reason);
        let refused = matches!(ending, Ending::Refused(_));
        match ending {
            Ending::Lost(_) => {}
            Ending::Refused(error) => self.inbox.push_end(End::Failure(error)),
            Ending::Garbage(error) => self.inbox.push_end(End::Between(error)),
        }
        if refused {
            self.backoff.failed(now);
        } else {
            self.backoff.lost(now, connection.proven || lived);
            match (automatic, self.settings.report_loss) {
                (false, _) => self.inbox.push_end(End::Last(self.closed.clone())),
                (true, true) => self.inbox.push_end(End::Between(self.closed.clone())),
                (true, false) => {}
            }
        }
        if automatic {
            self.give_up_if_used_up(&reason);
        }
    }

    fn loss(&self, address: &str, reason: &str) -> Error {
        let remedy = if self.told && self.settings.auto_reconnect {
            "the next call connects again"
        } else {
            "connect again, or set auto_reconnect"
        };
        let name = &self.event_name;
        Error::new(
            Status::Closed,
            format!("The connection to event '{name}' at {address} is lost ({reason}): {remedy}"),
        )
    }

    /// Ends the connection after reading what had arrived on it to its end.
    #[cold]
    pub fn lose(&mut self, reason: String) -> Result<()> {
        if let Link::Up(connection) = &self.link {
            // One that takes nothing any more may still send, and without end.
            sys::shut_down(connection.socket.as_fd());
        }
        self.decode_all()?;
        while let Link::Up(connection) = &mut self.link {
            match connection.read(&self.settings, &mut self.stats)? {
                Read::Bytes(_) => {}
                Read::Nothing | Read::End(_) => break,
            }
            if connection.crowded && self.inbox.bytes() >= self.settings.client_queue_size {
                self.miss_all()?;
            } else {
                self.decode_all()?;
            }
        }
        self.end(Ending::Lost(reason));
        Ok(())
    }

    /// Ends a connection whose server has left, after reading what it had sent.
    #[cold]
    pub fn notice_departure(&mut self) -> Result<()> {
        match &self.link {
            Link::Up(connection) if sys::peer_has_left(connection.socket.as_fd()) => {
                self.lose("the server closed it".into())
            }
            _ => Ok(()),
        }
    }

    /// Ends what there is because the program says so; what is to be closed, and what is still to
    /// be sent on it, is returned.
    pub fn leave(&mut self) -> (Link, Outbox) {
        let had_hope = self.has_hope();
        self.told = false;
        self.disconnects += 1;
        self.corked = false;
        // Without memory for them, messages that were read are lost; nothing else can be done.
        let _ = self.decode_all();
        self.closed = Error::new(
            Status::Closed,
            format!("Disconnected from event '{}': connect to go on", self.event_name),
        );
        if had_hope {
            self.inbox.push_end(End::Last(self.closed.clone()));
        }
        self.was_connected = false;
        (self.take_down(), std::mem::take(&mut self.outbox))
    }

    /// In a forked child: closes the descriptors.
    pub fn abandon(&mut self) {
        self.watch = None;
        let socket = match std::mem::replace(&mut self.link, Link::Down) {
            Link::Up(connection) => Some(connection.socket),
            Link::Connecting(attempt) => attempt.into_connected(),
            Link::Down => None,
        };
        if let Some(socket) = socket {
            sys::close_in_child(socket);
        }
    }

    /// Takes the link away, whatever it is, and out of the watch.
    pub fn take_down(&mut self) -> Link {
        self.unwatch();
        self.changed = true;
        if let Link::Connecting(attempt) = &self.link
            && let Some(socket) = attempt.socket()
        {
            // A forked child may have the socket open, too: closing alone would leave the server
            // with a client that nobody is.
            sys::shut_down(socket);
        }
        std::mem::replace(&mut self.link, Link::Down)
    }

    /// Takes the socket out of the watch, before it can be closed.
    pub fn unwatch(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        match &self.link {
            Link::Up(connection) => watch.forget(connection.socket.as_fd()),
            Link::Connecting(attempt) => {
                if let Some(socket) = attempt.socket() {
                    watch.forget(socket);
                }
            }
            Link::Down => {}
        }
    }

    /// Makes the descriptor tell what `recv` would find; costs nothing until somebody asks for it.
    #[inline]
    pub fn update_watch(&mut self) {
        if self.watch.is_some() {
            self.show_in_watch();
        }
    }

    fn show_in_watch(&mut self) {
        let (due, ready) = (self.due(), self.has_arrived());
        let socket = match &self.link {
            Link::Up(connection) => {
                let write = self.has_to_write() && self.starved.is_none();
                Some((connection.socket.as_fd(), Interest { read: true, write }))
            }
            Link::Connecting(attempt) => attempt.socket().map(|fd| (fd, attempt.interest())),
            Link::Down => None,
        };
        if let Some(watch) = &mut self.watch {
            watch.set(Wanted { socket, ready, due });
        }
    }

    /// Whether bytes wait for room: no cork holds back what has begun.
    pub fn has_to_write(&self) -> bool {
        self.outbox.has_begun() || !(self.corked || self.outbox.is_empty())
    }

    /// How long a call may wait for room, or for a connection to send on.
    pub fn send_timeout(&self) -> Duration {
        self.settings.send_timeout.unwrap_or(self.settings.default_timeout)
    }
}
