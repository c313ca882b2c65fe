//! What the program does, and what it may expect of it.

use std::time::Duration;

use dotsock::{Message, MessageType, Result, Status};
use serde_json::json;

use super::World;
use crate::support::{NOW, is_readable};

fn status<T>(result: Result<T>) -> Option<Status> {
    result.err().map(|error| error.status())
}

impl World {
    pub fn act_as_program(&mut self) {
        match self.dice.below(40) {
            3..15 | 31..39 if self.is_talkative && self.dice.below(8) > 0 => self.send(),
            0 | 1 => self.connect(),
            2 if self.auto_reconnect => self.open(),
            3..14 => drop(self.recv(NOW)),
            14 => drop(self.recv(Some(Duration::from_millis(1)))),
            15..25 => self.send(),
            25 | 26 => {
                self.client.cork().unwrap();
                self.note("cork");
            }
            27 | 28 => self.uncork(),
            29 if self.dice.below(5) == 0 => self.disconnect(),
            30 if self.dice.below(2) == 0 => self.clear(),
            31 | 32 => self.count(),
            33 => self.look(),
            34 if self.dice.below(3) == 0 => {
                self.client.cancel().unwrap();
                self.cancelled = true;
                self.note("cancel");
            }
            35..38 => self.drain(),
            _ => {}
        }
    }

    fn open(&mut self) {
        self.may_forget |= self.refusals > 0;
        self.client.open().unwrap();
        self.told = true;
        self.note("open");
    }

    pub fn connect(&mut self) {
        self.may_forget |= self.refusals > 0;
        let status = status(self.client.connect());
        self.note(format!("connect: {status:?}"));
        if std::mem::take(&mut self.cancelled) {
            assert_eq!(status, Some(Status::Cancelled));
        } else {
            let is_absent = self.listener.is_none() && status == Some(Status::Closed);
            assert!(status.is_none() || is_absent);
        }
        self.told = true;
        self.told_end = status.is_some();
        self.accept(true);
    }

    fn disconnect(&mut self) {
        let had_hope = self.client.is_connected() || (self.told && self.auto_reconnect);
        self.told_end &= !had_hope;
        self.told = false;
        self.client.disconnect().unwrap();
        self.note("disconnect");
        self.was_connected = false;
        self.has_disconnected = true;
        if let Some(peer) = self.peers.last_mut() {
            peer.is_left = true;
        }
        // What was not read is gone, and so is what was not written.
        let stats = self.client.stats();
        let read = (stats.messages_received - self.received - self.cleared) as usize;
        let kept = if self.may_drop || self.is_tcp { 0 } else { read };
        let due = self.pending.iter_mut().filter(|pending| pending.is_due);
        due.skip(kept).for_each(|pending| pending.is_due = false);
        self.sent.truncate(stats.messages_sent as usize);
    }

    pub fn recv(&mut self, timeout: Option<Duration>) -> Option<Status> {
        let has_waited = timeout != NOW;
        let result = self.client.recv(timeout);
        if let Ok(message) = &result {
            self.hear(message);
        }
        let status = status(result);
        self.note(format!("recv: {status:?}"));
        if has_waited && std::mem::take(&mut self.cancelled) {
            assert_eq!(status, Some(Status::Cancelled));
        } else {
            assert_ne!(status, Some(Status::Cancelled));
        }
        match status {
            None | Some(Status::Timeout | Status::Cancelled) => {}
            Some(Status::Closed) => {
                assert!(!(self.told && self.auto_reconnect) || self.report_loss);
                self.ends_since += 1;
                self.ends += usize::from(self.told);
                self.told_end = true;
            }
            Some(Status::Message) => {
                self.garbage = self.garbage.checked_sub(1).expect("told already");
            }
            Some(status) => self.judge_refusal(status),
        }
        self.accept(false);
        status
    }

    fn hear(&mut self, message: &Message) {
        let value = |pointer| message.get(pointer).and_then(|value| value.as_i64());
        if let Some(count) = value("/count") {
            assert!(self.may_drop, "there was room");

            self.note(format!("missed {count}"));
            self.missed += count as u64;
            return;
        }
        let number = value("/n").unwrap();
        self.note(format!("received {number}"));
        self.received += 1;
        let peer = loop {
            let pending = self.pending.pop_front().expect("it was written, and not received yet");
            if pending.number == number {
                break pending.peer;
            }
            if pending.is_due {
                self.missed = self.missed.checked_sub(1).expect("a message was lost");
            }
        };
        if peer > self.heard_from && self.auto_reconnect && self.report_loss {
            let mut between = self.peers[self.heard_from..peer].iter();
            assert!(between.any(|peer| peer.is_left) || self.ends_since > 0, "no end between");
        }
        self.heard_from = peer;
        self.ends_since = 0;
    }

    pub fn send(&mut self) {
        let size = self.dice.of(&[0, 0, 0, 10, 200, 3_000, 20_000, 80_000, 300_000]);
        self.number += 1;
        let data = json!({"n": self.number, "text": "x".repeat(size)});
        let result = match self.dice.below(2) {
            0 => self.client.send_data(MessageType::Data, &data),
            _ => self.client.send(&Message::new("event", MessageType::Data, &data).unwrap()),
        };
        if result.is_ok() {
            self.sent.push(self.number);
        }
        let status = status(result);
        self.note(format!("send {} of {size}: {status:?}", self.number));
        self.judge_send(status);
    }

    pub fn uncork(&mut self) {
        let status = status(self.client.uncork());
        self.note(format!("uncork: {status:?}"));
        self.judge_send(status);
    }

    fn judge_send(&mut self, status: Option<Status>) {
        self.accept(false);
        match status {
            None | Some(Status::Timeout) => {}
            Some(Status::Cancelled) => assert!(self.cancelled),
            Some(Status::Closed) => assert!(!(self.told && self.auto_reconnect)),
            Some(Status::SendDenied) => assert!(self.peers.last().unwrap().denies),
            Some(status) => self.judge_refusal(status),
        }
    }

    fn judge_refusal(&mut self, status: Status) {
        assert_eq!(status, Status::MaxConnections);
        self.refusals = self.refusals.checked_sub(1).expect("told already");
        self.ends_since += 1;
        self.told_end |= !self.auto_reconnect;
    }

    fn clear(&mut self) {
        self.client.clear_buffer().unwrap();
        let gone = self.client.stats().messages_received - self.received - self.cleared;
        self.note(format!("clear: {gone}"));
        self.cleared += gone;
        self.has_cleared = true;
        let most = if self.may_drop { usize::MAX } else { gone as usize };
        let due = self.pending.iter_mut().filter(|pending| pending.is_due);
        due.take(most).for_each(|pending| pending.is_due = false);
    }

    fn count(&mut self) {
        let count = self.client.buffer_size();
        self.note(format!("buffer_size: {count}"));
        assert!(count <= self.pending.len());
        if count > 0 {
            let is_told = self.client.fd().is_none_or(|fd| is_readable(fd, Duration::ZERO));
            assert!(is_told && self.client.has_next());
        }
        for _ in 0..self.dice.below(count + 1) {
            assert_ne!(self.recv(NOW), Some(Status::Timeout));
        }
    }

    fn look(&mut self) {
        let is_connected = self.client.is_connected();
        self.note(format!("is_connected: {is_connected}"));
        let has_ended = self.peers.last().is_none_or(|peer| peer.has_ended);
        assert!(self.is_tcp || !(is_connected && has_ended), "nobody is there");
    }
}
