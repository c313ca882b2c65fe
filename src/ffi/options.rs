//! # Options
//!
//! The same keys everywhere: here, in `settings.toml`, and as `DOTSOCK_<KEY>` in the environment.
//! Later wins: built-in < the user's settings file ($XDG_CONFIG_HOME/dotsock/settings.toml, or
//! ~/.config/dotsock/settings.toml) < the file named by the environment variable DOTSOCK_SETTINGS
//! < the environment < sock_options_load() and sock_options_set(), in the order called.
//!
//! Where a call takes options, NULL means the configured ones: what sock_options_new() would
//! return. Servers and clients copy what they are given, so the options may be changed or freed
//! afterwards.
//!
//! The keys with their meaning and their defaults, as in a settings file:
//!
//! @SETTINGS@

use std::ffi::{c_char, c_int};

use parking_lot::Mutex;

use super::arguments::{copy_text, optional_text, required, text};
use super::guard;
use crate::{Options, Result};

/// Options of a server or client.
pub struct sock_options(Mutex<Versioned>);

struct Versioned {
    options: Options,
    /// How often they were changed.
    version: u64,
}

/// A copy of what C passed as options; NULL stands for the configured ones.
///
/// # Safety
/// `options` is NULL or points to live options.
pub(super) unsafe fn options_or_configured(options: *const sock_options) -> Result<Options> {
    // SAFETY: the caller's promise.
    match unsafe { options.as_ref() } {
        Some(options) => Ok(options.0.lock().options.clone()),
        None => Options::new(),
    }
}

impl sock_options {
    /// Changes a copy, which takes the place of the original when all went well. No lock is held
    /// while a file is read; when another thread's change came in between, it is done again.
    fn change(&self, change: impl Fn(&mut Options) -> Result<()>) -> Result<()> {
        loop {
            let (mut options, version) = {
                let current = self.0.lock();
                (current.options.clone(), current.version)
            };
            change(&mut options)?;
            let mut current = self.0.lock();
            if current.version == version {
                *current = Versioned { options, version: version + 1 };
                return Ok(());
            }
        }
    }
}

/// Options as the settings files and the environment have them now.
///
/// Free them with sock_options_free(). NULL on failure:
/// DOTSOCK_E_INVALID: a file or the environment has a bad value (sock_last_error() names it, for
/// a file with line and column), a file is not TOML or is longer than 1 MiB, the file of
/// DOTSOCK_SETTINGS has an unknown key, or `port_range_start` is over `port_range_end`;
/// DOTSOCK_E_IO: the file of DOTSOCK_SETTINGS cannot be read, or the user's own settings file
/// exists and cannot be read.
#[unsafe(no_mangle)]
pub extern "C" fn sock_options_new() -> *mut sock_options {
    guard::pointer(|| {
        let options = Versioned { options: Options::new()?, version: 0 };
        Ok(Box::into_raw(Box::new(sock_options(Mutex::new(options)))))
    })
}

/// Sets what the file `path` says; other options stay as they are. A load that fails changes
/// nothing.
///
/// DOTSOCK_E_IO: the file cannot be read; DOTSOCK_E_INVALID: it is not TOML, or has a bad value or
/// an unknown key (sock_last_error() says in which line and column), or is longer than 1 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_options_load(
    options: *mut sock_options,
    path: *const c_char,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for live options and a NUL-terminated string.
        let (options, path) = unsafe { (required(options, "options")?, text(path, "path")?) };
        options.change(|options| options.load(path))
    })
}

/// Sets one option. NULL as `value` sets it back to what the settings files and the environment
/// said when sock_options_new() was called, whatever has been set or loaded since.
///
/// DOTSOCK_E_INVALID: the key is unknown (sock_last_error() names the nearest known one), or the
/// value is bad (it says what is allowed).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_options_set(
    options: *mut sock_options,
    key: *const c_char,
    value: *const c_char,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for live options and NUL-terminated strings.
        let (options, key, value) = unsafe {
            (required(options, "options")?, text(key, "key")?, optional_text(value, "value")?)
        };
        options.change(|options| options.set(key, value))
    })
}

/// Writes the value of one option to `buffer`, as text with a NUL, in one form: "true" or "false",
/// "0600", numbers without trailing zeros, "" for what is unset.
///
/// `size` is that of `buffer`; DOTSOCK_OPTION_SIZE is always enough.
///
/// DOTSOCK_E_INVALID: the key is unknown, or the buffer is too small (sock_last_error() names the
/// size needed; nothing is written).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_options_get(
    options: *const sock_options,
    key: *const c_char,
    buffer: *mut c_char,
    size: usize,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for live options and a NUL-terminated string.
        let (options, key) = unsafe { (required(options, "options")?, text(key, "key")?) };
        let value = options.0.lock().options.get(key)?;
        // SAFETY: the header asks for a buffer of `size` bytes.
        unsafe { copy_text(&value, buffer, size) }
    })
}

/// Frees options. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_options_free(options: *mut sock_options) {
    if !options.is_null() {
        // SAFETY: it came from `sock_options_new` and, as the header asks, is freed once and not
        // used any more.
        guard::free(move || drop(unsafe { Box::from_raw(options) }));
    }
}
