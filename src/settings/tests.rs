use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use toml::de::DeTable;

use super::keys::KEYS;
use super::*;

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn options(variables: &[(&str, &str)]) -> Result<Options> {
    Options::read(&environment(variables))
}

/// The error of `DOTSOCK_<KEY>=value`.
fn refusal(variable: &str, value: &str) -> String {
    options(&[(variable, value)]).unwrap_err().to_string()
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_list_the_file_and_the_guide_have_the_same_keys() {
    let file = DeTable::parse(include_str!("../../config/settings.toml")).unwrap();
    let in_file: BTreeSet<&str> = file.get_ref().keys().map(|key| key.get_ref().as_ref()).collect();
    let listed: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(in_file, listed);
    let guide = include_str!("../../docs/configuration.md");
    for key in listed {
        assert!(guide.contains(&format!("`{key}`")), "docs/configuration.md lacks {key}");
    }
}

#[test]
fn the_guide_tells_the_defaults() {
    let guide = include_str!("../../docs/configuration.md");
    for key in KEYS {
        let value = key.show(Settings::built_in().unwrap());
        let shown = if value.is_empty() { "unset".into() } else { format!("`{value}`") };
        let row = format!("| `{}` | {shown} |", key.name);
        assert!(guide.contains(&row), "docs/configuration.md lacks the row beginning {row}");
    }
}

#[test]
fn what_get_answers_can_be_set() {
    let mut options = options(&[]).unwrap();
    for key in KEYS {
        let value = options.get(key.name).unwrap();
        options.set(key.name, Some(&value)).unwrap();
        assert_eq!(options.get(key.name).unwrap(), value);
    }
    assert_eq!(&options.settings, Settings::built_in().unwrap());
}

#[test]
fn later_layers_win() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().to_str().unwrap();
    let user = "linger = 2\nmax_depth = 2\nmax_connections = 2\nbuffer_size = 2\n";
    write(directory.path(), ".config/dotsock/settings.toml", user);
    let named = "max_depth = 3\nmax_connections = 3\nbuffer_size = 3\n";
    let named = write(directory.path(), "named.toml", named);
    let loaded = write(directory.path(), "loaded.toml", "buffer_size = 5\n");

    let variables = [
        ("HOME", home),
        ("DOTSOCK_SETTINGS", &named),
        ("DOTSOCK_MAX_CONNECTIONS", "4"),
        ("DOTSOCK_BUFFER_SIZE", "4"),
    ];
    let mut options = options(&variables).unwrap();
    options.load(loaded).unwrap();
    let get = |key| options.get(key).unwrap();
    assert_eq!(get("default_timeout"), "5");
    assert_eq!(get("linger"), "2");
    assert_eq!(get("max_depth"), "3");
    assert_eq!(get("max_connections"), "4");
    assert_eq!(get("buffer_size"), "5");

    options.set("buffer_size", Some("6")).unwrap();
    assert_eq!(options.get("buffer_size").unwrap(), "6");
    options.set("buffer_size", None).unwrap();
    assert_eq!(options.get("buffer_size").unwrap(), "4");
}

#[test]
fn the_users_file_stands_where_xdg_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    write(directory.path(), "home/.config/dotsock/settings.toml", "linger = 1.5");
    write(directory.path(), "xdg/dotsock/settings.toml", "linger = 2.5");
    let linger = |variables: &[(&str, &str)]| options(variables).unwrap().get("linger").unwrap();
    let (home, xdg, empty) = (path("home"), path("xdg"), path("empty"));
    assert_eq!(linger(&[("HOME", &home)]), "1.5");
    assert_eq!(linger(&[("HOME", &home), ("XDG_CONFIG_HOME", &xdg)]), "2.5");
    assert_eq!(linger(&[("HOME", &home), ("XDG_CONFIG_HOME", "")]), "1.5");
    assert_eq!(linger(&[("HOME", &home), ("XDG_CONFIG_HOME", "not/absolute")]), "1.5");
    assert_eq!(linger(&[("HOME", &home), ("XDG_CONFIG_HOME", &empty)]), "1");
    assert_eq!(linger(&[("HOME", "/dev/null")]), "1");
    assert_eq!(linger(&[]), "1");
}

#[test]
fn a_settings_file_that_is_none_of_these_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().to_str().unwrap();
    std::fs::create_dir_all(directory.path().join(".config/dotsock/settings.toml")).unwrap();
    let error = options(&[("HOME", home)]).unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Io, Some(libc::EISDIR)));

    let error = options(&[("DOTSOCK_SETTINGS", "/nowhere/at.toml")]).unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Io, Some(libc::ENOENT)));
    let text = error.to_string();
    assert!(text.contains("/nowhere/at.toml") && text.contains("DOTSOCK_SETTINGS"), "{text}");

    let error = options(&[("DOTSOCK_SETTINGS", "/dev/zero")]).unwrap_err();
    assert_eq!(error.status(), Status::Invalid);
    assert!(error.to_string().contains("1048576"), "{error}");

    assert!(options(&[("DOTSOCK_SETTINGS", "")]).is_ok());
}

#[test]
fn a_bad_value_in_the_users_file_is_an_error_though_a_later_layer_replaces_it() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().to_str().unwrap();
    write(directory.path(), ".config/dotsock/settings.toml", "linger = -1\n");
    let error = options(&[("HOME", home), ("DOTSOCK_LINGER", "1")]).unwrap_err().to_string();
    assert!(error.contains("settings.toml, line 1, column 10"), "{error}");
}

#[test]
fn bad_variables_are_named() {
    for (variable, value, wanted) in [
        ("DOTSOCK_MAX_DEPTH", "0", "max_depth = '0'"),
        ("DOTSOCK_MAX_DEPTH", "", "from 1 to"),
        ("DOTSOCK_HOST", "", "1 to 255 bytes"),
        ("DOTSOCK_TIMEZONE", "America/NewYork", "America/New_York"),
        ("DOTSOCK_SLOW_CLIENT", "drop", "drop_oldest, drop_newest, disconnect and block"),
    ] {
        let error = refusal(variable, value);
        assert!(error.contains(variable) && error.contains(wanted), "{error}");
    }
    let odd = vec![("DOTSOCK_HOST".into(), OsString::from_vec(vec![0xff]))];
    let error = Options::read(&odd).unwrap_err().to_string();
    assert!(error.contains("DOTSOCK_HOST") && error.contains("UTF-8"), "{error}");
}

#[test]
fn an_empty_variable_unsets_what_can_be_unset() {
    let directory = tempfile::tempdir().unwrap();
    let named = write(directory.path(), "named.toml", "port = 7\nsend_timeout = 7\n");
    let variables =
        [("DOTSOCK_SETTINGS", &*named), ("DOTSOCK_PORT", ""), ("DOTSOCK_SEND_TIMEOUT", "")];
    let settings = options(&variables).unwrap().settings().unwrap();
    assert_eq!((settings.port, settings.send_timeout), (None, None));
    let settings = options(&variables[..1]).unwrap().settings().unwrap();
    assert_eq!((settings.port, settings.send_timeout), (Some(7), Some(Duration::from_secs(7))));
}

#[test]
fn port_zero_is_not_unset() {
    let settings = options(&[("DOTSOCK_PORT", "0")]).unwrap().settings().unwrap();
    assert_eq!(settings.port, Some(0));
}

#[test]
fn an_empty_port_range_is_refused_where_it_is_used() {
    let mut options = options(&[]).unwrap();
    options.set("port_range_start", Some("9500")).unwrap();
    let error = options.settings().unwrap_err().to_string();
    assert!(error.contains("9500") && error.contains("9100"), "{error}");
    options.set("port_range_end", Some("9500")).unwrap();
    assert!(options.settings().is_ok());
    assert!(refusal("DOTSOCK_PORT_RANGE_END", "8999").contains("8999"));
}

#[test]
fn directories_are_expanded_by_the_environment() {
    let variables =
        environment(&[("HOME", "/home/me"), ("A_1", "a b"), ("ODD", "${A_1}~"), ("E", "")]);
    let expand = |text| environment::expand(text, &variables);
    for (text, path) in [
        ("/plain/~/$A_1", "/plain/~/$A_1"),
        ("~", "/home/me"),
        ("~/x", "/home/me/x"),
        ("/${A_1}/${A_1}", "/a b/a b"),
        ("/x${ODD}", "/x${A_1}~"),
        ("rel/${A_1}", "rel/a b"),
    ] {
        assert_eq!(expand(text).as_deref(), Ok(path));
    }
    for (text, named) in [
        ("/${MISSING}/x", "MISSING"),
        ("/${E}", "variable E is not set"),
        ("/${A_1", "lacks"),
        ("/${}", "name"),
        ("/${A-1}", "name"),
        ("~root/x", "~"),
    ] {
        let error = expand(text).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
    assert!(environment::expand("~", &Vec::new()).unwrap_err().contains("HOME"));
    let odd = vec![("ODD".into(), OsString::from_vec(vec![0xff]))];
    assert!(environment::expand("${ODD}", &odd).unwrap_err().contains("ODD"));

    let long = format!("/{}", "l".repeat(4094));
    let error = options(&[("L", &long), ("DOTSOCK_SOCKET_DIR", "${L}/x")]).unwrap_err();
    assert!(error.to_string().contains("4095"), "{error}");
}

#[test]
fn a_relative_directory_becomes_absolute_where_it_is_used() {
    let options = options(&[("DOTSOCK_SOCKET_DIR", "some/where")]).unwrap();
    assert_eq!(options.get("socket_dir").unwrap(), "some/where");
    let here = std::env::current_dir().unwrap();
    assert_eq!(options.settings().unwrap().socket_dir, here.join("some/where"));
}
