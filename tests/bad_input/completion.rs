//! What the shells offer: commands before options, and the ports of servers that run.

use crate::harness::sandbox::enter;
use crate::harness::shibudb;

/// What is offered for the last of these words.
fn offered(home: &std::path::Path, words: &[&str]) -> Vec<String> {
    let mut command = shibudb(home, ["--", "shibudb"]);
    command.args(words).env("SHIBUDB_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn commands_come_before_options() {
    let home = tempfile::tempdir().unwrap();
    for (words, commands) in
        [(&[""][..], ["check", "manager", "stop"]), (&["manager", "9090", ""], ["kill", "limit", "status"])]
    {
        let offered = offered(home.path(), words);
        let place = |word: &str| offered.iter().position(|offered| offered == word);
        let first_option = offered.iter().position(|word| word.starts_with('-')).unwrap();
        for command in commands {
            assert!(place(command).unwrap() < first_option, "{command}: {offered:?}");
        }
    }
    assert_eq!(offered(home.path(), &["manager", "9090", "sta"]), ["status", "stats"]);
}

#[test]
fn ports_of_running_servers_are_offered() {
    enter(|sandbox| {
        let offered = |words: &str| {
            let ask = "SHIBUDB_COMPLETE=bash _CLAP_IFS=$'\\n' _CLAP_COMPLETE_INDEX=2 shibudb --";
            sandbox
                .run(&format!("{ask} shibudb {words} ''"))
                .lines()
                .map(|line| line.trim().to_owned())
                .collect::<Vec<_>>()
        };
        sandbox.run("shibudb start 9191");
        for command in ["manager", "connect", "stop"] {
            let offered = offered(command);
            assert!(offered.contains(&"9191".to_owned()), "{command}: {offered:?}");
            assert!(!offered.contains(&"9090".to_owned()), "{command}: {offered:?}");
        }
        sandbox.run("shibudb stop");
        assert!(!offered("manager").contains(&"9191".to_owned()));
        // As the service does, without a PID file.
        sandbox.run("shibudb run 9090 > log 2>&1 & until shibudb manager 9090 health > /dev/null 2>&1; do /bin/sleep 0.1; done");
        assert!(offered("manager").contains(&"9090".to_owned()));
        assert!(!offered("stop").contains(&"9090".to_owned()));
    });
}
