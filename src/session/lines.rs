//! Requests as lines: their ends in a client's input.

use crate::net::{Input, Which};

/// The result of [`next`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line, without its line feed.
    Complete(&'a [u8]),
    /// No line feed yet.
    Partial,
    /// More bytes than a line may have.
    TooLong,
}

/// The next line, of at most `longest` bytes. The same one again until [`consume`].
pub(super) fn next(input: &mut Input, longest: usize) -> Line<'_> {
    let searched = input.searched();
    let found = memchr::memchr(b'\n', &input.pending()[searched..]);
    let end = found.map_or(input.pending().len(), |at| searched + at);
    input.set_searched(end);
    if end > longest {
        Line::TooLong
    } else if found.is_some() {
        Line::Complete(&input.pending()[..end])
    } else {
        Line::Partial
    }
}

/// Moves past the line that [`next`] found.
pub(super) fn consume(input: &mut Input) {
    input.consume(input.searched() + 1);
}

/// The end of the first or the last line, behind its line feed.
pub(super) fn end(bytes: &[u8], which: Which) -> Option<usize> {
    let found = match which {
        Which::First => memchr::memchr(b'\n', bytes),
        Which::Last => memchr::memrchr(b'\n', bytes),
    };
    found.map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &[u8]) -> Input {
        let mut input = Input::default();
        input.push(text);
        input
    }

    #[test]
    fn lines_come_one_by_one() {
        let mut input = input(b"a\n\nbc\nd");
        for line in [&b"a"[..], b"", b"bc"] {
            assert_eq!(next(&mut input, 9), Line::Complete(line));
            assert_eq!(next(&mut input, 9), Line::Complete(line), "the same until it is consumed");
            consume(&mut input);
        }
        assert_eq!(next(&mut input, 9), Line::Partial);
        assert_eq!(input.pending(), b"d");
        input.push(b"\n");
        assert_eq!(next(&mut input, 9), Line::Complete(b"d"));
        consume(&mut input);
        assert_eq!(input.pending(), b"");
        assert_eq!(next(&mut input, 9), Line::Partial);
    }

    #[test]
    fn a_line_may_have_exactly_the_longest_length() {
        assert_eq!(next(&mut input(b"123\n"), 3), Line::Complete(b"123"));
        assert_eq!(next(&mut input(b"123"), 3), Line::Partial);
        assert_eq!(next(&mut input(b"1234"), 3), Line::TooLong);
        assert_eq!(next(&mut input(b"1234\n"), 3), Line::TooLong);
    }

    #[test]
    fn the_end_is_behind_the_line_feed() {
        assert_eq!(end(b"one\ntwo\nthr", Which::First), Some(4));
        assert_eq!(end(b"one\ntwo\nthr", Which::Last), Some(8));
        assert_eq!(end(b"thr", Which::Last), None);
    }
}
