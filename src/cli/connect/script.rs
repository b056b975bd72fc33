//! Commands from a file or a pipe: no prompts, and an end at the first error.

use std::io::{BufRead, Write};

use super::client::Client;
use super::command::{Command, Line};
use super::{CommandError, execute, print};

/// Runs the commands of `input`; the error names the line on which the failed command begins.
pub(super) fn run(client: &mut Client, mut input: impl BufRead, out: &mut impl Write) -> Result<(), String> {
    let (mut line_number, mut begin) = (0_u64, 1);
    let mut text = String::new();
    let mut bytes = Vec::new();
    loop {
        let at = |number: u64, what: &dyn std::fmt::Display| format!("line {number}: {what}");
        bytes.clear();
        let ended = input.read_until(b'\n', &mut bytes).map_err(|error| at(line_number + 1, &error))? == 0;
        if ended {
            return if text.is_empty() { Ok(()) } else { Err(at(begin, &"unclosed quote")) };
        }
        line_number += 1;
        if text.is_empty() {
            begin = line_number;
        } else {
            text.push('\n');
        }
        // Of a line that ends as they do elsewhere, too.
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        text.push_str(std::str::from_utf8(line).map_err(|_| at(line_number, &"this is not UTF-8"))?);
        match Line::read(&text) {
            Line::Unfinished => continue,
            Line::Blank => {}
            Line::Help(help) => print(out, &(help + "\n")).map_err(|error| at(begin, &error))?,
            Line::Wrong(message) => return Err(at(begin, &message)),
            Line::Command(Command::Exit) => return Ok(()),
            Line::Command(command) => execute(command, client, out, |_| Err(CommandError::NoPassword))
                .map_err(|error| at(begin, &error))?,
        }
        text.clear();
    }
}
