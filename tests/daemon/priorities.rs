//! Lines on standard error carry their priority only if that is the journal, so that `journalctl -p err` shows why a
//! start failed.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::harness::{Setup, sandbox, shibudb, wait_until};

/// Runs a command to its end with a file as its standard error, optionally presented as the journal's stream. Returns
/// its exit status and its output.
fn run(home: &Path, arguments: &[&str], journal: bool) -> (Option<i32>, String) {
    let path = home.join("stderr");
    let stderr = File::create(&path).unwrap();
    let stat = stderr.metadata().unwrap();
    let mut command = shibudb(home, arguments.iter().copied());
    if journal {
        command.env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
    }
    let status = command.stderr(stderr).status().unwrap();
    (status.code(), fs::read_to_string(path).unwrap())
}

#[test]
fn why_a_start_or_a_command_failed_is_an_error_in_the_journal() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("shibudb.toml");
    fs::write(&config, "one = 1\ntwo = 2\n").unwrap();
    let config = config.to_str().unwrap();
    for (arguments, status) in [
        (&["run", "--config", config][..], 78),
        (&["check", "--config", config], 78),
        (&["run", "nonsense"], 2),
        (&["manager", "1", "status"], 1),
    ] {
        let (code, plain) = run(home.path(), arguments, false);
        assert_eq!(code, Some(status), "{plain}");
        assert!(plain.starts_with("Error: "), "{plain}");
        let (code, marked) = run(home.path(), arguments, true);
        assert_eq!(code, Some(status), "{marked}");
        let errors: Vec<_> = marked.lines().filter(|line| line.starts_with("<3>")).collect();
        assert_eq!(errors.len(), plain.lines().count(), "{marked}");
        assert!(errors[0].starts_with("<3>Error: "), "{marked}");
    }
    let (_, marked) = run(home.path(), &["run", "--config", config], true);
    assert!(marked.contains("<3>") && marked.contains("two"), "each problem has it: {marked}");
}

/// Without the journal's socket, lines go to its stream.
#[test]
fn lines_that_the_journal_takes_as_text_carry_their_priority() {
    sandbox::enter(|sandbox| {
        let config = sandbox.home().join("shibudb.toml");
        fs::write(&config, "# no settings\n").unwrap();
        let path = sandbox.home().join("stderr");
        let stderr = File::create(&path).unwrap();
        let stat = stderr.metadata().unwrap();
        let mut command = shibudb(sandbox.home(), ["run", "0", "--config", config.to_str().unwrap()]);
        command.env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
        let mut child = command.stderr(stderr).spawn().unwrap();
        let text = || fs::read_to_string(&path).unwrap();
        wait_until("it is ready", || text().contains("ready: "));
        child.kill().unwrap();
        child.wait().unwrap();
        let text = text();
        let line = |words: &str| text.lines().find(|line| line.contains(words)).unwrap_or_default();
        assert!(line("cannot reach the journal").starts_with("<4>"), "{text}");
        assert!(line("ready: ").starts_with("<5>"), "{text}");
    });
}

#[test]
fn elsewhere_lines_have_none() {
    let server = Setup::new().start();
    assert!(!server.log().lines().any(|line| line.starts_with('<')), "{}", server.log());
}
