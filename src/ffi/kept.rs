//! Texts that a handle lends to C until it is freed.

use std::ffi::{CString, c_char};

use parking_lot::Mutex;

use super::guard::c_text;

/// Every different text that was lent, so that a pointer stays valid when the value changes.
#[derive(Default)]
pub(super) struct KeptTexts(Mutex<Vec<CString>>);

impl KeptTexts {
    pub fn lend(&self, text: &str) -> *const c_char {
        let mut kept = self.0.lock();
        // The one asked for is most likely the newest.
        if let Some(known) = kept.iter().rev().find(|known| known.as_bytes() == text.as_bytes()) {
            return known.as_ptr();
        }
        let fresh = c_text(text);
        // A CString's text is on the heap and stays there when the vector grows.
        let pointer = fresh.as_ptr();
        kept.push(fresh);
        pointer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn each_different_text_is_kept_once() {
        let kept = KeptTexts::default();
        let first = kept.lend("127.0.0.1:9000");
        for port in 0..100 {
            kept.lend(&format!("127.0.0.1:{port}"));
        }
        assert_eq!(first, kept.lend("127.0.0.1:9000"));
        // SAFETY: the store is alive, and so is what it lent.
        assert_eq!(unsafe { CStr::from_ptr(first) }, c"127.0.0.1:9000");
    }
}
