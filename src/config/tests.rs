//! The config from outside: what the example says, what overrides what, what is refused, and what is never shown.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::*;

const KEY: &str = "sk-a-secret-key";
const NO_FILE: &[PathBuf] = &[];

fn example() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/decalage.toml")).unwrap()
}

fn load(file: &str, environment: &[(&str, &str)], flags: Value) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decalage.toml");
    fs::write(&path, file).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load_from(&[path], environment, flags)
}

fn message(file: &str, environment: &[(&str, &str)]) -> String {
    load(file, environment, json!({})).unwrap_err().to_string()
}

#[test]
fn the_example_file_says_the_defaults() {
    assert_eq!(load(&example(), &[], json!({})).unwrap(), Config::default());
    assert_eq!(Config::load_from(NO_FILE, [], json!({})).unwrap(), Config::default());
}

/// The keys that are commented out, because their default is to be absent, must be right as well.
#[test]
fn the_example_file_names_every_key() {
    let switch_on = |line: &str| match line.strip_prefix("# ") {
        Some(setting) if setting.starts_with('[') || setting.split(' ').nth(1) == Some("=") => setting.to_owned(),
        _ => line.to_owned(),
    };
    let text: Vec<String> = example().lines().map(switch_on).collect();
    let config = load(&text.join("\n"), &[], json!({})).unwrap();
    assert!(config.server.tls.is_some());

    let config = serde_json::to_value(config).unwrap();
    for (section, keys) in config.as_object().unwrap() {
        assert!(text.contains(&format!("[{section}]")), "[{section}]");
        for (key, value) in keys.as_object().unwrap() {
            assert!(!value.is_null(), "{section}.{key}");
            let named =
                text.iter().any(|line| line.starts_with(&format!("{key} = ")) || *line == format!("[{section}.{key}]"));
            assert!(named, "{section}.{key}");
        }
    }
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let file = "[server]\nlisten = '127.0.0.1:1'\nidle_timeout_ms = 1001\nmax_connections = 11\n[server.tls]\ncertificate = 'a'\nkey = 'b'";
    let environment = [
        ("DECALAGE_SERVER__LISTEN", "127.0.0.1:2"),
        ("DECALAGE_SERVER__IDLE_TIMEOUT_MS", "1002"),
        ("DECALAGE_SERVER__TLS__KEY", "c"),
        ("DECALAGE", "is not ours"),
    ];
    let config = load(file, &environment, json!({"server": {"listen": "127.0.0.1:3"}})).unwrap();
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!(config.server.idle_timeout_ms, 1002);
    assert_eq!(config.server.max_connections, 11);
    assert_eq!(config.server.tls, Some(TlsConfig { certificate: "a".into(), key: "c".into() }));
}

#[test]
fn a_later_file_overrides_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let settings =
        write("a.toml", "[server]\nlisten = '0.0.0.0:1'\n[model]\nk = 4\nworkers = 5\n[auth]\nkeys = ['too short']");
    let keys = write("b.toml", &format!("[model]\nk = 6\n[auth]\nkeys = ['{KEY}']"));
    let config = Config::load_from(&[&settings, &keys], [], json!({})).unwrap();
    assert_eq!((config.server.listen.port(), config.model.k, config.model.workers), (1, 6, 5));
    assert_eq!(config.auth.keys, [KeyHash::of(KEY)]);
    assert!(Config::load_from(&[&keys, &settings], [], json!({})).is_err());
}

/// What containers are given is right but for the keys, and without keys nobody is served.
#[test]
fn the_files_of_the_image_and_of_kubernetes_only_lack_keys() {
    for file in ["docker/decalage.toml", "deploy/kubernetes/decalage.toml"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let load = |keys: &[(&str, &str)]| {
            let keys = keys.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Config::load_from(&[&file], keys, json!({}))
        };
        let config = load(&[("DECALAGE_AUTH__KEYS", KEY)]).unwrap();
        assert_eq!(load(&[]), Err(ConfigError::Open(config.server.listen)), "{}", file.display());
    }
}

#[test]
fn unknown_keys_are_refused_wherever_they_come_from() {
    for text in [
        message("[server]\nlisten_to = 1", &[]),
        message("", &[("DECALAGE_SERVER__LISTEN_TO", "1")]),
        load("", &[], json!({"server": {"listen_to": 1}})).unwrap_err().to_string(),
    ] {
        assert!(text.contains("listen_to") && text.contains("max_connections"), "{text}");
    }
    assert!(message("", &[("DECALAGE_LISTEN", "1")]).contains("DECALAGE_LISTEN"));
    assert!(message("", &[("DECALAGE_SERVER__LISTEN", "here")]).contains("server.listen"));
    assert!(message("", &[("DECALAGE_SERVER__LISTEN", "here")]).contains("DECALAGE_SERVER__LISTEN"));
    assert!(load("", &[("DECALAGE_", "1")], json!({})).is_err());
    assert!(Config::load_from(&["/no/such/file.toml"], [], json!({})).is_err());
}

#[test]
fn a_value_out_of_range_is_named_with_its_range() {
    assert_eq!(
        message("[server]\nmax_message_bytes = 1048577", &[]),
        "server.max_message_bytes is 1048577, allowed is 1024 to 1048576"
    );
    assert_eq!(message("[model]\nk = 0", &[]), "model.k is 0, allowed is 1 to 100");
    let text = message("[log]\notlp_endpoint = 'https://collector:4318'", &[]);
    assert!(text.starts_with("log.otlp_endpoint is \"https://collector:4318\", allowed is http://"), "{text}");
    assert!(
        message("[log]\nfilter = 'info=very=loud'", &[]).starts_with("log.filter is \"info=very=loud\", allowed is")
    );
    for origin in ["example.org", "https://example.org/", "https://", "*", "https://*.example.org"] {
        let text = message(&format!("[server]\nallowed_origins = ['{origin}']"), &[]);
        assert!(text.starts_with(&format!("server.allowed_origins is {origin:?}, allowed is https://host")), "{text}");
    }
    assert!(load("[server]\nallowed_origins = ['http://[::1]:3000']", &[], json!({})).is_ok());
}

#[test]
fn nobody_is_let_in_by_accident() {
    for (listen, keys, allow_any_key, starts) in [
        ("127.0.0.1:0", false, false, true),
        ("[::1]:0", false, false, true),
        ("0.0.0.0:0", false, false, false),
        ("[::]:0", false, false, false),
        ("10.0.0.1:0", false, false, false),
        ("0.0.0.0:0", true, false, true),
        ("0.0.0.0:0", false, true, true),
    ] {
        let keys = if keys { vec![KEY] } else { vec![] };
        let flags = json!({"server": {"listen": listen, "allow_any_key": allow_any_key}, "auth": {"keys": keys}});
        assert_eq!(load("", &[], flags).is_ok(), starts, "{listen}");
    }
    let text = message("[auth]\nkeys = ['sk-a-secret-key']\n[server]\neval_listen = '0.0.0.0:1'", &[]);
    assert!(text.starts_with("server.eval_listen is 0.0.0.0:1, allowed is a loopback address"), "{text}");
}

#[test]
fn a_key_and_its_hash_are_the_same_and_neither_is_shown() {
    // printf %s sk-a-secret-key | sha256sum
    let hash = "sha256:1ae5ef06f37a88de8536af258652b845c09148b59e36916fb4dc4e3b068841af";
    let keys = |keys: Value| load("", &[], json!({"auth": {"keys": keys}})).unwrap().auth.keys;
    assert_eq!(keys(json!([KEY])), [KeyHash::of(KEY)]);
    assert_eq!(keys(json!([hash, KEY])), [KeyHash::of(KEY); 2]);
    let config = load("", &[("DECALAGE_AUTH__KEYS", KEY)], json!({})).unwrap();
    assert_eq!(config.auth.keys, [KeyHash::of(KEY)]);
    assert!(!format!("{config:?}").contains("secret"));
    assert_eq!(KeyHash::of(KEY).to_string(), hash[7..15]);
}

#[test]
fn no_error_repeats_a_key() {
    for (file, environment) in [
        ("[auth]\nkeys = ['sk-secret', 'sk-secret'", None),
        ("[auth]\nkeys = ['sk-secret']]", None),
        ("[auth]\nkeys = [{ key = 'sk-secret' }]", None),
        ("[auth]\nkeys = ['a secret with spaces']", None),
        ("[auth]\nkeys = ['sha256:secret']", None),
        ("", Some(("DECALAGE_AUTH__KEYS", "[sk-secret, 3]"))),
        ("", Some(("DECALAGE_AUTH__KEYS", "secret!\\"))),
    ] {
        let text = message(file, environment.as_slice());
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("keys") || text.starts_with("TOML parse error at line 2"), "{text}");
    }
    assert!(message("[auth]\nkeys = ['sk-long-enough', 'short']", &[]).contains("key 2 of the list is malformed"));
}
