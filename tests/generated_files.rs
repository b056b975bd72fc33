//! The manual page and the shell completions are what the command line makes of them, and what is
//! written by hand beside them is true.
//!
//! They lie in the source so that they can be read and packaged without building anything. After a
//! change of the command line, `SHIBUDB_GENERATE=1 cargo test --test generated_files` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::{env, fs};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// What follows the options in the manual page: written by hand.
const TAIL: &str = include_str!("../packaging/man/shibudb.1.tail");

#[test]
fn the_manual_page_is_up_to_date() {
    is_up_to_date("packaging/man/shibudb.1", &manual_page());
}

#[test]
fn the_completions_are_up_to_date() {
    for (shell, file) in
        [(Shell::Bash, "shibudb.bash"), (Shell::Zsh, "_shibudb"), (Shell::Fish, "shibudb.fish")]
    {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut shibudb::cli::command(), "shibudb", &mut script);
        is_up_to_date(&format!("packaging/completions/{file}"), &String::from_utf8(script).unwrap());
    }
}

#[test]
fn the_manual_page_names_every_message_id() {
    for (target, id) in shibudb::logging::MESSAGE_IDS {
        assert!(TAIL.contains(id), "{target}: {id}");
    }
}

#[test]
fn the_package_has_the_version_of_the_program() {
    let first = include_str!("../packaging/debian/changelog").lines().next().unwrap();
    assert!(first.starts_with(concat!("shibudb (", env!("CARGO_PKG_VERSION"), "-")), "{first}");
}

fn is_up_to_date(file: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if env::var_os("SHIBUDB_GENERATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, generated).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == generated, "{file} is out of date: SHIBUDB_GENERATE=1 cargo test --test generated_files");
}

/// One page for the whole program: every subcommand with its arguments, then the tail.
fn manual_page() -> String {
    let mut command = shibudb::cli::command();
    command.build();
    let man = Man::new(command.clone());
    // Without date and version, so that a release does not change the page.
    let mut page = b".TH SHIBUDB 1 \"\" shibudb ShibuDB\n".to_vec();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    let mut page = String::from_utf8(page).unwrap();
    page.push_str(".SH COMMANDS\n");
    describe(&command, &mut page);
    page + TAIL
}

/// The visible subcommands of a command, one below the other, each with its own.
fn describe(command: &Command, page: &mut String) {
    let shown = |sub: &&Command| !sub.is_hide_set() && sub.get_name() != "help";
    for sub in command.get_subcommands().filter(shown) {
        let usage = sub.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").replace('-', "\\-");
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        page.push_str(&format!(".SS \"{usage}\"\n{about}.\n"));
        // A section of its own in a page for one command; here it is below the subcommand's title.
        let mut options = Vec::new();
        let without_help =
            sub.clone().mut_args(|arg| if arg.get_id() == "help" { arg.hide(true) } else { arg });
        Man::new(without_help).render_options_section(&mut options).unwrap();
        let options = String::from_utf8(options).unwrap();
        let heading = |line: &&str| [".SH", ".ie", ".el"].iter().any(|request| line.starts_with(request));
        page.extend(options.lines().filter(|line| !heading(line)).flat_map(|line| [line, "\n"]));
        describe(sub, page);
    }
}
