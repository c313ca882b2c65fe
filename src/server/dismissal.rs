//! Telling a client to leave, from any thread: what it has said and nobody has heard is forgotten.
//!
//! The caller takes the client out of the delivery and leaves it here, for the engine to close. Until
//! the engine has looked, it may have a message of that client, and whoever drives it may have taken
//! one: they look here, and throw it away.

use super::Server;
use super::engine::RawEvent;
use super::io::Command;
use super::shared::{Shared, State, no_client, parse_client_id};
use crate::Result;

impl Server {
    /// Tells a client to leave, and returns at once. Its id is unknown from then on, and no message
    /// of it is handed over any more, not even what has arrived already: aside from one whose hook
    /// has begun on another thread, or that a [`next`](Server::next) under way there is returning.
    /// What is queued for it is delivered (for at most `linger`), then it is closed and its
    /// disconnect follows.
    ///
    /// # Errors
    ///
    /// [`Status::NoClient`](crate::Status::NoClient): nobody with this id is connected.
    pub fn disconnect_client(&self, client_id: &str) -> Result<()> {
        self.shared.check_process()?;
        self.shared.disconnect_client(client_id)
    }
}

impl Shared {
    /// Tells a client to leave. It is unknown from now on.
    pub fn disconnect_client(&self, client: &str) -> Result<()> {
        let is_known = parse_client_id(client).is_some_and(|id| self.dismiss(&mut self.lock(), id));
        if is_known { Ok(()) } else { Err(no_client(client)) }
    }

    /// `false` when nobody has this id.
    fn dismiss(&self, state: &mut State, id: u64) -> bool {
        let (Some(recipient), Some(io)) = (state.delivery.remove(id), self.io.get()) else {
            return false;
        };
        state.dismissed.insert(id, recipient);
        io.ask(Command::Dismiss(id));
        true
    }

    /// Whether an event that is about to reach a hook is a message of a client that was told to
    /// leave since the engine last looked. Only this thread drives the server.
    pub fn comes_too_late(&self, event: &RawEvent) -> bool {
        // Without a lock while nobody has asked the engine for anything. Log records are left to
        // the engine: no logger runs between this and the hook.
        self.io.get().is_some_and(|io| io.has_commands())
            && self.lock_in_engine().has_dismissed(event)
    }
}

impl State {
    /// Whether an event is a message of a client that the engine is still to dismiss.
    pub fn has_dismissed(&self, event: &RawEvent) -> bool {
        matches!(event, RawEvent::Message(id, _) if self.dismissed.contains_key(id))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::Ordering;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::State;
    use crate::{Event, Message, MessageType, Options, Server, Transport};

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Dismisses the only client at the worst moment: its message was taken from the socket, and
    /// whoever drives the server needs the state before the program hears of it.
    fn dismiss_with_a_message_underway(server: &Server, peer: &mut UnixStream) {
        let shared = &server.shared;
        let mut state = shared.lock();
        let id = *state.delivery.clients.keys().next().unwrap();
        let message = Message::from_json("event", MessageType::Data, "{}").unwrap();
        let body = message.envelope();
        peer.write_all(&[&(body.len() as u32).to_be_bytes(), body].concat()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while shared.counters.messages_received.load(Ordering::Relaxed) == 0 {
            assert!(Instant::now() < deadline, "the message is not read");
            std::thread::yield_now();
        }
        assert!(shared.dismiss(&mut state, id));
    }

    fn server(directory: &tempfile::TempDir) -> Server {
        let mut options = Options::new().unwrap();
        options.set("socket_dir", directory.path().to_str()).unwrap();
        Server::new(Transport::Unix, "event", &options).unwrap()
    }

    fn is_waiting(state: &State) -> bool {
        state.delivery.burst.standby
    }

    #[test]
    fn no_hook_hears_a_message_that_the_thread_had_taken() {
        let directory = tempfile::tempdir().unwrap();
        let server = server(&directory);
        let (tell, heard) = mpsc::channel();
        let told = [tell.clone(), tell.clone(), tell];
        let [connected, message, disconnected] = told;
        server.on_client_connected(move |_, _| connected.send("connected").unwrap()).unwrap();
        server.on_message_received(move |_, _, _| message.send("message").unwrap()).unwrap();
        server.on_client_disconnected(move |_, _| disconnected.send("gone").unwrap()).unwrap();
        server.start().unwrap();
        let mut peer = UnixStream::connect(directory.path().join("event.sock")).unwrap();
        assert_eq!(heard.recv_timeout(PATIENCE), Ok("connected"));
        let deadline = Instant::now() + PATIENCE;
        while !is_waiting(&server.shared.lock()) {
            assert!(Instant::now() < deadline, "the thread does not wait");
            std::thread::yield_now();
        }
        dismiss_with_a_message_underway(&server, &mut peer);
        assert_eq!(heard.recv_timeout(PATIENCE), Ok("gone"));
        server.stop().unwrap();
        assert_eq!(heard.try_recv(), Err(mpsc::TryRecvError::Empty));
    }

    #[test]
    fn next_yields_no_message_that_it_had_taken() {
        let directory = tempfile::tempdir().unwrap();
        let server = server(&directory);
        server.open().unwrap();
        let mut peer = UnixStream::connect(directory.path().join("event.sock")).unwrap();
        assert!(matches!(server.next(Some(PATIENCE)), Ok(Event::Connected { .. })));
        std::thread::scope(|scope| {
            let next = scope.spawn(|| server.next(Some(PATIENCE)));
            let deadline = Instant::now() + PATIENCE;
            while server.shared.lock().in_next == 0 {
                assert!(Instant::now() < deadline, "nobody is in next");
                std::thread::yield_now();
            }
            dismiss_with_a_message_underway(&server, &mut peer);
            let event = next.join().unwrap();
            assert!(matches!(event, Ok(Event::Disconnected { .. })), "{event:?}");
        });
    }
}
