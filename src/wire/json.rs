//! MessagePack to JSON and back.

use crate::Result;

/// The MessagePack of one JSON object. Key order is kept; of equal keys the last wins.
pub(crate) fn object_from_json(_json: &str, _max_depth: usize) -> Result<Vec<u8>> {
    todo!()
}

/// The MessagePack of any JSON value.
pub(crate) fn value_from_json(_json: &str, _max_depth: usize) -> Result<Vec<u8>> {
    todo!()
}

/// The JSON text of well-formed MessagePack.
pub(crate) fn to_json(_msgpack: &[u8]) -> Result<String> {
    todo!()
}

/// The JSON text of a well-formed envelope, without the keys that are not known.
pub(crate) fn envelope_to_json(_envelope: &[u8]) -> Result<String> {
    todo!()
}
