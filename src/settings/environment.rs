//! What the process's environment says, and paths that refer to it.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::sys;

/// Environment variables: those of the process, or a list.
pub(super) trait Environment {
    /// Names and values.
    fn variables(&self) -> Vec<(OsString, OsString)>;

    /// The value of one variable; an empty one counts as not set.
    fn get(&self, name: &str) -> Option<OsString> {
        let mut variables = self.variables().into_iter();
        variables.find(|(key, _)| key == name).map(|(_, value)| value).filter(|v| !v.is_empty())
    }

    /// The user's settings file, whether it exists or not.
    fn user_file(&self) -> Option<PathBuf> {
        // The XDG specification wants relative paths ignored.
        let directory = |name| self.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = directory("XDG_CONFIG_HOME")
            .or_else(|| directory("HOME").map(|home| home.join(".config")))?;
        Some(config.join("dotsock/settings.toml"))
    }
}

/// The environment of this process, empty if the program runs with raised privileges: whoever
/// started it must not tell it which files to use.
pub(super) struct OfProcess;

impl Environment for OfProcess {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        if sys::in_secure_mode() { Vec::new() } else { std::env::vars_os().collect() }
    }
}

impl Environment for Vec<(OsString, OsString)> {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        self.clone()
    }
}

/// Replaces a leading `~` and every `${VAR}`, once: what a variable contains stays as it is.
pub(super) fn expand(text: &str, environment: &dyn Environment) -> Result<String, String> {
    let mut rest = text;
    let mut path = String::new();
    if let Some(after) = text.strip_prefix('~') {
        if !after.is_empty() && !after.starts_with('/') {
            return Err("only one's own `~` is expanded: write the path itself, or begin it with \
                        `./` for a directory of that name"
                .into());
        }
        path = variable("HOME", environment)?;
        rest = after;
    }
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("a `${` lacks its `}`")?;
        if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            return Err("between `${` and `}` stands the name of a variable".into());
        }
        path += before;
        path += &variable(name, environment)?;
        rest = after;
    }
    Ok(path + rest)
}

fn variable(name: &str, environment: &dyn Environment) -> Result<String, String> {
    let value = environment.get(name).ok_or_else(|| {
        let why = if sys::in_secure_mode() { " (with raised privileges none counts)" } else { "" };
        format!("the environment variable {name} is not set{why}: set it, or write the path itself")
    })?;
    value
        .into_string()
        .map_err(|_| format!("the value of the environment variable {name} is not UTF-8"))
}
