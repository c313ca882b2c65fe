//! Where values come from: the built-in file, settings files, the environment.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use log::warn;
use toml::de::{DeTable, DeValue};

use super::Settings;
use super::environment::Environment;
use super::keys::{KEYS, Key, clipped, nearest};
use crate::{Error, Result, Status};

const BUILT_IN: &str = include_str!("../../config/settings.toml");
const LOG: &str = "dotsock::settings";
const PREFIX: &str = "DOTSOCK_";
const NAMES_FILE: &str = "DOTSOCK_SETTINGS";

/// Variables that are no options: ours, and the one that tells the Lua binding which library to load.
const NO_OPTIONS: [&str; 2] = [NAMES_FILE, "DOTSOCK_LIBRARY"];

/// The longest settings file. Ours has 6 KB; a path that leads elsewhere must not fill memory.
const MAX_FILE: u64 = 1 << 20;

/// What happens to keys that nobody knows.
#[derive(Clone, Copy, PartialEq)]
enum Unknown {
    Refused,
    /// The layer may have been written for a newer version of the library.
    Logged,
}

/// The values that are compiled in.
pub(super) fn built_in() -> Result<Settings> {
    let defect = |text: String| {
        Error::new(Status::Internal, format!("config/settings.toml, compiled in: {text}"))
    };
    // Most of it are comments, and the parser takes seven times as much memory as there is text.
    let lines: Vec<&str> = BUILT_IN.lines().filter(|line| !line.starts_with('#')).collect();
    let text = lines.join("\n");
    let table = DeTable::parse(&text).map_err(|error| defect(error.to_string()))?;
    let value = |name: &str| table.get_ref().get(name).map(|value| value.get_ref());
    Settings::from_values(value, &Vec::new()).map_err(defect)
}

/// Everything outside of the program: the user's file, `DOTSOCK_SETTINGS`, the environment.
pub(super) fn apply_outside(settings: &mut Settings, environment: &dyn Environment) -> Result<()> {
    if let Some(path) = environment.user_file().filter(|path| exists(path)) {
        let text = read(&path, "make it readable, or move it away")?;
        apply_text(settings, &path, &text, Unknown::Logged, environment)?;
    }
    if let Some(path) = environment.get(NAMES_FILE).map(PathBuf::from) {
        let text = read(&path, "DOTSOCK_SETTINGS names it: correct or unset that variable")?;
        apply_text(settings, &path, &text, Unknown::Refused, environment)?;
    }
    apply_variables(settings, environment)
}

/// One settings file that the program names.
pub(super) fn apply_file(
    settings: &mut Settings,
    path: &Path,
    environment: &dyn Environment,
) -> Result<()> {
    let text = read(path, "name a file that exists and is readable")?;
    apply_text(settings, path, &text, Unknown::Refused, environment)
}

fn apply_variables(settings: &mut Settings, environment: &dyn Environment) -> Result<()> {
    for (variable, value) in environment.variables() {
        let variable = variable.to_string_lossy();
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        if NO_OPTIONS.contains(&&*variable) {
            continue;
        }
        let Some(key) = KEYS.iter().find(|key| key.name.to_ascii_uppercase() == name) else {
            warn_of_unknown(&variable, name);
            continue;
        };
        let placed =
            |text: &str| Error::invalid(format!("Environment variable {variable}: {text}"));
        let value = value.into_string().map_err(|_| placed("its value is not UTF-8"))?;
        key.read(settings, &DeValue::String(Cow::Owned(value)), environment)
            .map_err(|text| placed(&text))?;
    }
    Ok(())
}

fn warn_of_unknown(variable: &str, name: &str) {
    let close = nearest(name, KEYS.iter().map(|key| key.name));
    let close =
        close.map(|close| format!(", the nearest is {PREFIX}{}", close.to_ascii_uppercase()));
    warn!(
        target: LOG,
        "Environment variable {} is no option and has no effect{}",
        clipped(variable),
        close.unwrap_or_default()
    );
}

/// Whether the user's file is there. One in a directory that this process may not even enter, as
/// where a service of another user kept root's HOME, counts as missing.
fn exists(path: &Path) -> bool {
    match fs::metadata(path).map_err(|error| error.kind()) {
        Err(ErrorKind::NotFound | ErrorKind::NotADirectory) => false,
        Err(ErrorKind::PermissionDenied) => {
            warn!(target: LOG, "{}: not ours to look at, ignored", path.display());
            false
        }
        _ => true,
    }
}

/// The text of a settings file; `remedy` says what to do when it can't be read.
fn read(path: &Path, remedy: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let done = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    done.map_err(|error: io::Error| {
        let text = format!("Can't read settings file {} ({remedy})", path.display());
        Error::os(Status::Io, text, &error)
    })?;
    if bytes.len() as u64 > MAX_FILE {
        let path = path.display();
        return Err(Error::invalid(format!(
            "Settings file {path} is longer than {MAX_FILE} bytes: is it the right file?"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let end = error.utf8_error().valid_up_to();
        let good = String::from_utf8_lossy(&error.as_bytes()[..end]);
        placed(path, &good, end, "bytes that are not UTF-8: save the file as UTF-8")
    })
}

fn apply_text(
    settings: &mut Settings,
    path: &Path,
    text: &str,
    unknown: Unknown,
    environment: &dyn Environment,
) -> Result<()> {
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        placed(path, text, start, error.message())
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    for (name, value) in entries {
        match Key::find(name.get_ref()) {
            Ok(key) => key
                .read(settings, value.get_ref(), environment)
                .map_err(|reason| placed(path, text, value.span().start, &reason))?,
            Err(mut reason) => {
                if value.get_ref().is_table() {
                    reason = format!(
                        "'{name}' is a section: settings files have none; write its keys \
                                      at the top, without it",
                        name = clipped(name.get_ref())
                    );
                }
                let error = placed(path, text, name.span().start, &reason);
                if unknown == Unknown::Refused {
                    return Err(error);
                }
                warn!(target: LOG, "{error}; it has no effect");
            }
        }
    }
    Ok(())
}

/// An error at a byte of a settings file. Columns count characters.
fn placed(path: &Path, text: &str, at: usize, reason: &str) -> Error {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let path = path.display();
    Error::invalid(format!("Settings file {path}, line {line}, column {column}: {reason}"))
}
