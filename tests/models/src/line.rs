//! One client of a server as senders see it that wait for room: how much that is, who writes.

/// The file that is checked.
pub mod waiting {
    include!(concat!(env!("OUT_DIR"), "/server_waiting.rs"));
}

pub mod segment {
    pub struct Segment(pub [u8; 1]);

    impl Segment {
        pub fn bytes(&self) -> &[u8] {
            &self.0
        }
    }
}

pub mod common {
    #[derive(Default)]
    pub struct Common {
        pub dropped: u64,
    }
}

pub mod delivery {
    use std::collections::BTreeMap;

    use super::common::Common;
    use super::recipient::Recipient;

    #[derive(Default)]
    pub struct Delivery {
        pub clients: BTreeMap<u64, Recipient>,
        pub common: Common,
    }
}

pub mod recipient {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use super::common::Common;
    use super::segment::Segment;
    use super::waiting::Waiter;
    use crate::kernel::StreamSocket;

    /// A client whose outbox holds one frame, kept in step as `Recipient::settle` does it.
    #[derive(Default)]
    pub struct Recipient {
        pub socket: Arc<StreamSocket>,
        pub waiting: VecDeque<Arc<Waiter>>,
        outbox: VecDeque<u32>,
        watched: bool,
        paced: bool,
    }

    impl Recipient {
        pub fn has_room(&self, _: usize, _: &Common) -> bool {
            self.outbox.is_empty()
        }

        pub fn queue(&mut self, _: u64, frame: &Segment, _: &mut Common) {
            self.outbox.push_back(frame.0[0].into());
        }

        pub fn write(&mut self, id: u64, common: &mut Common) -> bool {
            while let Some(&frame) = self.outbox.front()
                && self.socket.send(frame)
            {
                self.outbox.pop_front();
            }
            self.settle(id, !self.outbox.is_empty(), common);
            true
        }

        pub fn settle(&mut self, _: u64, blocked: bool, _: &mut Common) {
            let watched = self.is_behind() && blocked && self.waiting.is_empty() && !self.paced;
            if watched != self.watched {
                self.watched = watched;
                self.socket.watch(watched);
            }
        }

        pub fn is_behind(&self) -> bool {
            !self.outbox.is_empty() || !self.waiting.is_empty()
        }

        pub fn is_watched(&self) -> bool {
            self.watched
        }

        pub fn is_starved(&self) -> bool {
            false
        }

        pub fn is_broken(&self) -> bool {
            false
        }

        pub fn reserve(&mut self) -> bool {
            true
        }

        pub fn set_paced(&mut self, paced: bool) {
            self.paced = paced;
        }

        pub fn miss(&mut self, _: u64, _: u64, common: &mut Common) {
            common.dropped += 1;
        }

        pub fn wake_first(&self) {
            if let Some(waiter) = self.waiting.front() {
                waiter.wake();
            }
        }

        pub fn wake_all(&self) {
            self.waiting.iter().for_each(|waiter| waiter.wake());
        }
    }
}
