//! How the two ends of a TCP connection show each other that they know the same token, without
//! telling it: what they say, and how they prove it. `server/gate.rs` and `client/handshake.rs` are
//! the two ends.
//!
//! The server asks with a fresh nonce. The client answers with one of its own and a MAC over both,
//! and the server closes the handshake with a MAC of its own. Each MAC begins with the side that
//! made it, so that neither can be sent back, and covers both nonces, so that none can be sent again.

mod messages;
mod reader;
mod secret;

pub(crate) use messages::{Said, answer, ask, confirm, is_ask, listen};
pub(crate) use reader::{FrameReader, Heard};
pub(crate) use secret::{Nonce, Secret, fresh_nonce};
