//! The manual pages, the shipped config file and the shell completions match the program: its command line, its
//! settings, the description of its management API and its metrics. The hand-written text is checked, too.
//!
//! They are in the source tree so that they can be read and packaged without a build. After a change of the command
//! line, a setting, a request or a metric, `SHIBUDB_GENERATE=1 cargo test --test operator generated_files` regenerates
//! them.
//!
//! A manual page is made of `packaging/man/PAGE.head` and, if it exists, `PAGE.tail`: text with placeholder lines such
//! as `.\" generated: commands`.

mod commands;
mod http;
mod settings;
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::harness::{Setup, skipped};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use serde_json::Value;
use shibudb::cli::completion::VARIABLE;

const PAGES: [&str; 4] = ["shibudb.1", "shibudb-manager.1", "shibudb-http.7", "shibudb.toml.5"];

/// zsh runs the file at the first completion, which must already return an answer.
const ZSH_FIRST: &str = r#"
if [[ "$funcstack[1]" == "_shibudb" ]]; then
    _clap_dynamic_completer_shibudb "$@"
fi
"#;

/// The prefix of a placeholder line.
const GENERATED: &str = ".\\\" generated: ";

#[test]
fn the_manual_of_the_program_is_up_to_date() {
    let command = command();
    let page = page("shibudb.1", |what| match what {
        "synopsis" => commands::synopsis(&command),
        "commands" => commands::commands(&command),
        _ => panic!("nothing is called {what}"),
    });
    is_up_to_date("packaging/man/shibudb.1", &page);
}

#[test]
fn the_manual_of_the_manager_is_up_to_date() {
    let command = command();
    let manager = command.find_subcommand("manager").unwrap();
    let page = page("shibudb-manager.1", |what| match what {
        "options" => commands::options(manager),
        "commands" => commands::commands(manager),
        _ => panic!("nothing is called {what}"),
    });
    is_up_to_date("packaging/man/shibudb-manager.1", &page);
}

#[test]
fn the_manual_of_the_management_port_is_up_to_date() {
    let server = Setup::new().start();
    let document: Value = server.get("/openapi.json").json();
    let page = page("shibudb-http.7", |what| match what {
        "requests" => http::requests(&document),
        "statuses" => http::statuses(&document),
        "metrics" => http::metrics(&server),
        _ => panic!("nothing is called {what}"),
    });
    is_up_to_date("packaging/man/shibudb-http.7", &page);
}

#[test]
fn every_reason_for_which_a_connection_ends_is_explained() {
    let server = Setup::new().start();
    let page = fs::read_to_string(manual("shibudb-http.7")).unwrap();
    let readme = include_str!("../../../README.md");
    let reasons = http::reasons(&server);
    assert!(reasons.len() > 10, "{reasons:?}");
    for reason in reasons {
        assert!(page.contains(&format!("\n.TP\n.B {reason}\n")), "the manual does not explain {reason}");
        assert!(readme.contains(&format!("`{reason}`")), "the README does not explain {reason}");
    }
}

#[test]
fn the_completions_are_up_to_date() {
    let shells: [(&dyn EnvCompleter, _, _); 3] =
        [(&Bash, "shibudb.bash", ""), (&Zsh, "_shibudb", ZSH_FIRST), (&Fish, "shibudb.fish", "")];
    for (shell, file, more) in shells {
        let mut script = Vec::new();
        shell.write_registration(VARIABLE, "shibudb", "shibudb", "shibudb", &mut script).unwrap();
        let script = String::from_utf8(script).unwrap();
        is_up_to_date(&format!("packaging/completions/{file}"), &format!("{}\n{more}", script.trim()));
    }
}

/// Every command and option is in the pages, however they are generated.
#[test]
fn every_command_and_option_is_in_the_manual() {
    let pages: Vec<_> = PAGES.map(|page| fs::read_to_string(manual(page)).unwrap()).into();
    let mut waiting = vec![shibudb::cli::command()];
    let mut seen = 0;
    while let Some(command) = waiting.pop() {
        let is_hidden =
            |arg: &&clap::Arg| arg.is_hide_set() || matches!(arg.get_id().as_str(), "help" | "version");
        for option in command.get_arguments().filter(|arg| !is_hidden(arg)).filter_map(clap::Arg::get_long) {
            let option = format!("--{option}").replace('-', "\\-");
            assert!(pages.iter().any(|page| page.contains(&option)), "{option} of {}", command.get_name());
            seen += 1;
        }
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            let name = below.get_name();
            let titles = [format!("\n.SS \"{name}\""), format!("\n.SS \"{name} ")];
            assert!(pages.iter().any(|page| titles.iter().any(|title| page.contains(title))), "{name}");
            waiting.push(below.clone());
        }
    }
    assert!(seen > 15, "{seen}");
}

/// Every example in the pages is a valid command line.
#[test]
fn the_examples_are_commands_that_there_are() {
    let mut tried = 0;
    for page in PAGES {
        let text = fs::read_to_string(manual(page)).unwrap();
        let examples = text.split("\n.EX\n").skip(1).map(|rest| rest.split_once("\n.EE").unwrap().0);
        for line in examples.flat_map(str::lines) {
            let line = line.replace("\\-", "-").replace("\\e", "\\");
            let Some(typed) = line.strip_prefix("$ ").or(line.strip_prefix("# ")) else { continue };
            let typed = typed.strip_prefix("sudo -u shibudb ").unwrap_or(typed);
            if !typed.starts_with("shibudb ") {
                continue;
            }
            let words = shell_words::split(typed.split(['|', '>']).next().unwrap()).unwrap();
            shibudb::cli::command()
                .try_get_matches_from(words)
                .unwrap_or_else(|error| panic!("{page}: {line}\n{error}"));
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn the_manual_names_every_message_id() {
    let page = fs::read_to_string(manual("shibudb.1")).unwrap();
    for (target, id) in shibudb::logging::MESSAGE_IDS {
        assert!(page.contains(id), "{target}: {id}");
    }
}

#[test]
fn the_pages_are_packaged_and_name_each_other() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    for page in PAGES {
        let (name, section) = page.rsplit_once('.').unwrap();
        let asset = format!("[\"packaging/man/{page}\", \"usr/share/man/man{section}/\", \"644\"]");
        assert!(manifest.contains(&asset), "not packaged: {asset}");
        let reference = format!("{} ({section})", name.replace('-', "\\-"));
        for other in PAGES.iter().filter(|other| **other != page) {
            let text = fs::read_to_string(manual(other)).unwrap();
            let (_, see_also) = text.rsplit_once("SEE ALSO").unwrap();
            assert!(see_also.contains(&reference), "{other} does not refer to {page}");
        }
    }
}

#[test]
fn the_formatters_have_nothing_against_the_pages() {
    for (program, arguments) in [("man", ["--warnings=all", "-l"]), ("mandoc", ["-Tlint", "-Wwarning"])] {
        if Command::new(program).arg("--version").output().is_err() && Command::new(program).output().is_err()
        {
            skipped(&format!("needs the program {program}"));
            continue;
        }
        for page in PAGES {
            let output = Command::new(program)
                .args(arguments)
                .arg(manual(page))
                .env("MANWIDTH", "80")
                .env("LC_ALL", "C.UTF-8")
                .env("MANROFFOPT", "-ww")
                .output()
                .unwrap();
            // mandoc writes its findings to standard output, man to standard error.
            let said = if program == "man" { output.stderr } else { output.stdout };
            let said = String::from_utf8_lossy(&said).into_owned();
            let said: Vec<_> = said.lines().filter(|line| !is_of_no_concern(line)).collect();
            assert!(said.is_empty(), "{page}: {said:#?}");
        }
    }
}

/// Pages have no date, so that a release does not change them.
fn is_of_no_concern(line: &str) -> bool {
    line.contains("missing date") || line.contains("lower case character in document title")
}

#[test]
fn the_package_has_the_version_of_the_program() {
    let first = include_str!("../../../packaging/debian/changelog").lines().next().unwrap();
    assert!(first.starts_with(concat!("shibudb (", env!("CARGO_PKG_VERSION"), "-")), "{first}");
}

/// The command line, with clap's additions.
fn command() -> clap::Command {
    let mut command = shibudb::cli::command();
    command.build();
    command
}

fn manual(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man").join(page)
}

/// A page from its hand-written parts, with the generated parts inserted.
fn page(name: &str, generate: impl Fn(&str) -> String) -> String {
    let [head, tail] = ["head", "tail"].map(|part| fs::read_to_string(manual(&format!("{name}.{part}"))));
    let by_hand = head.unwrap() + &tail.unwrap_or_default();
    by_hand.lines().fold(String::new(), |page, line| match line.strip_prefix(GENERATED) {
        Some(what) => page + &generate(what),
        None => page + line + "\n",
    })
}

fn is_up_to_date(file: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let read = || fs::read_to_string(&path).unwrap_or_default();
    // Other tests read these files at the same time, so a file is written only if it changes.
    if env::var_os("SHIBUDB_GENERATE").is_some() && read() != generated {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, generated).unwrap();
    }
    let kept = read();
    assert!(
        kept == generated,
        "{file} is out of date: SHIBUDB_GENERATE=1 cargo test --test operator generated_files"
    );
}
