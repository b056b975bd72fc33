//! One value of the file into one setting: its type, its range, and what to say when it fits neither.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::problem::quoted;
use super::{Config, Durability, Key, Level, text};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);
const REQUEST_SIZES: RangeInclusive<u64> = 1024..=64 << 20;
const INFLIGHT_SIZES: RangeInclusive<u64> = 1 << 20..=1 << 40;
/// `sun_path` of unix(7) less its terminator.
const LONGEST_SOCKET: usize = 107;

const ADDRESS: &str = r#"an IP address such as "127.0.0.1" or "::1""#;
const PORT: &str = "a port from 1 to 65535";
const COUNT: &str = "a whole number from 1 to 4294967295";
const NO_SIGN: &str =
    "a whole number without a sign: the file sets the limit, and `shibudb manager PORT increase N` raises it";
const PERCENT: &str = "a whole number from 1 to 100";
const SWITCH: &str = "true or false";
const LOGIN_TIMEOUT: &str = r#"a duration from "1ms" to "24h", such as "10s""#;
const IDLE_TIMEOUT: &str = r#"a duration from "1ms" to "24h", such as "5m", or "0s" for never"#;
const REQUEST_TIMEOUT: &str = r#"a duration from "1ms" to "24h", such as "2m""#;
const DRAIN_TIMEOUT: &str = r#"a duration from "0s" to "24h", such as "30s""#;
const REQUEST: &str = r#"a size from "1KiB" to "64MiB", such as "1MiB", or a number of bytes"#;
const INFLIGHT: &str = r#"a size from "1MiB" to "1TiB", such as "256MiB", or a number of bytes"#;
const PATH: &str = r#"an absolute path such as "/srv/shibudb""#;
const TOKEN_FILE: &str = r#"an absolute path such as "/etc/shibudb/management.token""#;
const SOCKET: &str =
    r#"an absolute path of at most 107 bytes such as "/run/shibudb/service/management.sock""#;
const MODE: &str = r#"permissions in octal from "0000" to "0777", such as "0660""#;
const DURABILITY: &str = r#""always" or "1s""#;
const LEVEL: &str = r#""error", "warn", "info", "debug" or "trace""#;

/// Why a value was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalid {
    /// It is not what was expected.
    Expected(&'static str),
    /// A connection limit of zero or less.
    LimitNotPositive,
}

/// Writes `value` into the setting `key` of `config`, or leaves it as it was.
pub(super) fn apply(config: &mut Config, key: Key, value: &DeValue<'_>) -> Result<(), Invalid> {
    let wrong = || Invalid::Expected(expected(key));
    match key {
        Key::Bind => config.bind = address(value).ok_or_else(wrong)?,
        Key::Port => config.port = port(value).ok_or_else(wrong)?,
        Key::MaxConnections => {
            if integer(value).is_some_and(|number| number <= 0) {
                return Err(Invalid::LimitNotPositive);
            }
            // TOML reads +100 as 100, but the writer may mean an increase by 100.
            if value.as_integer().is_some_and(|number| number.as_str().starts_with('+')) {
                return Err(Invalid::Expected(NO_SIGN));
            }
            config.max_connections = count(value).ok_or_else(wrong)?;
        }
        Key::SignalStep => config.limits.signal_step = count(value).ok_or_else(wrong)?,
        Key::WarnPercent => {
            let percent = whole(value).filter(|percent| (1..=100).contains(percent));
            config.limits.warn_percent = percent.ok_or_else(wrong)?;
        }
        Key::Persist => config.limits.persist = value.as_bool().ok_or_else(wrong)?,
        Key::ManagementBind => config.management.bind = address(value).ok_or_else(wrong)?,
        Key::ManagementPort => config.management.port = Some(port(value).ok_or_else(wrong)?),
        Key::TokenFile => config.management.token_file = Some(path(value).ok_or_else(wrong)?),
        Key::ManagementSocket => {
            let path = path(value).filter(|path| path.as_os_str().len() <= LONGEST_SOCKET);
            config.management.socket = Some(path.ok_or_else(wrong)?);
        }
        Key::SocketMode => {
            let mode = value.as_str().and_then(text::parse_mode);
            config.management.socket_mode = mode.ok_or_else(wrong)?;
        }
        Key::LoginTimeout => {
            config.client.login_timeout = duration(value, MILLISECOND..=DAY).ok_or_else(wrong)?;
        }
        Key::IdleTimeout => {
            let timeout = duration(value, Duration::ZERO..=DAY)
                .filter(|timeout| timeout.is_zero() || *timeout >= MILLISECOND)
                .ok_or_else(wrong)?;
            config.client.idle_timeout = (!timeout.is_zero()).then_some(timeout);
        }
        Key::RequestTimeout => {
            config.client.request_timeout = duration(value, MILLISECOND..=DAY).ok_or_else(wrong)?;
        }
        Key::MaxRequest => config.client.max_request = size(value, REQUEST_SIZES).ok_or_else(wrong)?,
        Key::MaxInflightBytes => {
            config.client.max_inflight_bytes = size(value, INFLIGHT_SIZES).ok_or_else(wrong)?;
        }
        Key::DrainTimeout => {
            config.shutdown.drain_timeout = duration(value, Duration::ZERO..=DAY).ok_or_else(wrong)?;
        }
        Key::StoragePath => config.storage.path = Some(path(value).ok_or_else(wrong)?),
        Key::Durability => {
            config.storage.durability =
                one_of(value, Durability::ALL, Durability::as_str).ok_or_else(wrong)?;
        }
        Key::LogLevel => {
            config.log.level = one_of(value, Level::ALL, Level::as_str).ok_or_else(wrong)?;
        }
    }
    Ok(())
}

/// What a setting expects.
pub(super) fn expected(key: Key) -> &'static str {
    match key {
        Key::Bind | Key::ManagementBind => ADDRESS,
        Key::Port | Key::ManagementPort => PORT,
        Key::MaxConnections | Key::SignalStep => COUNT,
        Key::WarnPercent => PERCENT,
        Key::Persist => SWITCH,
        Key::TokenFile => TOKEN_FILE,
        Key::ManagementSocket => SOCKET,
        Key::SocketMode => MODE,
        Key::LoginTimeout => LOGIN_TIMEOUT,
        Key::IdleTimeout => IDLE_TIMEOUT,
        Key::RequestTimeout => REQUEST_TIMEOUT,
        Key::MaxRequest => REQUEST,
        Key::MaxInflightBytes => INFLIGHT,
        Key::DrainTimeout => DRAIN_TIMEOUT,
        Key::StoragePath => PATH,
        Key::Durability => DURABILITY,
        Key::LogLevel => LEVEL,
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

fn count(value: &DeValue<'_>) -> Option<NonZeroU32> {
    NonZeroU32::new(whole(value)?)
}

fn port(value: &DeValue<'_>) -> Option<u16> {
    whole(value).filter(|port| *port != 0)
}

fn address(value: &DeValue<'_>) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

fn duration(value: &DeValue<'_>, range: RangeInclusive<Duration>) -> Option<Duration> {
    text::parse_duration(value.as_str()?).filter(|duration| range.contains(duration))
}

fn size(value: &DeValue<'_>, range: RangeInclusive<u64>) -> Option<usize> {
    let bytes = match value.as_str() {
        Some(text) => text::parse_size(text)?,
        None => whole(value)?,
    };
    range.contains(&bytes).then(|| usize::try_from(bytes).ok())?
}

/// Relative paths are refused: relative to what, nobody who reads the file can tell.
fn path(value: &DeValue<'_>) -> Option<PathBuf> {
    let text = value.as_str().filter(|text| !text.contains('\0'))?;
    Some(PathBuf::from(text)).filter(|path| path.is_absolute())
}

fn one_of<T: Copy, const N: usize>(
    value: &DeValue<'_>,
    all: [T; N],
    spelt: fn(T) -> &'static str,
) -> Option<T> {
    let text = value.as_str()?;
    all.into_iter().find(|one| spelt(*one) == text)
}
