//! The messages of the handshake: control messages with the reserved code `auth`.

use serde::{Serialize, Serializer};

use super::secret::{Mac, Nonce};
use crate::timestamp::Stamper;
use crate::wire::envelope;
use crate::{Error, Message, MessageType, Result, Status};

/// Deep enough for every message of a handshake: its payload has only values.
const DEPTH: usize = 8;

/// Binary in MessagePack.
struct Bytes<'a>(&'a [u8; 32]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_slice())
    }
}

#[derive(Serialize)]
struct Auth<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<Bytes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<Bytes<'a>>,
}

/// The server asks who is there.
pub(crate) fn ask(event_name: &str, stamper: &mut Stamper, nonce: &Nonce) -> Result<Message> {
    compose(event_name, stamper, Some(nonce), None)
}

/// The client answers.
pub(crate) fn answer(
    event_name: &str,
    stamper: &mut Stamper,
    nonce: &Nonce,
    mac: &Mac,
) -> Result<Message> {
    compose(event_name, stamper, Some(nonce), Some(mac))
}

/// The server closes the handshake.
pub(crate) fn confirm(event_name: &str, stamper: &mut Stamper, mac: &Mac) -> Result<Message> {
    compose(event_name, stamper, None, Some(mac))
}

fn compose(
    event_name: &str,
    stamper: &mut Stamper,
    nonce: Option<&Nonce>,
    mac: Option<&Mac>,
) -> Result<Message> {
    let auth = Auth { code: "auth", nonce: nonce.map(Bytes), mac: mac.map(Bytes) };
    let data = rmp_serde::to_vec_named(&auth).map_err(|error| {
        Error::new(Status::Internal, format!("A handshake cannot be written: {error}"))
    })?;
    Message::compose(event_name, MessageType::Control, &data, &stamper.now())
}

/// What a peer said in a handshake.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Ask(Nonce),
    Answer(Nonce, Mac),
    Confirm(Mac),
    /// The server turns the client away, with these words.
    Denied(String),
    /// Something that has no place in a handshake.
    Other,
}

/// Understands a whole frame, header included.
pub(crate) fn listen(frame: &[u8]) -> Said {
    let message = envelope::check(frame, DEPTH)
        .ok()
        .and_then(|fields| Message::copy_frame(frame, fields).ok());
    message.map_or(Said::Other, |message| understand(&message))
}

/// Whether a message is a server's question for the token.
pub(crate) fn is_ask(message: &Message) -> bool {
    matches!(understand(message), Said::Ask(_))
}

fn understand(message: &Message) -> Said {
    let text = |pointer| message.get(pointer)?.as_str();
    let bytes = |pointer| message.get(pointer).and_then(|value| value.as_bytes());
    match (message.message_type(), text("/code")) {
        (MessageType::Error, Some("auth_denied")) => {
            Said::Denied(text("/message").unwrap_or_default().to_owned())
        }
        (MessageType::Control, Some("auth")) => {
            let exact = |bytes: Option<&[u8]>| bytes.map(|bytes| bytes.try_into().ok());
            match (exact(bytes("/nonce")), exact(bytes("/mac"))) {
                (Some(Some(nonce)), None) => Said::Ask(nonce),
                (Some(Some(nonce)), Some(Some(mac))) => Said::Answer(nonce, mac),
                (None, Some(Some(mac))) => Said::Confirm(mac),
                _ => Said::Other,
            }
        }
        _ => Said::Other,
    }
}
