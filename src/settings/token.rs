//! A secret that server and client share, which never shows itself.

use std::fmt;

/// A token: at least one byte.
#[derive(Clone, PartialEq)]
pub(crate) struct Token(Vec<u8>);

impl Token {
    /// `None` for no bytes at all: everybody knows those.
    pub fn new(bytes: Vec<u8>) -> Option<Token> {
        (!bytes.is_empty()).then_some(Token(bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}
