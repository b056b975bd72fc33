//! The settings, from the table of keys: the shipped config file, and their chapter of the manual.

use shibudb::config::{Config, Key, parse};

use super::{is_up_to_date, page};

/// The top of the shipped file.
const HEAD: &str = r#"# shibudb.toml - the settings of the shibudb server.
#
# Every setting is here with its default: edit what you need and save. A running server notices
# within a second. Settings marked "live" are applied at once, also for connected clients; those
# marked "live for new connections" for connections that are opened after the edit; those marked
# "restart" wait for the next start and are named in a warning until then.
#
# End the last line with a line break: a text without one may still be being written, and is read
# only after it has not changed for ten seconds.
#
# A file with a mistake changes nothing; the server keeps its settings and logs line and column.
# To check one before you save it:  shibudb check FILE
#
# Durations are written "500ms", "30s", "2m", "1h30m"; sizes "64KiB", "1MiB", or plain bytes.
"#;

/// The longest line of the shipped file.
const WIDTH: usize = 118;

#[test]
fn the_shipped_file_is_up_to_date() {
    let mut file = HEAD.to_owned();
    let mut section = None;
    for key in Key::ALL {
        file.push('\n');
        if let Some(name) = key.section().filter(|name| section.replace(*name) != Some(*name)) {
            file.push_str(&format!("[{name}]\n"));
        }
        file.push_str(&comment(key));
        let unset = if key.has_default() { "" } else { "#" };
        file.push_str(&format!("{unset}{} = {}\n", key.leaf(), toml(&key.example())));
    }
    is_up_to_date("etc/shibudb.toml", &file);
}

#[test]
fn the_manual_of_the_config_file_is_up_to_date() {
    let page = page("shibudb.toml.5", |what| match what {
        "settings" => settings(),
        _ => panic!("nothing is called {what}"),
    });
    is_up_to_date("packaging/man/shibudb.toml.5", &page);
}

/// The bounds are part of an entry, and its help is prose.
#[test]
fn the_help_of_a_setting_names_its_bounds() {
    for key in Key::ALL {
        let expected = key.expected();
        let Some((_, bounds)) = expected.split_once(" from \"") else { continue };
        let help = key.help().join("");
        let most = bounds.split('"').nth(2).unwrap();
        assert!(help.contains(&format!("`{most}`")) || help.contains("in octal"), "{key}: {most}");
    }
}

/// Includes the settings that are commented out, which a user may uncomment.
#[test]
fn every_example_is_a_value() {
    for key in Key::ALL {
        let line = format!("{key} = {}\n", toml(&key.example()));
        let parsed = parse(line.as_bytes()).unwrap_or_else(|problems| panic!("{line}{problems}"));
        assert_eq!(key.value(&parsed.config), Some(key.example()));
        assert!(!key.has_default() || parsed.config == Config::default(), "{line}");
    }
}

/// The help of a key as a comment that ends with when an edit takes effect.
fn comment(key: Key) -> String {
    let mut lines: Vec<_> =
        key.help().iter().map(|line| format!("#{}", line.replace('`', "\"")).trim_end().to_owned()).collect();
    let effect = key.effect().to_string();
    match lines.last_mut() {
        Some(last) if last.len() + effect.len() < WIDTH => last.push_str(&format!(" {effect}")),
        _ => lines.push(format!("# {effect}")),
    }
    lines.join("\n") + "\n"
}

/// A value as the file has it: numbers and switches bare, all else quoted.
fn toml(value: &str) -> String {
    let number = value.parse::<u64>().is_ok_and(|number| number.to_string() == value);
    if number || value.parse::<bool>().is_ok() { value.to_owned() } else { format!("\"{value}\"") }
}

fn settings() -> String {
    let mut text = ".SS At the top of the file\n".to_owned();
    let mut section = None;
    for key in Key::ALL {
        if let Some(name) = key.section().filter(|name| section.replace(*name) != Some(*name)) {
            text.push_str(&format!(".SS [{name}]\n"));
        }
        text.push_str(&format!(".TP\n.B {}\n", key.leaf()));
        text.push_str(&roff(key.help()));
        text.push_str(&format!(".br\nDefault: {}; {}.\n", key.default_in_words(), key.effect()));
    }
    text
}

/// Help as the manual has it: what is in backquotes in bold, with the words in capitals that stand for something in
/// italics.
fn roff(help: &[&str]) -> String {
    let text: Vec<_> = help.iter().map(|line| line.trim()).collect();
    let text = text.join("\n").replace('\\', "\\e").replace('-', "\\-");
    let mut set = String::new();
    for (number, part) in text.split('`').enumerate() {
        if number % 2 == 0 {
            set.push_str(part);
            continue;
        }
        let mut font = "";
        for (index, word) in part.split(' ').enumerate() {
            let is_placeholder = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
            let of_word = if is_placeholder { "\\fI" } else { "\\fB" };
            let space = if index == 0 { "" } else { " " };
            let change = if font == of_word { "" } else { of_word };
            set.push_str(&format!("{space}{change}{word}"));
            font = of_word;
        }
        set.push_str("\\fR");
    }
    // A line of the text must not begin a request.
    set.lines()
        .map(|line| match line {
            "" => ".IP\n".to_owned(),
            line if line.starts_with(['.', '\'']) => format!("\\&{line}\n"),
            line => format!("{line}\n"),
        })
        .collect()
}
