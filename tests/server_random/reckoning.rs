//! The end: everybody has left, and everything adds up.

use std::time::{Duration, Instant};

use crate::common::PATIENCE;
use crate::ends::{End, Fate};
use crate::world::{World, name, number};

impl World {
    /// Everybody hears all there is, and so does the program.
    pub fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let mut still = 0;
        while still < 3 {
            assert!(Instant::now() < deadline, "it does not settle");
            let ends = self.ends.values_mut().chain(&mut self.strangers).chain(&mut self.waiting);
            let heard = ends.fold(false, |heard, end| end.hear(1 << 20) | heard);
            let number = self.accepted + self.yielded;
            self.drain_events();
            let queued = self.server.clients();
            let mut living = queued.iter().filter(|info| !self.is_doomed(&info.id));
            let waits = !self.corked && living.any(|info| info.queued_bytes > 0);
            let leaving = self.ends.iter().any(|(id, end)| !end.gone && !self.listed.contains(id));
            let busy = heard || waits || leaving || number != self.accepted + self.yielded;
            still = if busy || !self.waiting.is_empty() { 0 } else { still + 1 };
            if !self.is_unix() {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
    }

    pub fn is_doomed(&self, client: &str) -> bool {
        self.ends[&number(client)].doomed
    }

    pub fn end(&mut self) {
        self.note(format_args!("end"));
        if !self.running {
            self.open();
        }
        self.cork(false);
        self.settle();
        let denies = !self.allows;
        // Some are told to leave, the others leave by themselves.
        for id in self.listed.clone() {
            if id % 2 == 0 && !self.ends[&id].doomed {
                self.server.disconnect_client(&name(id)).unwrap();
                let end = self.end_of(id);
                (end.dismissed, end.cut) = (true, true);
                self.sync();
            } else {
                let end = self.end_of(id);
                end.speak(1 << 20);
                end.end_speech();
                end.hear(1 << 20);
                if end.doomed {
                    end.close(false);
                }
            }
        }
        self.settle_all_gone();
        if !self.backlog.entries.is_empty() {
            self.connect();
            self.settle();
            assert_eq!(self.server.queue_size(), 0, "the last one gets all of it");
        }
        self.stop();
        self.drain_events();
        self.end_told |= !self.is_readable();
        let mut sum = (0, 0, 0);
        let lingers = self.lingers;
        for end in self.ends.values_mut().chain(&mut self.strangers) {
            let deadline = Instant::now() + PATIENCE;
            while end.stream.is_some() && !end.has_ended {
                end.hear(1 << 20);
                assert!(Instant::now() < deadline, "its stream does not end");
            }
            assert!(end.gone == (end.fate == Fate::Client));
            let complete = !end.doomed && lingers;
            let heard = end.check(complete, denies);
            sum.0 += heard.bytes as u64;
            sum.1 += heard.frames as u64;
            sum.2 += heard.messages as u64;
        }
        self.check_counters(sum);
    }

    pub fn settle_all_gone(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.ends.values().all(|end| end.gone) {
            assert!(Instant::now() < deadline, "they do not leave");
            self.settle_once();
        }
    }

    pub fn settle_once(&mut self) {
        self.ends.values_mut().chain(&mut self.strangers).for_each(|end| {
            end.hear(1 << 20);
        });
        self.drain_events();
    }

    pub fn check_counters(&self, (bytes, frames, messages): (u64, u64, u64)) {
        let stats = self.server.stats();
        assert_eq!(stats.messages_received, self.yielded);
        if !self.is_unix() {
            return;
        }
        assert_eq!((stats.bytes_sent, stats.messages_sent), (bytes, frames), "sent");
        let notices = if self.allows { 0 } else { self.ends.len() as u64 };
        let accounted = messages + stats.messages_dropped + stats.queued;
        let most = self.owed.1 + self.refused + notices;
        assert!(
            (self.owed.0..=most).contains(&accounted),
            "{accounted} accounted for ({messages} heard, {} dropped, {} queued), {:?} owed",
            stats.messages_dropped,
            stats.queued,
            self.owed
        );
        let (mut least, mut most) = ([0; 3], [0; 3]);
        for end in self.ends.values() {
            let good = |bytes| End::within(&end.goods, bytes) as u64;
            let huge = end.huge.is_some_and(|huge| huge <= end.said) as u64;
            let partial = (huge == 0 && end.ends_inside_a_frame()) as u64;
            let bad = |bytes| End::within(&end.bads, bytes) as u64;
            most[0] += bad(end.said) + huge + partial;
            most[1] += good(end.said);
            most[2] += end.said as u64;
            if !end.cut && self.policy != "disconnect" {
                let due = end.due_speech();
                let whole = due == end.said;
                least[0] += bad(due) + if whole { huge + partial } else { 0 };
                least[1] += good(due);
                least[2] += due as u64;
            }
        }
        let denied = if self.allows { [0; 2] } else { [least[1], most[1]] };
        assert!((least[0]..=most[0]).contains(&stats.malformed), "{least:?} {most:?} {stats:?}");
        assert!((denied[0]..=denied[1]).contains(&stats.denied), "{denied:?} {stats:?}");
        assert!(
            (least[2]..=most[2]).contains(&stats.bytes_received),
            "{least:?} {most:?} {stats:?}"
        );
    }
}
