//! Values as people write them: "1h30m", "64KiB", "always", "info".

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::fmt::friendly::{Designator, Spacing, SpanParser, SpanPrinter};

use super::{Durability, Level};

static PARSER: SpanParser = SpanParser::new();
static PRINTER: SpanPrinter = SpanPrinter::new().designator(Designator::Compact).spacing(Spacing::None);

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A duration such as `1h30m`. Lossless: [`parse_duration`] reads it back.
pub(super) fn duration(duration: Duration) -> String {
    PRINTER.unsigned_duration_to_string(&duration)
}

/// The duration in `text`, if it is one.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    PARSER.parse_unsigned_duration(text).ok()
}

/// A size such as `1MiB`, in plain bytes if no binary unit fits. [`parse_size`] reads it back.
pub(super) fn size(bytes: usize) -> String {
    in_units(bytes, &["", "KiB", "MiB"])
}

/// The same for the bound of a size, which may be in larger units.
pub(super) fn bound(bytes: usize) -> String {
    in_units(bytes, &["", "KiB", "MiB", "GiB", "TiB"])
}

/// A size in the largest of these units that it is a multiple of.
fn in_units(bytes: usize, units: &[&str]) -> String {
    let mut number = bytes;
    let mut unit = 0;
    while number != 0 && number.is_multiple_of(1024) && unit + 1 < units.len() {
        number /= 1024;
        unit += 1;
    }
    format!("{number}{}", units[unit])
}

/// The bytes in `text`, if it is a size.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    text.parse::<ByteSize>().ok().map(|size| size.as_u64())
}

/// Permissions such as `0660`. [`parse_mode`] reads them back.
pub(super) fn mode(mode: u32) -> String {
    format!("{mode:04o}")
}

/// The permissions that `text` gives in octal, if it does; only those of a file.
pub(super) fn parse_mode(text: &str) -> Option<u32> {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777)
}
