//! The rules for names of users and spaces, and how to display any text of a client.
//!
//! A name ends up in lists, logs, scripts and on terminals. So a new one consists of visible characters, and looks like
//! no other. Names from before this rule or from an import continue to work; wherever they are displayed, their
//! invisible characters are escaped: `\u{202e}`.

use std::borrow::Cow;

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_security::skeleton;

/// The longest name, in bytes of UTF-8.
pub const MAX_LEN: usize = 255;

/// Why a text cannot be a new name. Displays the end of a sentence that begins with "user name" or "space name".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It is too long.
    #[error("must not exceed {MAX_LEN} bytes")]
    TooLong,
    /// It holds a control character, or one that is not visible or reorders its neighbours.
    #[error("must consist of visible characters")]
    NotVisible,
    /// It starts or ends with white space.
    #[error("must not start or end with white space")]
    Padded,
    /// It is a path or could be taken for one. For spaces only, which may become files in exports of others.
    #[error("must not contain / or \\ and must not be . or ..")]
    Path,
}

/// A name can be mistaken for this existing one. Displays the end of the same sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("can be mistaken for \"{}\", which exists", shown(.0))]
pub struct LooksLike(pub String);

/// Whether a user or a space can have this name.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if name.len() > MAX_LEN {
        return Err(InvalidName::TooLong);
    }
    if name.trim() != name {
        let visible = name.trim().chars().all(is_visible) && !name.chars().any(char::is_control);
        return Err(if visible { InvalidName::Padded } else { InvalidName::NotVisible });
    }
    // A combining character at the start would combine with whatever precedes the name.
    if !name.chars().all(is_visible) || name.chars().next().is_some_and(is_mark) {
        return Err(InvalidName::NotVisible);
    }
    Ok(())
}

/// Whether a new name is visually distinct from existing ones. Names of ASCII letters always are: `appl` is allowed
/// beside `app1`.
///
/// # Errors
/// [`LooksLike`], which names the other one.
pub(crate) fn check_unlike<'a>(
    name: &str,
    others: impl IntoIterator<Item = &'a str>,
) -> Result<(), LooksLike> {
    let ours: String = skeleton(name).collect();
    let alike = others.into_iter().find(|other| {
        *other != name && !(name.is_ascii() && other.is_ascii()) && skeleton(other).eq(ours.chars())
    });
    alike.map_or(Ok(()), |other| Err(LooksLike(other.to_owned())))
}

/// The text in one line, with invisible characters escaped, and also white space at its ends.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let (from, to) = (text.len() - text.trim_start().len(), text.trim_end().len());
    escaped(text, |at, c| !is_visible(c) || (c == ' ' && !(from..to).contains(&at)))
}

/// A text of several lines, escaped in the same way. Its line breaks and tabs stay.
pub(crate) fn shown_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |_, c| !is_visible(c) && c != '\n' && c != '\t')
}

/// The text of a JSON document, escaped in the same way, with the same meaning: only its strings can contain invisible
/// characters.
pub(crate) fn shown_json(json: String) -> String {
    let is_hidden = |c: char| !c.is_ascii_whitespace() && !is_visible(c);
    if !json.contains(is_hidden) {
        return json;
    }
    let mut shown = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_hidden(c) {
            let units =
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            shown.push_str(&units);
        } else {
            shown.push(c);
        }
    }
    shown
}

fn escaped(text: &str, must_be: impl Fn(usize, char) -> bool) -> Cow<'_, str> {
    if !text.char_indices().any(|(at, c)| must_be(at, c)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if must_be(at, c) { escaped.extend(c.escape_unicode()) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

/// Not a control character, nor one that is invisible, acts as a line break, is unassigned, or reverses the text
/// direction. Of white space only the ordinary blank counts as visible.
fn is_visible(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    let hidden = GeneralCategoryGroup::Other.union(GeneralCategoryGroup::Separator);
    // Braille without dots is the only empty symbol.
    !hidden.contains(category)
        && !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        && c != '\u{2800}'
}

fn is_mark(c: char) -> bool {
    GeneralCategoryGroup::Mark.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_can_be_seen() {
        for name in ["a", "Größe 大きさ", "a.b@c-d_e", "…", "ユーザー", "👩", "مرحبا", "e\u{301}"]
        {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for (name, error) in [
            ("", InvalidName::Empty),
            (&"ä".repeat(128), InvalidName::TooLong),
            ("a\nb", InvalidName::NotVisible),
            ("a\n", InvalidName::NotVisible),
            ("a\u{1b}[2J", InvalidName::NotVisible),
            ("a\u{9b}2J", InvalidName::NotVisible),
            ("a\u{7f}", InvalidName::NotVisible),
            ("a\u{202e}b", InvalidName::NotVisible),
            ("a\u{2066}b", InvalidName::NotVisible),
            ("a\u{200b}", InvalidName::NotVisible),
            ("a\u{200d}b", InvalidName::NotVisible),
            ("a\u{feff}b", InvalidName::NotVisible),
            ("a\u{fe0f}", InvalidName::NotVisible),
            ("a\u{3164}b", InvalidName::NotVisible),
            ("a\u{2800}b", InvalidName::NotVisible),
            ("a\u{e0041}", InvalidName::NotVisible),
            ("a\u{2028}b", InvalidName::NotVisible),
            ("a\u{a0}b", InvalidName::NotVisible),
            ("a\u{e000}", InvalidName::NotVisible),
            ("a\u{10ffff}", InvalidName::NotVisible),
            ("\u{301}a", InvalidName::NotVisible),
            (" a", InvalidName::Padded),
            ("a ", InvalidName::Padded),
            ("a\u{2003}", InvalidName::Padded),
            (" ", InvalidName::Padded),
        ] {
            assert_eq!(check(name), Err(error), "{name:?}");
        }
    }

    #[test]
    fn a_name_looks_like_no_other() {
        let alike = |name, other| check_unlike(name, [other]).is_err();
        for (name, other) in [
            ("\u{430}dmin", "admin"),
            ("admin", "\u{430}dmin"),
            ("ad\u{440}in", "ad\u{440}\u{456}n"),
            ("\u{e9}", "e\u{301}"),
            ("ａdmin", "admin"),
        ] {
            assert!(alike(name, other), "{name} {other}");
        }
        for (name, other) in [("app1", "appl"), ("com", "corn"), ("a", "a"), ("大", "太"), ("zoë", "zoe")]
        {
            assert!(!alike(name, other), "{name} {other}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        for (text, expected) in [
            ("plain name", "plain name"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\nb\u{1b}[2J", "a\\u{a}b\\u{1b}[2J"),
            (" a ", "\\u{20}a\\u{20}"),
            ("   ", "\\u{20}\\u{20}\\u{20}"),
            ("a\u{200b}", "a\\u{200b}"),
            ("Größe", "Größe"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(shown_lines("a\n\tb\r \u{9b}"), "a\n\tb\\u{d} \\u{9b}");
    }

    #[test]
    fn json_means_the_same_when_all_of_it_can_be_seen() {
        for text in ["plain", "a\u{202e}b\u{7f}\u{e0041} \n\u{1b}", "Größe 👩"] {
            let json = serde_json::to_string(text).unwrap();
            let shown = shown_json(json.clone());
            assert!(shown.chars().all(is_visible), "{shown:?}");
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
            assert_eq!(shown == json, text.chars().all(is_visible));
        }
    }
}
