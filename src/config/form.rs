//! The forms of values in the file: what they allow, how they are written, and the message for a value of another
//! form.
//!
//! The file is long because all forms are here: each is a few lines, and they should stay alike.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::problem::quoted;
use super::text;

/// Values of one type between the file and the settings.
pub(super) trait Form<T> {
    /// Converts the file's value to the setting.
    fn read(&self, value: &DeValue<'_>) -> Result<T, Invalid>;

    /// The setting as a person writes it, without quotes; `None` if it is not configured.
    fn write(&self, setting: &T) -> Option<String>;

    /// What the file may contain, in words. `default` is the default as the file writes it.
    fn expected(&self, default: Option<&str>) -> String;

    /// A valid value, for a default that cannot be written.
    fn example(&self) -> Option<&'static str> {
        None
    }

    /// The manual's word for a default that cannot be written.
    fn without(&self) -> &'static str {
        "none"
    }
}

/// Why a value was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalid {
    /// It does not have the form, or is out of bounds.
    Form,
    /// The same, with other words for what was expected.
    Expected(&'static str),
    /// A connection limit of zero or less.
    LimitNotPositive,
}

/// An IP address.
pub(super) struct Address;

/// A port number other than 0.
pub(super) struct Port;

/// The same; absent where it is derived.
pub(super) struct DerivedPort;

/// A number from 1.
pub(super) struct Count;

/// The same for the connection limit, with a message for `+100`: the writer may mean an increase.
pub(super) struct Connections;

/// A number from 1 to 100.
pub(super) struct Percent;

/// True or false.
pub(super) struct Switch;

/// The permissions of a file, in octal.
pub(super) struct Permissions;

/// A duration within bounds.
pub(super) struct Time {
    pub(super) least: Duration,
    pub(super) most: Duration,
}

/// The same, or zero for never.
pub(super) struct TimeOrNever {
    pub(super) least: Duration,
    pub(super) most: Duration,
    pub(super) example: &'static str,
}

/// A number of bytes within bounds.
pub(super) struct Size {
    pub(super) least: usize,
    pub(super) most: usize,
}

/// An absolute path: a reader of the file cannot tell what a relative one refers to.
pub(super) struct AbsolutePath {
    pub(super) example: &'static str,
    /// The manual's word for no path.
    pub(super) without: &'static str,
    /// The maximum in bytes, if any.
    pub(super) longest: Option<usize>,
}

/// One of a few words.
pub(super) struct Word<T: 'static> {
    pub(super) all: &'static [T],
    pub(super) name: fn(T) -> &'static str,
}

impl Form<IpAddr> for Address {
    fn read(&self, value: &DeValue<'_>) -> Result<IpAddr, Invalid> {
        value.as_str().and_then(|text| text.parse().ok()).ok_or(Invalid::Form)
    }

    fn write(&self, address: &IpAddr) -> Option<String> {
        Some(address.to_string())
    }

    fn expected(&self, _: Option<&str>) -> String {
        r#"an IP address such as "127.0.0.1" or "::1""#.into()
    }
}

impl Form<u16> for Port {
    fn read(&self, value: &DeValue<'_>) -> Result<u16, Invalid> {
        whole(value).filter(|port| *port != 0).ok_or(Invalid::Form)
    }

    fn write(&self, port: &u16) -> Option<String> {
        Some(port.to_string())
    }

    fn expected(&self, _: Option<&str>) -> String {
        format!("a port from 1 to {}", u16::MAX)
    }
}

impl Form<Option<u16>> for DerivedPort {
    fn read(&self, value: &DeValue<'_>) -> Result<Option<u16>, Invalid> {
        Port.read(value).map(Some)
    }

    fn write(&self, port: &Option<u16>) -> Option<String> {
        Port.write(port.as_ref()?)
    }

    fn expected(&self, default: Option<&str>) -> String {
        Port.expected(default)
    }
}

impl Form<NonZeroU32> for Count {
    fn read(&self, value: &DeValue<'_>) -> Result<NonZeroU32, Invalid> {
        whole(value).and_then(NonZeroU32::new).ok_or(Invalid::Form)
    }

    fn write(&self, count: &NonZeroU32) -> Option<String> {
        Some(count.to_string())
    }

    fn expected(&self, _: Option<&str>) -> String {
        format!("a whole number from 1 to {}", u32::MAX)
    }
}

impl Form<NonZeroU32> for Connections {
    fn read(&self, value: &DeValue<'_>) -> Result<NonZeroU32, Invalid> {
        if integer(value).is_some_and(|number| number <= 0) {
            return Err(Invalid::LimitNotPositive);
        }
        // TOML reads +100 as 100, but the writer may mean an increase by 100.
        if value.as_integer().is_some_and(|number| number.as_str().starts_with('+')) {
            return Err(Invalid::Expected(
                "a whole number without a sign: the file sets the limit, and `shibudb manager PORT increase N` \
                 raises it",
            ));
        }
        Count.read(value)
    }

    fn write(&self, limit: &NonZeroU32) -> Option<String> {
        Count.write(limit)
    }

    fn expected(&self, default: Option<&str>) -> String {
        Count.expected(default)
    }
}

impl Form<u8> for Percent {
    fn read(&self, value: &DeValue<'_>) -> Result<u8, Invalid> {
        whole(value).filter(|percent| (1..=100).contains(percent)).ok_or(Invalid::Form)
    }

    fn write(&self, percent: &u8) -> Option<String> {
        Some(percent.to_string())
    }

    fn expected(&self, _: Option<&str>) -> String {
        "a whole number from 1 to 100".into()
    }
}

impl Form<bool> for Switch {
    fn read(&self, value: &DeValue<'_>) -> Result<bool, Invalid> {
        value.as_bool().ok_or(Invalid::Form)
    }

    fn write(&self, switch: &bool) -> Option<String> {
        Some(switch.to_string())
    }

    fn expected(&self, _: Option<&str>) -> String {
        "true or false".into()
    }
}

impl Form<u32> for Permissions {
    fn read(&self, value: &DeValue<'_>) -> Result<u32, Invalid> {
        value.as_str().and_then(text::parse_mode).ok_or(Invalid::Form)
    }

    fn write(&self, mode: &u32) -> Option<String> {
        Some(text::mode(*mode))
    }

    fn expected(&self, default: Option<&str>) -> String {
        format!(r#"permissions in octal from "0000" to "0777"{}"#, such_as(default))
    }
}

impl Form<Duration> for Time {
    fn read(&self, value: &DeValue<'_>) -> Result<Duration, Invalid> {
        duration(value).filter(|time| (self.least..=self.most).contains(time)).ok_or(Invalid::Form)
    }

    fn write(&self, time: &Duration) -> Option<String> {
        Some(text::duration(*time))
    }

    fn expected(&self, default: Option<&str>) -> String {
        let [least, most] = [self.least, self.most].map(text::duration);
        format!(r#"a duration from "{least}" to "{most}"{}"#, such_as(default))
    }
}

impl Form<Option<Duration>> for TimeOrNever {
    fn read(&self, value: &DeValue<'_>) -> Result<Option<Duration>, Invalid> {
        match duration(value).ok_or(Invalid::Form)? {
            Duration::ZERO => Ok(None),
            time if (self.least..=self.most).contains(&time) => Ok(Some(time)),
            _ => Err(Invalid::Form),
        }
    }

    fn write(&self, time: &Option<Duration>) -> Option<String> {
        Some(text::duration(time.unwrap_or_default()))
    }

    fn expected(&self, _: Option<&str>) -> String {
        let [least, most] = [self.least, self.most].map(text::duration);
        format!(r#"a duration from "{least}" to "{most}"{}, or "0s" for never"#, such_as(Some(self.example)))
    }
}

impl Form<usize> for Size {
    fn read(&self, value: &DeValue<'_>) -> Result<usize, Invalid> {
        let bytes = match value.as_str() {
            Some(text) => text::parse_size(text),
            None => whole(value),
        };
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        bytes.filter(|bytes| (self.least..=self.most).contains(bytes)).ok_or(Invalid::Form)
    }

    fn write(&self, bytes: &usize) -> Option<String> {
        Some(text::size(*bytes))
    }

    fn expected(&self, default: Option<&str>) -> String {
        let [least, most] = [self.least, self.most].map(text::bound);
        format!(r#"a size from "{least}" to "{most}"{}, or a number of bytes"#, such_as(default))
    }
}

impl Form<Option<PathBuf>> for AbsolutePath {
    fn read(&self, value: &DeValue<'_>) -> Result<Option<PathBuf>, Invalid> {
        let fits = |text: &&str| self.longest.is_none_or(|longest| text.len() <= longest);
        let text = value.as_str().filter(|text| !text.contains('\0')).filter(fits).ok_or(Invalid::Form)?;
        Some(PathBuf::from(text)).filter(|path| path.is_absolute()).map(Some).ok_or(Invalid::Form)
    }

    fn write(&self, path: &Option<PathBuf>) -> Option<String> {
        path.as_ref().map(|path| path.display().to_string())
    }

    fn expected(&self, _: Option<&str>) -> String {
        let bound = self.longest.map(|longest| format!(" of at most {longest} bytes")).unwrap_or_default();
        format!(r#"an absolute path{bound} such as "{}""#, self.example)
    }

    fn example(&self) -> Option<&'static str> {
        Some(self.example)
    }

    fn without(&self) -> &'static str {
        self.without
    }
}

impl<T: Copy> Form<T> for Word<T> {
    fn read(&self, value: &DeValue<'_>) -> Result<T, Invalid> {
        let text = value.as_str().ok_or(Invalid::Form)?;
        self.all.iter().copied().find(|word| (self.name)(*word) == text).ok_or(Invalid::Form)
    }

    fn write(&self, word: &T) -> Option<String> {
        Some((self.name)(*word).to_owned())
    }

    fn expected(&self, _: Option<&str>) -> String {
        let words: Vec<_> = self.all.iter().map(|word| format!("\"{}\"", (self.name)(*word))).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }
}

/// A value as a message names it.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
        DeValue::Integer(number) => shortened(number.to_string()),
        DeValue::Float(number) => shortened(number.to_string()),
    }
}

/// A number as it is, unless it is absurdly long.
fn shortened(number: String) -> String {
    if number.len() > 40 { "a number with too many digits".to_owned() } else { number }
}

/// An example, to append to the expected form.
fn such_as(example: Option<&str>) -> String {
    example.map(|example| format!(", such as \"{example}\"")).unwrap_or_default()
}

/// A number, however large: one that fits nothing counts as the largest or the smallest.
fn integer(value: &DeValue<'_>) -> Option<i128> {
    let number = value.as_integer()?;
    let text = number.as_str();
    let beyond = if text.starts_with('-') { i128::MIN } else { i128::MAX };
    Some(i128::from_str_radix(text, number.radix()).unwrap_or(beyond))
}

fn whole<T: TryFrom<i128>>(value: &DeValue<'_>) -> Option<T> {
    T::try_from(integer(value)?).ok()
}

fn duration(value: &DeValue<'_>) -> Option<Duration> {
    text::parse_duration(value.as_str()?)
}
