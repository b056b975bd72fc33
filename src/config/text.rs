//! Values as people write them: "1h30m", "64KiB", "always", "info".

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::fmt::friendly::{Designator, Spacing, SpanParser, SpanPrinter};

use super::{Durability, Level};

static PARSER: SpanParser = SpanParser::new();
static PRINTER: SpanPrinter = SpanPrinter::new().designator(Designator::Compact).spacing(Spacing::None);

impl Durability {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Always, Self::EverySecond];

    /// As it is written in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySecond => "1s",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Level {
    /// All of them, the most important first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// As it is written in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A duration such as `1h30m`. Nothing is lost: [`parse_duration`] reads it back.
pub(super) fn duration(duration: Duration) -> String {
    PRINTER.unsigned_duration_to_string(&duration)
}

/// The duration that `text` names, if it does.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    PARSER.parse_unsigned_duration(text).ok()
}

/// A size such as `1MiB`, in plain bytes if no binary unit fits. [`parse_size`] reads it back.
pub(super) fn size(bytes: usize) -> String {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    match bytes {
        0 => "0".to_owned(),
        _ if bytes.is_multiple_of(MIB) => format!("{}MiB", bytes / MIB),
        _ if bytes.is_multiple_of(KIB) => format!("{}KiB", bytes / KIB),
        _ => bytes.to_string(),
    }
}

/// The bytes that `text` names, if it does.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    text.parse::<ByteSize>().ok().map(|size| size.as_u64())
}

/// Permissions such as `0660`. [`parse_mode`] reads them back.
pub(super) fn mode(mode: u32) -> String {
    format!("{mode:04o}")
}

/// The permissions that `text` names in octal, if it does; those of a file and nothing beyond.
pub(super) fn parse_mode(text: &str) -> Option<u32> {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777)
}
