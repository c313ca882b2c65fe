//! What the program does, and what it hears.

use std::time::{Duration, Instant};

use dotsock::{Event, Message, MessageType, Status};
use serde_json::json;

use crate::common::PATIENCE;
use crate::ends::{End, Fate};
use crate::world::{World, name, number};

impl World {
    pub fn open(&mut self) {
        self.server.open().unwrap();
        self.running = true;
        self.corked = false;
        self.sync();
        // More than a socket holds waits for the first one.
        if self.dice.below(3) == 0 {
            (0..30).for_each(|_| self.broadcast());
        }
    }

    pub fn message(&mut self) -> (Message, MessageType) {
        self.number += 1;
        let size = self.dice.one_of(&[20, 20, 200, 3000, 18_000, 70_000]);
        let kind = self.dice.one_of(&[MessageType::Data, MessageType::Data, MessageType::Control]);
        let data = json!({"n": self.number, "text": "x".repeat(size)});
        (Message::new("event", kind, &data).unwrap(), kind)
    }

    pub fn broadcast(&mut self) {
        let sure = self.listed.iter().filter(|id| !self.ends[id].doomed).count() as u64;
        let all = self.listed.len() as u64;
        let unsure = sure == 0 && all > 0;
        if unsure && (self.corked || !self.backlog.entries.is_empty()) {
            return;
        }
        let (message, kind) = self.message();
        self.note(format_args!("broadcast {}", self.number));
        let result = self.server.send(&message, None);
        if !self.running {
            assert_eq!(result.unwrap_err().status(), Status::NotRunning);
            return;
        }
        result.unwrap();
        let (number, length) = (self.number, message.envelope().len() + 4);
        if self.retains && kind == MessageType::Data {
            self.retained = Some((number, length));
        }
        if all == 0 {
            self.backlog.push(number, length);
            self.owed.0 += 1;
            self.owed.1 += 1;
        } else {
            for id in self.listed.clone() {
                self.end_of(id).live.push((number, true));
            }
            let expels = self.policy == "disconnect";
            if (unsure || expels) && self.server.queue_size() > self.backlog.entries.len() {
                self.backlog.push(number, length);
            }
            self.owed.1 += all;
            if self.corked {
                self.collected.push((number, length));
            }
        }
        let sent_to = self.listed.clone();
        self.sync();
        // Who was found too slow for what had collected before it was out of reach already.
        self.owed.0 += sent_to.iter().filter(|id| !self.ends[id].doomed).count() as u64;
    }

    pub fn unicast(&mut self) {
        let Some(id) = self.somebody() else { return };
        let (message, _) = self.message();
        let result = self.server.send(&message, Some(&name(id)));
        let result = result.map_err(|error| error.status());
        self.note(format_args!("unicast {} to {id}: {result:?}", self.number));
        self.collected.clear();
        let full = match self.policy {
            "drop_oldest" => Status::NoClient,
            "block" => Status::Timeout,
            _ => Status::Full,
        };
        match result {
            Err(Status::Timeout) if full == Status::Timeout => {}
            Err(Status::NoClient) => {
                let known = self.listed.contains(&id);
                self.sync();
                assert!(self.ends[&id].doomed || !known, "{id} is there")
            }
            Ok(()) | Err(Status::Full) => {
                assert!(result.is_ok() || full == Status::Full);
                let number = self.number;
                self.end_of(id).live.push((number, true));
                self.owed.0 += 1;
                self.owed.1 += 1;
            }
            Err(Status::NotRunning) => assert!(!self.running),
            Err(other) => panic!("{other:?}"),
        }
        self.sync();
    }

    pub fn cork(&mut self, on: bool) {
        self.note(format_args!("cork {on}"));
        let result = if on { self.server.cork() } else { self.server.uncork() };
        assert_eq!(result.is_ok(), self.running);
        self.corked = on && self.running;
        self.collected.clear();
        self.sync();
    }

    pub fn dismiss(&mut self) {
        let Some(id) = self.somebody() else { return };
        if self.retains && !self.waiting.is_empty() && self.backlog.owner == Some(id) {
            return;
        }
        let result = self.server.disconnect_client(&name(id));
        self.note(format_args!("disconnect {id}: {}", result.is_ok()));
        assert_eq!(result.is_ok(), self.listed.contains(&id));
        self.collected.clear();
        if result.is_ok() {
            let end = self.end_of(id);
            (end.dismissed, end.cut) = (true, true);
        }
        self.sync();
    }

    pub fn clear_queue(&mut self) {
        self.note(format_args!("clear"));
        let before = self.backlog.entries.len() as u64;
        self.server.clear_queue().unwrap();
        let left = self.server.queue_size() as u64;
        let promised =
            self.retained.map(|entry| entry.0).filter(|number| self.backlog.has(*number));
        assert!(left == 0 || left == 1 && promised.is_some() && self.backlog.owner.is_some());
        self.backlog.entries.retain(|entry| left > 0 && Some(entry.0) == promised);
        if left > 0 {
            self.backlog.lent = promised;
        }
        self.owed.0 = self.owed.0.saturating_sub(before - left);
        self.owed.1 -= before - left;
        self.sync();
    }

    pub fn stop(&mut self) {
        if self.lingers {
            self.settle();
            if self.dice.below(2) == 0 {
                self.cork(true);
                (0..5).for_each(|_| self.broadcast_small());
            }
        }
        self.note(format_args!("stop"));
        for id in self.listed.clone() {
            self.end_of(id).cut = true;
        }
        let begun = Instant::now();
        self.server.stop().unwrap();
        assert!(begun.elapsed() < PATIENCE, "a stop of {:?}", begun.elapsed());
        self.collected.clear();
        self.end_told &= !self.running;
        (self.running, self.corked) = (false, false);
        for mut end in std::mem::take(&mut self.waiting) {
            end.fate = Fate::Orphan;
            self.strangers.push(end);
        }
        assert!(!self.server.is_running());
        self.sync();
    }

    pub fn broadcast_small(&mut self) {
        if self.listed.iter().any(|id| self.ends[id].doomed) || self.listed.is_empty() {
            return;
        }
        self.number += 1;
        let message = Message::new("event", MessageType::Control, &json!({"n": self.number}));
        self.server.send(&message.unwrap(), None).unwrap();
        for id in self.listed.clone() {
            let due = (self.number, true);
            self.end_of(id).live.push(due);
            self.owed.0 += 1;
            self.owed.1 += 1;
        }
    }

    /// One event, if there is one.
    pub fn next(&mut self) -> bool {
        let quiet = !self.is_readable() && !self.corked;
        let event = self.server.next(Some(Duration::ZERO));
        self.collected.clear();
        self.note(format_args!(
            "next: {}",
            match &event {
                Ok(Event::Message { client_id, .. }) => format!("message of {client_id}"),
                Ok(event) => format!("{event:?}"),
                Err(error) => format!("{:?}", error.status()),
            }
        ));
        if quiet && self.is_unix() {
            let status = event.as_ref().err().map(|error| error.status());
            let expected = if self.running { Status::Timeout } else { Status::NotRunning };
            assert_eq!(status, Some(expected), "the descriptor was quiet");
        }
        let happened = event.is_ok();
        match event {
            Ok(event) => self.hear(event),
            Err(error) if self.running => assert_eq!(error.status(), Status::Timeout),
            Err(error) => {
                assert_eq!(error.status(), Status::NotRunning);
                assert_eq!(quiet, self.end_told);
                self.end_told = true;
                assert!(!self.is_readable());
            }
        }
        self.sync();
        happened
    }

    pub fn hear(&mut self, event: Event) {
        // Who has just come is in the list from now on.
        self.sync();
        match event {
            Event::Connected { client_id } => {
                let end = self.end_of(number(&client_id));
                assert!(!end.connected);
                end.connected = true;
            }
            Event::Message { client_id, message } => {
                let (allows, unix) = (self.allows, self.is_unix());
                let end = self.end_of(number(&client_id));
                assert!(end.connected && !end.gone && !end.dismissed && allows);
                let index = message.get("/s").unwrap().as_i64().unwrap() as usize;
                assert_eq!(index, end.yielded);
                assert!(!unix || end.goods[index] <= end.said);
                end.yielded += 1;
                self.yielded += 1;
            }
            Event::Disconnected { client_id } => {
                let (allows, unix) = (self.allows, self.is_unix());
                let expels = self.policy == "disconnect";
                let id = number(&client_id);
                assert!(!self.running || !self.listed.contains(&id));
                let end = self.end_of(id);
                assert!(end.connected && !end.gone);
                end.gone = true;
                // Too slow, and closed before anybody looked.
                end.doomed |= expels && !end.cut;
                let due = End::within(&end.goods, end.due_speech());
                if !end.cut && allows && (unix || !end.doomed) && !expels {
                    assert!(end.yielded >= due, "{id} has said {due}, {} heard", end.yielded);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn is_readable(&self) -> bool {
        let fd = self.server.fd().unwrap();
        let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid entry.
        unsafe { libc::poll(&mut entry, 1, 0) > 0 }
    }

    /// Takes every event; then the descriptor is quiet.
    pub fn drain_events(&mut self) {
        let mut idle = 0;
        while idle < 100 {
            let before = self.server.stats();
            let happened = self.next();
            if !happened && !self.is_readable() {
                return;
            }
            idle = if happened || self.server.stats() != before { 0 } else { idle + 1 };
        }
        panic!("the descriptor is readable for ever");
    }
}
