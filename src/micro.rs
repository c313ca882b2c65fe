//! Doors to pieces that `benches/micro.rs` measures alone. No part of the API.

use crate::MessageType;
use crate::timestamp::Stamper;
use crate::wire::envelope::{self, Template};
use crate::zone::Zone;

/// Writes envelopes as a server does.
pub struct Writer {
    template: Template,
    stamper: Stamper,
}

impl Writer {
    /// One for DATA of this event.
    pub fn new(event_name: &str) -> Writer {
        let template = Template::new(event_name, MessageType::Data);
        Writer { template, stamper: Stamper::new(Zone::UTC) }
    }

    /// Appends everything in front of a payload, with the time of now.
    pub fn write(&mut self, data_len: usize, out: &mut Vec<u8>) {
        self.template.write_head(&self.stamper.now(), data_len, out);
    }
}

/// Whether a whole frame holds a valid envelope.
pub fn is_valid(frame: &[u8]) -> bool {
    envelope::check(frame, 128).is_ok()
}
