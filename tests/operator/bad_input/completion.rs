//! The shells' completions: commands before options, and the ports of running servers.

use std::process::Command;

use crate::harness::sandbox::{Sandbox, enter};
use crate::harness::{Terminal, shibudb, skipped, wait_until};

/// The completions of the last of these words.
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

/// The scripts that the package installs.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/completions");

/// Whether this shell is missing; if so, prints that.
#[track_caller]
fn is_missing(shell: &str) -> bool {
    let is_missing = Command::new(shell).arg("--version").output().is_err();
    if is_missing {
        skipped(&format!("{shell} is not installed"));
    }
    is_missing
}

/// Checks the candidates of a shell, one a line: `offered` returns those for a command line that ends with a space.
fn offers_commands_ports_and_options(sandbox: &Sandbox, offered: impl Fn(&str) -> String) {
    let first_words = |line: &str| -> Vec<String> {
        let offered = offered(line);
        offered.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
    };
    let expect = |line: &str, order: &[&str]| {
        let offered = first_words(line);
        let places: Vec<_> =
            order.iter().map(|word| offered.iter().position(|offered| offered == word)).collect();
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{line:?}: {order:?} in {offered:?}"
        );
    };
    sandbox.run("shibudb start 9191");
    expect("shibudb ", &["run", "manager", "--help"]);
    expect("shibudb manager ", &["status", "watch", "9191", "--host"]);
    expect("shibudb manager 9191 ", &["status", "kill", "--host"]);
    expect("shibudb connect ", &["9191", "--host"]);
    expect("shibudb stop ", &["9191", "--force"]);
    sandbox.run("shibudb stop");
    let offered = first_words("shibudb stop ");
    assert!(!offered.contains(&"9191".to_owned()), "{offered:?}");
}

#[test]
fn bash_offers_them() {
    enter(|sandbox| {
        offers_commands_ports_and_options(sandbox, |line| {
            // The variables that bash sets for the function.
            sandbox.run(&format!(
                r#"source {SCRIPTS}/shibudb.bash
                COMP_WORDS=({line} "") COMP_TYPE=9
                COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
                _clap_complete_shibudb shibudb "" ""
                printf '%s\n' "${{COMPREPLY[@]}}""#
            ))
        });
    });
}

#[test]
fn fish_offers_them() {
    if is_missing("fish") {
        return;
    }
    enter(|sandbox| {
        offers_commands_ports_and_options(sandbox, |line| {
            sandbox
                .run(&format!("fish --no-config -c 'source {SCRIPTS}/shibudb.fish; complete -C \"{line}\"'"))
        });
    });
}

#[test]
fn zsh_offers_them() {
    if is_missing("zsh") {
        return;
    }
    enter(|sandbox| {
        let Some(terminal) = Terminal::open(150, 60) else { return };
        terminal.enter(&format!("PATH={}/bin:$PATH HOME={0} exec zsh -f", sandbox.home().display()));
        terminal
            .enter(&format!("fpath=({SCRIPTS} $fpath); autoload -Uz compinit; compinit -u -D; PS1='zsh: '"));
        terminal.wait_for("zsh: ");
        offers_commands_ports_and_options(sandbox, |line| {
            terminal.press(&["C-u", "C-l"]);
            wait_until("the screen is clear", || !terminal.screen().contains("--help"));
            // The first may only insert the common prefix of all candidates.
            terminal.press(&[line, "Tab", "Tab"]);
            // It comes last.
            terminal.wait_for("--help ");
            terminal.screen()
        });
    });
}
