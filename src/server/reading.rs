//! The engine's reading half: bytes from a client's socket become messages, or are refused.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::LOG;
use super::accepting::Notice;
use super::connection::Connection;
use super::delivery::Write;
use super::engine::Engine;
use super::shared::{Shared, count};
use crate::sys::Monotonic;
use crate::wire::frame::Cut;
use crate::{Message, MessageType};

/// A reader that comes later than this to a frame that is due was itself held up.
const LATE: Duration = Duration::from_secs(1);

impl Engine {
    /// Reads once from a client's socket.
    #[inline(always)]
    pub(super) fn read(&mut self, id: u64, shared: &Shared) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.buffer.len() == 0 && !connection.buffer.expects_large() {
            connection.buffer.lend(std::mem::take(&mut self.spare));
        }
        let received = match connection.receive(shared.settings.buffer_size) {
            Ok(received) => received,
            Err(error) => {
                let peer = connection.peer;
                self.notes.add(Level::Error, LOG, || format!("{peer} is disconnected: {error}"));
                return self.leave(id, false, shared);
            }
        };
        match received {
            Ok(0) => self.end_of_stream(id, shared),
            Ok(bytes) => {
                count(&shared.counters.bytes_received, bytes as u64);
                self.current = Some(id);
                let before = self.talker.filter(|(last, _)| *last == id);
                self.talker = Some((id, before.map_or(1, |(_, times)| times.wrapping_add(1))));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.talker = None;
                self.settle(id, shared);
            }
            Err(_) => self.end_of_stream(id, shared),
        }
    }

    #[cold]
    fn end_of_stream(&mut self, id: u64, shared: &Shared) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let (peer, rest) = (connection.peer, connection.buffer.len());
            if rest > 0 {
                count(&shared.counters.malformed, 1);
                self.notes.add(Level::Info, LOG, || {
                    format!("{peer} has left inside a frame: {rest} bytes of it are dropped")
                });
            } else {
                self.spare = connection.buffer.release();
            }
        }
        self.leave(id, true, shared);
    }

    /// The next message in what was read from this client.
    #[inline(always)]
    pub(super) fn next_message(&mut self, id: u64, shared: &Shared) -> Option<Message> {
        loop {
            let settings = &shared.settings;
            let connection = self.connections.get_mut(&id)?;
            let body = match connection.buffer.cut(settings.max_message_size) {
                Cut::Frame(body) => body,
                Cut::Incomplete => {
                    self.settle(id, shared);
                    return None;
                }
                Cut::TooLarge(body) => {
                    self.too_large(id, body, shared);
                    return None;
                }
            };
            if let Some(due) = connection.frame_due.take() {
                self.deadlines.remove(&(due, id));
            }
            let taken = Message::take_from(&mut connection.buffer, body, settings.max_depth);
            let reason = match taken {
                Ok(Ok(_)) if !settings.allow_client_send => {
                    self.deny(id, shared);
                    continue;
                }
                Ok(Ok(message)) => {
                    count(&shared.counters.messages_received, 1);
                    if connection.buffer.cut(settings.max_message_size) == Cut::Incomplete {
                        // Now, not with the next call: a descriptor tells whether to call.
                        self.current = None;
                        self.settle(id, shared);
                    }
                    return Some(message);
                }
                Ok(Err(reason)) => reason.to_owned(),
                Err(error) => {
                    connection.buffer.pass(body);
                    error.to_string()
                }
            };
            let peer = connection.peer;
            count(&shared.counters.malformed, 1);
            if let Some(others) = self.malformed_limit.admit() {
                self.notes.add(Level::Warn, LOG, || {
                    format!("A frame of {body} bytes from {peer} is dropped: {reason}{others}")
                });
            }
        }
    }

    /// Everything that can be cut was cut: an idle connection keeps no buffer, and one that has
    /// begun a frame gets a deadline for it.
    #[inline(always)]
    fn settle(&mut self, id: u64, shared: &Shared) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let spare = connection.buffer.release();
        if spare.capacity() > self.spare.capacity() {
            self.spare = spare;
        }
        let limit = shared.settings.frame_timeout;
        if connection.buffer.len() > 0 && connection.frame_due.is_none() && !limit.is_zero() {
            let due = Monotonic::now().after(limit);
            connection.frame_due = Some(due);
            self.deadlines.insert((due, id));
        }
        if connection.finishing {
            self.end_of_speech(id, shared);
        }
    }

    /// Nothing can be written to this client any more. What it has said is still taken.
    #[cold]
    pub(super) fn finish_client(&mut self, id: u64, shared: &Shared) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.finishing = true;
        if self.current != Some(id) {
            self.end_of_speech(id, shared);
        }
    }

    /// Has a client leave that nothing can be written to, unless it has said more: then it is looked
    /// at again once that was taken.
    #[cold]
    fn end_of_speech(&mut self, id: u64, shared: &Shared) {
        let has_ended = |connection: &Connection| {
            // What has begun is to be complete in time, as ever.
            connection.frame_due.is_none() && connection.is_silent()
        };
        if self.connections.get(&id).is_some_and(has_ended) {
            self.end_of_stream(id, shared);
        }
    }

    /// A frame is due: reads what has arrived of it before judging.
    pub(super) fn judge_frame(&mut self, id: u64, due: Monotonic, shared: &Shared) {
        let late = Monotonic::now().since(due) > LATE;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.frame_due != Some(due) {
            return;
        }
        let before = connection.buffer.len();
        let complete = loop {
            if connection.buffer.cut(shared.settings.max_message_size) != Cut::Incomplete {
                break true;
            }
            match connection.receive(shared.settings.buffer_size) {
                Ok(Ok(0)) => return self.end_of_stream(id, shared),
                Ok(Ok(bytes)) => count(&shared.counters.bytes_received, bytes as u64),
                Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock => break false,
                Ok(Err(_)) => return self.end_of_stream(id, shared),
                Err(_) => break false,
            }
        };
        let more = connection.buffer.len() > before;
        if complete || (late && more) {
            connection.frame_due = None;
            self.current = Some(id);
            return;
        }
        let (peer, limit) = (connection.peer, shared.settings.frame_timeout);
        count(&shared.counters.malformed, 1);
        self.notes.add(Level::Warn, LOG, || {
            format!(
                "{peer} is disconnected: a frame stayed incomplete for {} s (frame_timeout)",
                limit.as_secs_f64()
            )
        });
        self.leave(id, false, shared);
    }

    #[cold]
    fn too_large(&mut self, id: u64, body: usize, shared: &Shared) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (peer, limit) = (connection.peer, shared.settings.max_message_size);
        count(&shared.counters.malformed, 1);
        self.notes.add(Level::Warn, LOG, || {
            format!(
                "{peer} is disconnected: it announced a frame of {body} bytes, \
                 more than max_message_size = {limit}"
            )
        });
        self.leave(id, false, shared);
    }

    /// A frame came from a client that may not send.
    #[cold]
    fn deny(&mut self, id: u64, shared: &Shared) {
        count(&shared.counters.denied, 1);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if std::mem::replace(&mut connection.denied, true) {
            return;
        }
        let mut state = shared.lock_in_engine();
        let delivery = &mut state.delivery;
        delivery.distribute(Write::Now);
        let notice = Notice {
            code: "send_denied",
            limit: None,
            message: format!(
                "Server '{}' does not accept messages from clients",
                shared.event_name
            ),
        };
        let frame = delivery.common.notice(MessageType::Error, &notice);
        let client = delivery.clients.get_mut(&id).filter(|client| !client.is_broken());
        if let (Some(frame), Some(client)) = (frame, client) {
            client.queue(id, &Arc::new(frame), &mut delivery.common);
            client.write(id, &mut delivery.common);
        }
    }
}
