//! From one connection to the next: what can be done without waiting.

use log::Level;

use super::LOG;
use super::attempt::{Attempt, Progress};
use super::connection::Connection;
use super::handshake::Handshake;
use super::inbox::End;
use super::state::{Link, State};
use crate::auth::Secret;
use crate::sys::{self, Monotonic};
use crate::transport::{self, Connected, Peer};
use crate::{Error, Result, Status};

impl State {
    /// Begins the one attempt of `connect` and returns its number; one that is in progress serves
    /// as well.
    pub fn ask_for_attempt(&mut self) -> u64 {
        if let Link::Connecting(attempt) = &mut self.link {
            attempt.asked_for = true;
            return attempt.number;
        }
        self.begin_attempt(true, Monotonic::now());
        self.attempts
    }

    /// Begins anew, because the program says so: at once, and with all attempts.
    pub fn tell_to_connect(&mut self) {
        self.told = true;
        self.ever_told = true;
        self.failure_reported = false;
        self.inbox.forget_obsolete_ends();
        self.backoff.restart(Monotonic::now());
        self.changed = true;
    }

    /// What came of the attempt of this number, or of later ones.
    pub fn outcome(&self, number: Option<u64>) -> Option<Result<()>> {
        if let Link::Up(_) = self.link {
            return Some(Ok(()));
        }
        let (failed, error) = self.failed.as_ref()?;
        (*failed >= number?).then(|| Err(error.clone()))
    }

    /// Ends the attempt of this number, if it is still in progress.
    pub fn give_up_attempt(&mut self, number: u64) {
        if matches!(&self.link, Link::Connecting(attempt) if attempt.number == number) {
            self.take_down();
        }
    }

    fn begin_attempt(&mut self, asked_for: bool, now: Monotonic) {
        self.attempts += 1;
        let timeout = self.settings.default_timeout;
        self.link = Link::Connecting(Attempt::new(self.attempts, asked_for, timeout, now));
        self.changed = true;
    }

    /// Connects as far as that is possible without waiting; does nothing when connected.
    #[inline]
    pub fn go_on_connecting(&mut self) {
        if !matches!(self.link, Link::Up(_)) {
            sys::uncancelled(|| self.connect_further());
        }
    }

    #[cold]
    fn connect_further(&mut self) {
        if let Link::Down = self.link {
            if !self.reconnects() {
                return;
            }
            let now = Monotonic::now();
            if self.backoff.due().is_none_or(|due| now < due) {
                return;
            }
            self.backoff.begun();
            self.begin_attempt(false, now);
        }
        // The attempt may close its socket and go on with another one.
        self.unwatch();
        self.advance_attempt();
    }

    fn advance_attempt(&mut self) {
        let Link::Connecting(attempt) = &mut self.link else {
            return;
        };
        let before = (attempt.interest(), attempt.due());
        match attempt.advance(&self.target, Monotonic::now()) {
            // Others may sleep on this attempt, and have to wait for something else from now on.
            Progress::Waiting => self.changed |= (attempt.interest(), attempt.due()) != before,
            Progress::Failed(error) => self.attempt_failed(error, false),
            Progress::Refused(error) => self.attempt_failed(error, true),
            Progress::Greeted(connected) => self.take_up(connected),
            Progress::Connected(connected) => {
                match transport::check_server(&connected.peer, &self.settings) {
                    Ok(()) => self.greet(connected),
                    Err(error) => self.attempt_failed(error, true),
                }
            }
        }
    }

    /// With a token, a TCP connection is of use only once both sides have shown it.
    fn greet(&mut self, connected: Connected) {
        let secret = match connected.peer {
            Peer::Tcp(_) => Secret::configured(&self.event_name, &self.settings),
            Peer::Unix(_) => Ok(None),
        };
        match (secret, &mut self.link) {
            (Ok(None), _) => self.take_up(connected),
            (Ok(Some(secret)), Link::Connecting(attempt)) => {
                let zone = self.settings.timezone;
                let handshake = Handshake::new(secret, &self.event_name, zone, &connected.address);
                attempt.greet(connected, handshake);
                self.advance_attempt();
            }
            (Ok(Some(_)), _) => {}
            (Err(error), _) => self.attempt_failed(error, false),
        }
    }

    fn take_up(&mut self, connected: Connected) {
        let Link::Connecting(attempt) = &self.link else {
            return;
        };
        if !attempt.asked_for && self.was_connected {
            self.stats.reconnects += 1;
        }
        self.was_connected = true;
        self.failure_reported = false;
        self.notes.add(Level::Debug, LOG, || {
            format!("Connected to event '{}' at {}", self.event_name, connected.address)
        });
        let crowded = self.inbox.bytes() >= self.settings.client_queue_size;
        self.link = Link::Up(Connection::new(connected, crowded));
        self.changed = true;
    }

    fn attempt_failed(&mut self, error: Error, is_refusal: bool) {
        let Link::Connecting(attempt) = self.take_down() else {
            return;
        };
        let (number, asked_for) = (attempt.number, attempt.asked_for);
        self.failed = Some((number, error.clone()));
        if asked_for {
            return;
        }
        self.backoff.failed(Monotonic::now());
        // Nobody there, or nobody who answers, is what waiting for a server looks like.
        let is_absence = matches!(error.status(), Status::Closed | Status::Timeout);
        if is_refusal || !(is_absence || self.failure_reported) {
            self.failure_reported |= !is_refusal;
            self.inbox.push_end(End::Failure(error.clone()));
        } else {
            self.notes.add(Level::Debug, LOG, || format!("Connecting again failed: {error}"));
        }
        self.give_up_if_used_up(&error.to_string());
    }

    /// After a failure: says so once when it was the last that `reconnect_max_attempts` allows.
    pub fn give_up_if_used_up(&mut self, reason: &str) {
        if self.backoff.due().is_some() {
            return;
        }
        self.closed = Error::new(
            Status::Closed,
            format!(
                "No connection to event '{}' after {} attempts (reconnect_max_attempts): {reason}. \
                 Connect again to go on",
                self.event_name, self.settings.reconnect_max_attempts
            ),
        );
        self.inbox.push_end(End::Last(self.closed.clone()));
    }
}
