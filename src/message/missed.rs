//! The payload of the message that stands where others were dropped, because a client takes them too
//! slowly.

use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Missed {
    code: &'static str,
    count: u64,
}

impl Missed {
    pub fn new(count: u64) -> Missed {
        Missed { code: "missed", count }
    }
}
