//! Invalid command lines.

use crate::harness::{Setup, refused, shibudb};

#[test]
fn wrong_usage_is_status_2_and_says_what_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    for (words, error) in [
        ("bogus", "unknown command 'bogus'"),
        ("strat 9090", "unknown command 'strat'; did you mean 'start'?"),
        ("status 9090", "unknown command 'status'; did you mean `shibudb manager PORT status`?"),
        ("run 0 0", "invalid value '0' for '[MAX_CONNECTIONS]': connection limit must be positive"),
        ("run 0 -- -5", "invalid value '-5' for '[MAX_CONNECTIONS]': connection limit must be positive"),
        ("run 0 -5", "invalid value '-5' for '[MAX_CONNECTIONS]': connection limit must be positive"),
        ("start 9091 -3", "invalid value '-3' for '[MAX_CONNECTIONS]': connection limit must be positive"),
        (
            "start 9091 +3",
            "invalid value '+3' for '[MAX_CONNECTIONS]': expected a whole number without a sign, such as 1000",
        ),
        ("run 0 many", "invalid value 'many' for '[MAX_CONNECTIONS]': expected a whole number, such as 1000"),
        ("run 0 1.5", "invalid value '1.5' for '[MAX_CONNECTIONS]': expected a whole number, such as 1000"),
        (
            "run 0 4294967296",
            "invalid value '4294967296' for '[MAX_CONNECTIONS]': a connection limit is at most 4294967295",
        ),
        (
            "run 65536",
            "invalid value '65536' for '[PORT]': expected a port from 1 to 65535, or 0 for any free one",
        ),
        ("run x", "invalid value 'x' for '[PORT]': expected a port from 1 to 65535, or 0 for any free one"),
        ("run -1", "invalid value '-1' for '[PORT]': expected a port from 1 to 65535, or 0 for any free one"),
        ("run 0 5 6", "unexpected argument '6' found"),
        ("run 0 --bogus", "unexpected argument '--bogus' found"),
        ("start", "the following required arguments were not provided:"),
        ("start 0", "invalid value '0' for '<PORT>': expected a port from 1 to 65535"),
        ("start 65536", "invalid value '65536' for '<PORT>': expected a port from 1 to 65535"),
        ("start -1", "invalid value '-1' for '<PORT>': expected a port from 1 to 65535"),
        ("start +9090", "invalid value '+9090' for '<PORT>': expected a port from 1 to 65535"),
        ("connect -1", "invalid value '-1' for '<PORT>': expected a port from 1 to 65535"),
        ("stop x", "invalid value 'x' for '[PORT]': expected a port from 1 to 65535"),
        ("manager 9090", "'shibudb manager' requires a subcommand but one was not provided"),
        ("manager 0 status", "invalid value '0' for '[PORT]': expected a port from 1 to 65535"),
        ("manager 9090 limit", "the following required arguments were not provided:"),
        ("manager 9090 bogus", "unknown command 'bogus'"),
        ("manager 9090 staus", "unknown command 'staus'; did you mean 'status'?"),
        ("manager staus", "unknown command 'staus'; did you mean 'status'?"),
        ("manager stop", "unknown command 'stop'; did you mean `shibudb stop`?"),
        ("manager status 9090", "the port comes before the command: shibudb manager 9090 status"),
        (
            "manager 9090 --host a:b stats",
            "invalid value 'a:b' for '--host <HOST>': expected a name or an address without a port, such as localhost \
             or 192.0.2.7",
        ),
        (
            "manager 9090 kill x",
            "invalid value 'x' for '<ID>': expected a connection number, as shown by `connections`",
        ),
        (
            "manager 9090 kill -1",
            "invalid value '-1' for '<ID>': expected a connection number, as shown by `connections`",
        ),
        ("manager 9090 history x", "invalid value 'x' for '[N]': expected a whole number from 1 to 1000"),
        ("manager 9090 history -1", "invalid value '-1' for '[N]': expected a whole number from 1 to 1000"),
        (
            "manager 9090 connections --limit x",
            "invalid value 'x' for '--limit <N>': expected a whole number from 1 to 100000",
        ),
        (
            "manager 9090 connections --idle-over -3",
            "invalid value '-3' for '--idle-over <SECONDS>': expected a number of seconds, such as 30",
        ),
        (
            "manager 9090 stats --timeout 0",
            "invalid value '0' for '--timeout <SECONDS>': expected a number of seconds from 0.001 to 86400, such as 30",
        ),
        (
            "manager 9090 limit +100",
            "invalid value '+100' for '<N>': a limit has no sign; `increase 100` raises the limit by 100, `limit 100` \
             sets it to 100",
        ),
        (
            "manager 9090 limit -5",
            "invalid value '-5' for '<N>': connection limit must be positive; `decrease 5` lowers it by 5",
        ),
        (
            "manager 9090 increase -5",
            "invalid value '-5' for '[N]': amount must be a positive whole number; `decrease 5` lowers the limit by 5",
        ),
        (
            "manager 9090 decrease -1",
            "invalid value '-1' for '[N]': amount must be a positive whole number; `increase 1` raises the limit by 1",
        ),
        ("manager 9090 limit 5 6", "unexpected argument '6' found"),
    ] {
        let output = shibudb(home.path(), words.split(' ')).output().unwrap();
        let said = refused(&output, 2);
        assert_eq!(said.lines().next(), Some(format!("Error: {error}").as_str()), "{words}");
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing came of it");
}

#[test]
fn help_and_version_are_results() {
    let home = tempfile::tempdir().unwrap();
    let said = |words: &str| {
        let output = shibudb(home.path(), words.split(' ')).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{words}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(said("--version"), concat!("shibudb ", env!("CARGO_PKG_VERSION"), "\n"));
    for words in ["--help", "help", "manager --help", "run --help"] {
        assert!(said(words).contains("Usage: shibudb"), "{words}");
    }
    // Without arguments the help is printed, and the exit status is a failure.
    let output = shibudb(home.path(), []).output().unwrap();
    assert!(refused(&output, 2).contains("Usage: shibudb"));
}

#[test]
fn usage_has_the_port_where_it_is_typed() {
    let home = tempfile::tempdir().unwrap();
    for (words, usage) in [
        ("manager limit --help", "<PORT> limit <N>"),
        ("manager 9090 limit --help", "<PORT> limit <N>"),
        ("manager help kill", "<PORT> kill <ID>"),
        ("manager 9090 history -h", "<PORT> history [N]"),
        ("manager watch -h", "<PORT> watch"),
        ("manager --help", "<PORT> <COMMAND>"),
        ("manager 9090 limit", "<PORT> limit <N>"),
        ("manager 9090 limit 5 6", "<PORT> limit <N>"),
        ("manager 9090 stats 5", "<PORT> stats"),
        ("manager 9090", "<PORT> <COMMAND>"),
    ] {
        let output = shibudb(home.path(), words.split(' ')).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let line = format!("\nUsage: shibudb manager {usage} [OPTIONS]\n");
        assert!(said.contains(&line), "{words}: {said}");
    }
}

#[test]
fn a_refused_change_is_status_1_and_in_the_servers_words() {
    let server = Setup::new().limit(100).start();
    let _inside = server.admin();
    for (words, error) in [
        ("limit 0", "connection limit must be positive"),
        ("decrease 100", "connection limit must be positive"),
        ("decrease 4294967296", "connection limit must be positive"),
        ("limit 4294967297", "limit must be a whole number from 1 to 4294967296, got 4294967297"),
        ("increase 0", "amount must be a positive whole number, got 0"),
    ] {
        assert_eq!(refused(&server.manager(words), 1), format!("Error: {error}\n"), "{words}");
    }
    // A limit with a sign is refused: it may mean an increase.
    refused(&server.manager("limit +1"), 2);
    assert_eq!(server.limit(), 100);
}

#[test]
fn unknown_commands_are_answered_with_those_that_there_are() {
    let home = tempfile::tempdir().unwrap();
    let manager = "\nCommands: status, stats, limit, increase, decrease, health, reset, history, connections, \
                   rejections, kill, config, reload, watch\n";
    for (words, commands) in [
        ("bogus", "\nCommands: run, start, stop, check, manager, connect, import\n"),
        ("manager 9090 bogus", manager),
        ("manager bogus", manager),
        ("manager --socket x bogus", manager),
    ] {
        let said = refused(&shibudb(home.path(), words.split(' ')).output().unwrap(), 2);
        assert!(said.contains(commands), "{words}: {said}");
    }
}
