//! Command lines that mean nothing.

use crate::harness::{Setup, refused, shibudb};

#[test]
fn wrong_usage_is_status_2_and_says_what_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    for (words, error) in [
        ("bogus", "unrecognized subcommand 'bogus'"),
        ("run 0 0", "invalid value '0' for '[MAX_CONNECTIONS]': connection limit must be positive"),
        ("run 0 -- -5", "invalid value '-5' for '[MAX_CONNECTIONS]': connection limit must be positive"),
        ("run 0 many", "invalid value 'many' for '[MAX_CONNECTIONS]': expected a whole number, such as 1000"),
        ("run 0 1.5", "invalid value '1.5' for '[MAX_CONNECTIONS]': expected a whole number, such as 1000"),
        (
            "run 0 4294967296",
            "invalid value '4294967296' for '[MAX_CONNECTIONS]': a connection limit is at most 4294967295",
        ),
        ("run 65536", "invalid value '65536' for '[PORT]': 65536 is not in 0..=65535"),
        ("run 0 5 6", "unexpected argument '6' found"),
        ("run 0 --bogus", "unexpected argument '--bogus' found"),
        ("start", "the following required arguments were not provided:"),
        ("start 0", "invalid value '0' for '<PORT>': expected a port from 1 to 65535"),
        ("start 65536", "invalid value '65536' for '<PORT>': expected a port from 1 to 65535"),
        ("stop x", "invalid value 'x' for '[PORT]': expected a port from 1 to 65535"),
        ("manager 9090", "'shibudb manager' requires a subcommand but one was not provided"),
        ("manager 0 status", "invalid value '0' for '[PORT]': expected a port from 1 to 65535"),
        ("manager 9090 limit", "the following required arguments were not provided:"),
        ("manager 9090 bogus", "unexpected argument 'bogus' found"),
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
    // Somebody who knows nothing yet is helped, but a script that forgot its words has failed.
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
        ("limit -5", "connection limit must be positive"),
        ("decrease 100", "connection limit must be positive"),
        ("decrease 4294967296", "connection limit must be positive"),
        ("limit 4294967297", "limit must be a whole number from 1 to 4294967296, got 4294967297"),
        ("increase 0", "amount must be a positive whole number, got 0"),
        ("decrease -1", "amount must be a positive whole number, got -1"),
    ] {
        assert_eq!(refused(&server.manager(words), 1), format!("Error: {error}\n"), "{words}");
    }
    assert_eq!(server.limit(), 100);
}
