//! The meaning of valid config files. `problems` covers invalid ones.

mod file;
mod problems;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use shibudb::config::{Config, Durability, Key, Level, parse};

fn config(text: &str) -> Config {
    parse(text.as_bytes()).unwrap().config
}

#[test]
fn what_the_file_leaves_out_has_its_default() {
    let parsed = parse(b"# nothing set\n").unwrap();
    assert_eq!(parsed.config, Config::default());
    assert!(parsed.set.is_empty());
}

#[test]
fn the_keys_that_the_file_names_are_known() {
    let parsed = parse(b"port = 9090\n[limits]\npersist = true\n").unwrap();
    assert_eq!(parsed.config, Config::default());
    assert_eq!(Vec::from_iter(parsed.set), [Key::Port, Key::Persist]);
}

#[test]
fn every_setting_arrives_where_it_belongs() {
    let text = r#"
        bind = "::1"
        port = 7000
        max_connections = 4294967295
        limits = { signal_step = 1, warn_percent = 100, persist = false }
        management.bind = "0.0.0.0"
        management.port = 7001
        management.token_file = "/etc/shibudb/token"
        management.socket = "/run/shibudb/management.sock"
        management.socket_mode = "600"
        [client]
        login_timeout = "500ms"
        idle_timeout = "1h30m"
        request_timeout = "90s"
        max_request = "64KiB"
        max_inflight_bytes = "1GiB"
        [shutdown]
        drain_timeout = "0s"
        [storage]
        path = "/srv/shibudb"
        durability = "1s"
        [log]
        level = "trace"
    "#;
    let parsed = parse(text.as_bytes()).unwrap();
    let mut expected = Config {
        bind: "::1".parse().unwrap(),
        port: 7000,
        max_connections: NonZeroU32::MAX,
        ..Config::default()
    };
    expected.limits.signal_step = NonZeroU32::MIN;
    expected.limits.warn_percent = 100;
    expected.limits.persist = false;
    expected.management.bind = "0.0.0.0".parse().unwrap();
    expected.management.port = Some(7001);
    expected.management.token_file = Some("/etc/shibudb/token".into());
    expected.management.socket = Some("/run/shibudb/management.sock".into());
    expected.management.socket_mode = 0o600;
    expected.client.login_timeout = Duration::from_millis(500);
    expected.client.idle_timeout = Some(Duration::from_secs(90 * 60));
    expected.client.request_timeout = Duration::from_secs(90);
    expected.client.max_request = 64 * 1024;
    expected.client.max_inflight_bytes = 1 << 30;
    expected.shutdown.drain_timeout = Duration::ZERO;
    expected.storage.path = Some("/srv/shibudb".into());
    expected.storage.durability = Durability::EverySecond;
    expected.log.level = Level::Trace;
    assert_eq!(parsed.config, expected);
}

#[test]
fn durations_and_sizes_are_read_as_people_write_them() {
    for (written, expected) in [
        ("30s", Duration::from_secs(30)),
        ("500ms", Duration::from_millis(500)),
        ("2m", Duration::from_secs(120)),
        ("1h30m", Duration::from_secs(5400)),
        ("1h 30m", Duration::from_secs(5400)),
        ("1.5s", Duration::from_millis(1500)),
        ("2 minutes", Duration::from_secs(120)),
        ("24h", Duration::from_secs(86400)),
        ("0s", Duration::ZERO),
    ] {
        let config = config(&format!("shutdown.drain_timeout = \"{written}\""));
        assert_eq!(config.shutdown.drain_timeout, expected, "{written}");
    }
    for (written, expected) in [
        ("\"1MiB\"", 1 << 20),
        ("\"64KiB\"", 64 << 10),
        ("\"1MB\"", 1_000_000),
        ("\"1.5 MiB\"", 3 << 19),
        ("\"64MiB\"", 64 << 20),
        ("\"4096\"", 4096),
        ("4096", 4096),
        ("1_024", 1024),
        ("0x1000", 4096),
    ] {
        assert_eq!(
            config(&format!("client.max_request = {written}")).client.max_request,
            expected,
            "{written}"
        );
    }
    assert_eq!(config("client.idle_timeout = '0s'").client.idle_timeout, None);
}

fn any_duration() -> impl Strategy<Value = Duration> {
    (0..86_400_000_000_000u64).prop_map(Duration::from_nanos)
}

prop_compose! {
    fn any_config()(
        (bind, port, max, step) in (any::<IpAddr>(), 1..=64535u16, 1..=u32::MAX, 1..=u32::MAX),
        (warn, persist) in (1..=100u8, any::<bool>()),
        (management, login, idle) in (any::<IpAddr>(), any_duration(), any_duration()),
        (max_request, max_inflight_bytes, drain) in (1024..=64usize << 20, 1 << 20..=1usize << 40, any_duration()),
        [token_file, socket, path] in prop::array::uniform3(prop::option::of("/[a-zäß \"\\\\]{0,20}")),
        socket_mode in 0..=0o777u32,
        (always, level) in (any::<bool>(), prop::sample::select(&Level::ALL[..])),
    ) -> Config {
        let millisecond = Duration::from_millis(1);
        let max_connections = NonZeroU32::new(max).unwrap();
        let mut config = Config { bind, port, max_connections, ..Config::default() };
        config.limits.signal_step = NonZeroU32::new(step).unwrap();
        config.limits.warn_percent = warn;
        config.limits.persist = persist;
        // Without a token it listens on this host only.
        config.management.bind = token_file.as_ref().map_or(IpAddr::from([127, 0, 0, 1]), |_| management);
        config.management.port = Some(port + 1000);
        config.management.token_file = token_file.map(PathBuf::from);
        config.management.socket = socket.map(PathBuf::from);
        config.management.socket_mode = socket_mode;
        config.client.login_timeout = login.max(millisecond);
        config.client.request_timeout = login.max(millisecond);
        config.client.idle_timeout = Some(idle).filter(|idle| *idle >= millisecond);
        config.client.max_request = max_request;
        config.client.max_inflight_bytes = max_inflight_bytes;
        config.shutdown.drain_timeout = drain;
        config.storage.path = path.map(PathBuf::from);
        config.storage.durability = if always { Durability::Always } else { Durability::EverySecond };
        config.log.level = level;
        config
    }
}

/// A file that sets every key to its value in `config`.
fn written(config: &Config) -> String {
    Key::ALL
        .iter()
        .filter_map(|key| Some((key, key.value(config)?)))
        .map(|(key, value)| {
            let number = value.parse::<u64>().is_ok_and(|number| number.to_string() == value);
            let bare = number || value.parse::<bool>().is_ok();
            let value = if bare { value } else { toml::Value::String(value).to_string() };
            format!("{key} = {value}\n")
        })
        .collect()
}

proptest! {
    #[test]
    fn what_a_setting_shows_is_what_the_file_may_say(config in any_config()) {
        let text = written(&config);
        prop_assert_eq!(parse(text.as_bytes()).map(|parsed| parsed.config), Ok(config), "{}", text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(parse(&bytes));
    }

    #[test]
    fn no_text_that_is_nearly_right_makes_it_panic(
        lines in prop::collection::vec(
            "(\\[{0,2}|)(bind|port|limits|log|client|management|sägnal|max_request|\\.|x){1,3}(\\]{0,2}|)\
             ( = )?([0-9+-]{0,40}|'[0-9.a-zµ° ]{0,30}'|\\{\\}|\\[\\]|\"\\PC{0,9}\")", 0..8),
    ) {
        drop(parse(lines.join("\n").as_bytes()));
    }

    #[test]
    fn no_duration_or_size_makes_it_panic(text in "[0-9.:+-]{0,25}[ a-zA-Zµ]{0,8}[0-9.]{0,25}[a-zA-Z ]{0,6}") {
        drop(parse(format!("client = {{ idle_timeout = '{text}', max_request = '{text}' }}").as_bytes()));
    }
}
