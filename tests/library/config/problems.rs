//! Error messages for an invalid config file: the position, the problem, the fix.

use shibudb::config::{Reason, parse};

fn problems(text: &[u8]) -> String {
    match parse(text) {
        Ok(parsed) => panic!("valid: {:?}", parsed.config),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn a_wrong_value_is_named_with_its_place_and_what_was_expected() {
    const COUNT: &str = "expected a whole number from 1 to 4294967295";
    const PORT: &str = "expected a port from 1 to 65535";
    const LOGIN: &str = r#"expected a duration from "1ms" to "24h", such as "10s""#;
    const INFLIGHT: &str = r#"expected a size from "1MiB" to "1TiB", such as "256MiB", or a number of bytes"#;
    const SIZE: &str = r#"expected a size from "1KiB" to "64MiB", such as "1MiB", or a number of bytes"#;
    let address = r#"expected an IP address such as "127.0.0.1" or "::1""#;
    let idle = r#"expected a duration from "1ms" to "24h", such as "5m", or "0s" for never"#;
    let drain = r#"expected a duration from "0s" to "24h", such as "30s""#;
    let path = r#"expected an absolute path such as "/srv/shibudb""#;
    let level = r#"expected "error", "warn", "info", "debug" or "trace""#;
    let percent = "expected a whole number from 1 to 100";
    let token = r#"expected an absolute path such as "/etc/shibudb/management.token""#;
    let socket =
        r#"expected an absolute path of at most 107 bytes such as "/run/shibudb/service/management.sock""#;
    let mode = r#"expected permissions in octal from "0000" to "0777", such as "0660""#;
    let long = format!("\"{}\"", "9".repeat(100));
    let long_path = format!("\"/{}\"", "9".repeat(107));
    let huge = "9".repeat(100);
    for (key, value, says) in [
        ("bind", "\"localhost\"", format!("{address}, found \"localhost\"")),
        ("bind", "127", format!("{address}, found 127")),
        ("port", "0", format!("{PORT}, found 0")),
        ("port", "65536", format!("{PORT}, found 65536")),
        ("port", "-1", format!("{PORT}, found -1")),
        ("port", "\"9090\"", format!("{PORT}, found \"9090\"")),
        ("max_connections", "0", "connection limit must be positive, found 0".into()),
        ("max_connections", "-5", "connection limit must be positive, found -5".into()),
        ("max_connections", "4294967296", format!("{COUNT}, found 4294967296")),
        ("max_connections", &huge, format!("{COUNT}, found a number with too many digits")),
        ("max_connections", "1.5", format!("{COUNT}, found 1.5")),
        ("max_connections", "true", format!("{COUNT}, found true")),
        ("max_connections", "[1000]", format!("{COUNT}, found an array")),
        ("max_connections", "{}", format!("{COUNT}, found a table")),
        ("max_connections", "1979-05-27", format!("{COUNT}, found a date or time")),
        ("max_connections", "\"many\"", format!("{COUNT}, found \"many\"")),
        ("limits.signal_step", "0", format!("{COUNT}, found 0")),
        ("limits.warn_percent", "0", format!("{percent}, found 0")),
        ("limits.warn_percent", "101", format!("{percent}, found 101")),
        ("limits.persist", "\"yes\"", "expected true or false, found \"yes\"".into()),
        ("management.port", "0", format!("{PORT}, found 0")),
        ("management.token_file", "\"token\"", format!("{token}, found \"token\"")),
        ("management.socket", "\"x.sock\"", format!("{socket}, found \"x.sock\"")),
        ("management.socket", &long_path, format!("{socket}, found \"/{}\"...", "9".repeat(39))),
        ("management.socket_mode", "660", format!("{mode}, found 660")),
        ("management.socket_mode", "\"u+rw\"", format!("{mode}, found \"u+rw\"")),
        ("management.socket_mode", "\"0668\"", format!("{mode}, found \"0668\"")),
        ("management.socket_mode", "\"1777\"", format!("{mode}, found \"1777\"")),
        ("management.socket_mode", "\"+660\"", format!("{mode}, found \"+660\"")),
        ("client.login_timeout", "\"0s\"", format!("{LOGIN}, found \"0s\"")),
        ("client.login_timeout", "10", format!("{LOGIN}, found 10")),
        ("client.login_timeout", "\"10\"", format!("{LOGIN}, found \"10\"")),
        ("client.login_timeout", "\"-10s\"", format!("{LOGIN}, found \"-10s\"")),
        ("client.login_timeout", "\"24h1ns\"", format!("{LOGIN}, found \"24h1ns\"")),
        ("client.login_timeout", "\"10 parsecs\"", format!("{LOGIN}, found \"10 parsecs\"")),
        ("client.login_timeout", &long, format!("{LOGIN}, found \"{}\"...", "9".repeat(40))),
        ("client.idle_timeout", "\"1ns\"", format!("{idle}, found \"1ns\"")),
        ("client.max_request", "1023", format!("{SIZE}, found 1023")),
        ("client.max_request", "\"65MiB\"", format!("{SIZE}, found \"65MiB\"")),
        ("client.max_inflight_bytes", "1023", format!("{INFLIGHT}, found 1023")),
        ("client.max_inflight_bytes", "\"2TiB\"", format!("{INFLIGHT}, found \"2TiB\"")),
        ("client.max_request", "\"1 Mib per second\"", format!("{SIZE}, found \"1 Mib per second\"")),
        ("shutdown.drain_timeout", "\"25h\"", format!("{drain}, found \"25h\"")),
        ("storage.path", "\"store\"", format!("{path}, found \"store\"")),
        ("storage.path", "\"/a\\u0000b\"", format!("{path}, found \"/a\\0b\"")),
        ("storage.durability", "\"10s\"", "expected \"always\" or \"1s\", found \"10s\"".into()),
        ("log.level", "\"INFO\"", format!("{level}, found \"INFO\"")),
        ("log.level", "\"\\u001b[31m\"", format!("{level}, found \"\\u{{1b}}[31m\"")),
    ] {
        let column = key.len() + " = ".len() + 1;
        let text = format!("# a comment\n{key} = {value}\n");
        assert_eq!(problems(text.as_bytes()), format!("line 2, column {column}: {key}: {says}"), "{text}");
    }
}

#[test]
fn an_unknown_key_gets_the_nearest_known_one() {
    for (text, says) in [
        (
            "\n\nmax_conections = 5",
            r#"line 3, column 1: unknown key "max_conections"; did you mean "max_connections"?"#,
        ),
        (
            "Max-Connections = 5",
            r#"line 1, column 1: unknown key "Max-Connections"; did you mean "max_connections"?"#,
        ),
        (
            "[limits]\n  warn_procent = 5",
            r#"line 2, column 3: unknown key "warn_procent"; did you mean "warn_percent"?"#,
        ),
        ("signal_step = 5", r#"line 1, column 1: unknown key "signal_step"; it belongs in [limits]"#),
        (
            "[log]\nmax_connections = 5",
            r#"line 2, column 1: unknown key "max_connections"; it belongs at the top of the file, before any section"#,
        ),
        (
            "sginal_step = 5",
            r#"line 1, column 1: unknown key "sginal_step"; did you mean "signal_step" in [limits]?"#,
        ),
        (
            "[log]\nmax_conections = 5",
            r#"line 2, column 1: unknown key "max_conections"; did you mean "max_connections" at the top of the file, before any section?"#,
        ),
        (
            "'limits.signal_step' = 5",
            r#"line 1, column 1: unknown key "limits.signal_step"; it belongs in [limits]"#,
        ),
        ("[log]\ncolour = 5", r#"line 2, column 1: unknown key "colour"; known here: level"#),
        ("colour = 5", r#"line 1, column 1: unknown key "colour"; known here: bind, port, max_connections"#),
        ("[limit]\nanything = 5", r#"line 1, column 2: unknown section "limit"; did you mean "limits"?"#),
        (
            "[colours]\n",
            r#"line 1, column 2: unknown section "colours"; known here: limits, management, client, shutdown, storage, log"#,
        ),
        ("limits = 3", "line 1, column 10: limits: expected a section, written [limits], found 3"),
        ("[[limits]]", "line 1, column 1: limits: expected a section, written [limits], found an array"),
    ] {
        assert_eq!(problems(text.as_bytes()), says, "{text}");
    }
}

#[test]
fn text_that_is_not_toml_has_one_problem_where_it_begins() {
    for (text, place, line) in [
        ("port = 9090\nport = 9091\n", "line 2, column 1", r#""port = 9091""#),
        ("port = 9090\n[limits\n", "line 2, column 8", r#""[limits""#),
        ("port = 9090\nwhat is this\n", "line 2, column 6", r#""what is this""#),
        ("bind = \"127.0.0.1\n", "line 1, column 18", r#""bind = \"127.0.0.1""#),
        ("[log]\r\n[log]\r\n", "line 2, column 2", r#""[log]""#),
        ("colour = red\n", "line 1, column 10", r#""colour = red""#),
        ("\0\0", "line 1, column 3", r#""\0\0""#),
    ] {
        let problems = parse(text.as_bytes()).unwrap_err();
        assert_eq!(problems.iter().len(), 1, "{text:?}");
        let problem = problems.iter().next().unwrap();
        assert!(matches!(problem.reason, Reason::Syntax { .. }), "{problem}");
        // The parser's own words in between are not checked.
        let told = problem.to_string();
        assert!(told.starts_with(&format!("{place}: ")), "{told}");
        assert!(told.ends_with(&format!("; the line reads {line}")), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn a_value_that_is_no_toml_is_told_what_its_setting_expects() {
    for (text, says) in [
        (
            "max_connections = many\n",
            "line 1, column 19: max_connections: expected a whole number from 1 to 4294967295, found many",
        ),
        (
            "max_connections = 1,000",
            "line 1, column 20: max_connections: expected a whole number from 1 to 4294967295, found 1,000",
        ),
        ("port = \n", "line 1, column 8: port: expected a port from 1 to 65535, found nothing"),
        (
            "[log]\nlevel = \"info\"\n[limits]\npersist = yes # please\n",
            "line 4, column 11: limits.persist: expected true or false, found yes",
        ),
        (
            "limits.signal_step = x\n",
            "line 1, column 22: limits.signal_step: expected a whole number from 1 to 4294967295, found x",
        ),
        (
            "bind = localhost\n",
            "line 1, column 8: bind: expected an IP address such as \"127.0.0.1\" or \"::1\", found localhost",
        ),
        // Quotes help only here.
        ("[log]\nlevel = info\n", "line 2, column 9: log.level: text is written in quotes: level = \"info\""),
        (
            "[client]\nlogin_timeout = 10s\n",
            "line 2, column 17: client.login_timeout: text is written in quotes: login_timeout = \"10s\"",
        ),
    ] {
        assert_eq!(problems(text.as_bytes()), says, "{text}");
    }
    let told = problems(format!("max_connections = {}", "x".repeat(500_000)).as_bytes());
    assert!(told.len() < 200 && told.ends_with("xxx..."), "{}", told.len());
}

#[test]
fn a_sign_before_the_limit_is_refused() {
    assert_eq!(
        problems(b"max_connections = +100"),
        "line 1, column 19: max_connections: expected a whole number without a sign: the file sets the limit, and \
         `shibudb manager PORT increase N` raises it, found +100"
    );
}

#[test]
fn a_syntax_error_in_a_long_line_stays_short() {
    for text in [format!("x = {}", "[".repeat(500_000)), format!("x{} = 1", ".x".repeat(400_000))] {
        let told = problems(text.as_bytes());
        assert!(told.len() < 200 && told.starts_with("line 1, column "), "{}", told.len());
    }
}

#[test]
fn a_file_without_text_is_refused() {
    for text in [&b""[..], b" ", b"\n\r\n\t", b"\xef\xbb\xbf\n"] {
        assert_eq!(problems(text), "line 1, column 1: the file is empty; expected settings");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_stand() {
    assert_eq!(
        problems(b"port = 9090\nx = \"\xc3\xa4\xff\""),
        "line 2, column 7: not UTF-8: unexpected byte 0xff"
    );
    assert_eq!(problems(b"\xff\xfep\0o\0"), "line 1, column 1: not UTF-8: unexpected byte 0xff");
}

#[test]
fn columns_count_characters() {
    assert_eq!(
        problems("limits = { \"ä\" = 1, signal_step = 0 }".as_bytes()),
        "line 1, column 12: unknown key \"ä\"; known here: signal_step, warn_percent, persist\n\
         line 1, column 35: limits.signal_step: expected a whole number from 1 to 4294967295, found 0"
    );
}

#[test]
fn a_byte_order_mark_is_neither_a_key_nor_a_column() {
    assert_eq!(parse("\u{feff}port = 7000".as_bytes()).unwrap().config.port, 7000);
    assert_eq!(
        problems("\u{feff}port = 0".as_bytes()),
        "line 1, column 8: port: expected a port from 1 to 65535, found 0"
    );
}

#[test]
fn all_problems_are_told_at_once_from_top_to_bottom() {
    let text = "prot = 1\nmax_connections = 0\nbind = 1\n[log]\nlevel = 'loud'\n[limits]\nwarn_percent = 0\n";
    assert_eq!(
        problems(text.as_bytes()),
        "line 1, column 1: unknown key \"prot\"; did you mean \"port\"?\n\
         line 2, column 19: max_connections: connection limit must be positive, found 0\n\
         line 3, column 8: bind: expected an IP address such as \"127.0.0.1\" or \"::1\", found 1\n\
         line 5, column 9: log.level: expected \"error\", \"warn\", \"info\", \"debug\" or \"trace\", found \"loud\"\n\
         line 7, column 16: limits.warn_percent: expected a whole number from 1 to 100, found 0"
    );
}

#[test]
fn thousands_of_problems_are_counted_not_told() {
    let text: String = (0..20_000).map(|n| format!("key{n} = {n}\n")).collect();
    let problems = parse(text.as_bytes()).unwrap_err();
    assert_eq!((problems.iter().len(), problems.omitted()), (50, 19_950));
    assert!(problems.to_string().ends_with("\nand 19950 more"));
}

#[test]
fn the_management_port_must_exist_and_be_free() {
    let above = "the management port would be 66000, above 65535; \
                 choose a port up to 64535, or set port in [management]";
    let taken = "clients connect to this port on the same address; choose another";
    assert_eq!(problems(b"port = 65000"), format!("line 1, column 8: port 65000: {above}"));
    for (text, problem) in [
        ("port = 64535", None),
        ("port = 65000\nmanagement.port = 64000", None),
        ("management.port = 9090", Some(format!("line 1, column 19: management.port 9090: {taken}"))),
        ("bind = '127.0.0.2'\nmanagement.port = 9090", None),
        (
            "bind = '0.0.0.0'\nmanagement.port = 9090",
            Some(format!("line 2, column 19: management.port 9090: {taken}")),
        ),
        (
            "bind = '::'\nmanagement.port = 9090",
            Some(format!("line 2, column 19: management.port 9090: {taken}")),
        ),
        ("bind = '0.0.0.0'\nmanagement = { bind = '::1', port = 9090 }", None),
    ] {
        let told = parse(text.as_bytes()).err().map(|problems| problems.to_string());
        assert_eq!(told, problem, "{text}");
    }
}

#[test]
fn a_management_api_open_to_other_machines_needs_a_token() {
    let open = |address: &str| {
        format!(
            "management.bind {address}: anyone who can reach this address could change the limit; set token_file in \
             [management] to require a token, or bind 127.0.0.1 and use an SSH tunnel"
        )
    };
    for address in ["0.0.0.0", "::", "192.0.2.7", "::ffff:192.0.2.7"] {
        let text = format!("[management]\nbind = '{address}'");
        assert_eq!(problems(text.as_bytes()), format!("line 2, column 8: {}", open(address)));
        assert!(parse(format!("{text}\ntoken_file = '/t'").as_bytes()).is_ok());
    }
    for address in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
        assert!(parse(format!("[management]\nbind = '{address}'").as_bytes()).is_ok(), "{address}");
    }
    assert_eq!(
        problems(b"port = 65000\nmanagement.bind = '::'").lines().count(),
        2,
        "it hides no other conflict"
    );
}

#[test]
fn a_refused_value_is_not_held_against_the_others() {
    let text = "port = 65000\nmanagement.port = 70000";
    assert_eq!(
        problems(text.as_bytes()),
        "line 2, column 19: management.port: expected a port from 1 to 65535, found 70000"
    );
}
