//! The README, word for word: its commands do what it describes.
//!
//! `cargo` is replaced, since a build in each run of the tests would take minutes: a script runs the program
//! that cargo has built for this test.

mod examples;

use crate::harness::sandbox::{enter, script};

const README: &str = include_str!("../../../README.md");

/// `cargo run --release -- ARGUMENTS`, and `cargo install --locked --path .`, which does nothing.
const CARGO: &str = "#!/bin/bash
case \"$*\" in
    'run --release -- '*) shift 3; exec shibudb \"$@\" ;;
    'install --locked --path .') ;;
    *) echo \"not for a newcomer: cargo $*\" >&2; exit 1 ;;
esac
";

/// The fenced blocks of a language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    README.split(&format!("```{language}\n")).skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

#[test]
fn the_quick_start_is_two_commands_and_what_they_lead_to() {
    enter(|sandbox| {
        script(&sandbox.home().join("bin/cargo"), CARGO);
        let blocks = blocks("bash");
        let [start, talk, tests, install, ..] = *blocks else { panic!("the quick start has four blocks") };
        assert_eq!(start, "cargo run --release -- start 9090 1000\n");
        assert!(sandbox.run(start).contains("port 9090, management port 10090, limit 1000"));
        let stats = sandbox.run(talk);
        assert!(stats.contains("\"max_connections\":1000"), "{stats}");
        assert_eq!(tests, "cargo test\n");
        assert!(sandbox.run(install).starts_with("Connection Statistics:\n"));
        sandbox.run("shibudb stop 9090");
    });
}

#[test]
fn the_pictures_are_there() {
    let sources = README
        .split("src=\"")
        .skip(1)
        .chain(README.split("srcset=\"").skip(1))
        .map(|rest| rest.split_once('"').unwrap().0);
    let links = README.split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0);
    let local: Vec<_> = sources.chain(links).filter(|target| !target.starts_with("http")).collect();
    assert!(local.len() > 8, "{local:?}");
    for target in local {
        assert!(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(),
            "there is no {target}"
        );
    }
}

#[test]
fn what_the_doors_are_said_to_do_they_do() {
    enter(|sandbox| {
        let pid = sandbox.start(1000);
        let rows: Vec<_> = README
            .lines()
            .filter(|line| {
                line.starts_with("| command line")
                    || line.starts_with("| HTTP")
                    || line.starts_with("| signals")
            })
            .collect();
        let [cli, http, signals] = *rows else { panic!("three doors with commands: {rows:?}") };
        let limit = || sandbox.run("shibudb manager 9090 status | grep 'Current Limit' | awk '{print $3}'");
        let commands = |row: &'static str| row.split('`').skip(1).step_by(2).collect::<Vec<_>>();
        let [set, increase, decrease, reset] = commands(cli)[..] else { panic!("{cli}") };
        sandbox.run(set);
        for (command, expected) in [(increase, "2500\n"), (decrease, "2300\n"), (reset, "1000\n")] {
            sandbox.run(&format!("shibudb manager 9090 {command}"));
            assert_eq!(limit(), expected, "{command}");
        }
        let [put] = commands(http)[..] else { panic!("{http}") };
        sandbox.run(put);
        assert_eq!(limit(), "2000\n");
        let [up, down] = commands(signals)[..] else { panic!("{signals}") };
        for (command, expected) in [(up, "2100\n"), (down, "2000\n")] {
            sandbox.run(&command.replace("PID", &pid));
            crate::harness::wait_until(command, || limit() == expected);
        }
        sandbox.run("shibudb stop");
    });
}

#[test]
fn the_shown_output_is_the_output() {
    enter(|sandbox| {
        sandbox.start(1000);
        let [shown] = *blocks("console") else { panic!("one console block") };
        let (command, expected) = shown.strip_prefix("$ ").unwrap().split_once('\n').unwrap();
        let held = (0..45)
            .map(|_| crate::harness::Client::connect(([127, 0, 0, 1], 9090).into()))
            .collect::<Vec<_>>();
        crate::harness::wait_until("45 connections are active", || sandbox.run(command) == expected);
        drop(held);
        sandbox.run("shibudb stop");
    });
}
