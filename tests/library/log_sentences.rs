//! The sentence of every log line contains the values of its fields: `journalctl` and standard error show only the
//! sentence.
//!
//! Checks the source: a field counts as contained if the sentence, or an expression in it, uses the same name. For a
//! value built before the call, the line that builds it is checked.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Fields for programs only: they number the sentence's event, or repeat its words.
const FOR_PROGRAMS: [&str; 5] = ["revision", "outcome", "active", "act", "object"];

/// The text of an error that begins with its file.
const SAYS_ITS_PATH: &str = "what";

/// Names that occur in expressions of any kind.
const ANYWHERE: [&str; 6] = ["self", "display", "len", "get", "as_secs_f64", "to_string"];

/// One call of a macro of tracing.
struct Call {
    place: String,
    /// The text before it.
    before: String,
    arguments: Vec<String>,
}

#[test]
fn no_field_is_missing_from_its_sentence() {
    let calls = calls();
    assert!(calls.len() > 100, "only {} calls were found", calls.len());
    let silent: Vec<_> = calls.iter().filter_map(Call::missing).collect();
    assert!(silent.is_empty(), "fields that the sentence does not say:\n{}", silent.join("\n"));
}

#[test]
fn what_is_missing_is_found() {
    let missing = |arguments: &str| {
        let before = "let who = name(peer);".into();
        let call = Call { place: "here".into(), before, arguments: split(arguments) };
        call.missing().map(|missing| missing.replace("here: ", ""))
    };
    assert_eq!(missing(r#"%error, "it failed""#).as_deref(), Some("error"));
    assert_eq!(missing(r#"%error, "it failed: {error}""#), None);
    assert_eq!(missing(r#"target: "a::b", peer = %self.peer, "from {}", self.peer"#), None);
    assert_eq!(missing(r#"peer = %self.peer, user, "from {user:?}""#).as_deref(), Some("peer"));
    assert_eq!(missing(r#"%peer, "from {who}""#), None);
    assert_eq!(missing(r#"files = mended.closed, "{} files, (no \"comma)", mended.closed"#), None);
}

impl Call {
    /// The fields that the sentence does not contain.
    fn missing(&self) -> Option<String> {
        let sentence = self.arguments.iter().position(|argument| argument.starts_with('"'))?;
        let (fields, said) = self.arguments.split_at(sentence);
        // A sentence that was built elsewhere.
        if said.len() == 1 && said[0].starts_with("\"{") && said[0].find('}') == Some(said[0].len() - 2) {
            return None;
        }
        let mut words = placeholders(&said[0]);
        words.extend(said[1..].iter().flat_map(|argument| words_of(argument)));
        words.extend(words.clone().iter().flat_map(|word| self.put_together(word)));
        let silent = fields
            .iter()
            .filter(|field| !field.starts_with("target:") && !field.ends_with('"'))
            .filter_map(|field| {
                let name = field.split('=').next().unwrap().trim().trim_start_matches(['%', '?']);
                // A constant door: the sentence names the file.
                let is_constant = field.contains("Door::Config");
                let is_said =
                    FOR_PROGRAMS.contains(&name) || is_constant || !words_of(field).is_disjoint(&words);
                (!is_said).then_some(name)
            });
        let silent = silent.collect::<Vec<_>>().join(", ");
        (!silent.is_empty()).then(|| format!("{}: {silent}", self.place))
    }

    /// The names in the expression that `word` was last bound to before the call.
    fn put_together(&self, word: &str) -> BTreeSet<String> {
        let bindings = ["let ", "let mut "].into_iter().flat_map(|binding| {
            [" = ", ": "].map(|after| self.before.rfind(&format!("{binding}{word}{after}")))
        });
        let bound = bindings.flatten().max();
        let mut words =
            bound.map(|at| words_of(self.before[at..].split(';').next().unwrap())).unwrap_or_default();
        if word == SAYS_ITS_PATH {
            words.insert("path".into());
        }
        words
    }
}

fn calls() -> Vec<Call> {
    let mut calls = Vec::new();
    for path in sources(Path::new("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for level in ["error", "warn", "info", "debug", "trace"] {
            let opening = format!("tracing::{level}!(");
            for (at, _) in text.match_indices(&opening) {
                let line = text[..at].lines().count();
                let place = format!("{}:{line}", path.display());
                let arguments = split(&text[at + opening.len()..]);
                calls.push(Call { place, before: text[..at].to_owned(), arguments });
            }
        }
    }
    calls
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The arguments of a call, up to its closing bracket.
fn split(text: &str) -> Vec<String> {
    let (mut arguments, mut depth, mut in_string, mut escaped) = (vec![String::new()], 0, false, false);
    for c in text.chars() {
        let argument = arguments.last_mut().unwrap();
        if in_string {
            argument.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            ')' if depth == 0 => break,
            ',' if depth == 0 => arguments.push(String::new()),
            _ => {
                in_string = c == '"';
                depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
                argument.push(c);
            }
        }
    }
    arguments
        .iter()
        .map(|argument| argument.trim().to_owned())
        .filter(|argument| !argument.is_empty())
        .collect()
}

/// The names that a sentence is filled with.
fn placeholders(sentence: &str) -> BTreeSet<String> {
    let inside = sentence.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    inside.flat_map(|inside| words_of(inside.split(':').next().unwrap())).collect()
}

fn words_of(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_alphanumeric() && c != '_');
    let words = words.filter(|word| word.starts_with(|c: char| c.is_lowercase()));
    words.filter(|word| !ANYWHERE.contains(word)).map(str::to_owned).collect()
}
