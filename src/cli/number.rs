//! Parsers of numbers on the command line. They accept digits alone. `limit +100` would set the limit to 100, while
//! the user probably means an increase, so the error for a sign names the command for that.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Any port from 1 to 65535.
pub(super) fn port(text: &str) -> Result<u16, String> {
    digits(text).filter(|&port| port > 0).ok_or_else(|| "expected a port from 1 to 65535".into())
}

/// Any port, or 0 for a free one.
pub(super) fn port_or_any(text: &str) -> Result<u16, String> {
    digits(text).ok_or_else(|| "expected a port from 1 to 65535, or 0 for any free one".into())
}

/// The limit of a server that is about to start.
pub(super) fn first_limit(text: &str) -> Result<NonZeroU32, String> {
    let number = whole(text).map_err(|sign| match sign {
        Some(Sign::Minus(_)) => NOT_POSITIVE.to_owned(),
        Some(Sign::Plus(_)) => "expected a whole number without a sign, such as 1000".to_owned(),
        None => WHOLE.to_owned(),
    })?;
    let limit = u32::try_from(number).map_err(|_| format!("a connection limit is at most {}", u32::MAX))?;
    NonZeroU32::new(limit).ok_or_else(|| NOT_POSITIVE.to_owned())
}

/// The limit of a running server. The server decides whether it is possible.
pub(super) fn limit(text: &str) -> Result<u128, String> {
    whole(text).map_err(|sign| match sign {
        Some(Sign::Plus(n)) => {
            format!("a limit has no sign; `increase {n}` raises the limit by {n}, `limit {n}` sets it to {n}")
        }
        Some(Sign::Minus(n)) => format!("{NOT_POSITIVE}; `decrease {n}` lowers it by {n}"),
        None => WHOLE.to_owned(),
    })
}

/// The amount of an increase.
pub(super) fn increase(text: &str) -> Result<u128, String> {
    amount(text, "`decrease", "lowers")
}

/// The amount of a decrease.
pub(super) fn decrease(text: &str) -> Result<u128, String> {
    amount(text, "`increase", "raises")
}

fn amount(text: &str, opposite: &str, does: &str) -> Result<u128, String> {
    whole(text).map_err(|sign| match sign {
        Some(Sign::Plus(n)) => format!("an amount has no sign: expected {n}"),
        Some(Sign::Minus(n)) => {
            format!("amount must be a positive whole number; {opposite} {n}` {does} the limit by {n}")
        }
        None => "expected a whole number, such as 100".to_owned(),
    })
}

/// A connection.
pub(super) fn connection_id(text: &str) -> Result<u64, String> {
    digits(text).ok_or_else(|| "expected a connection number, as shown by `connections`".into())
}

/// How many of something.
pub(super) fn count<T>(text: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let number = digits(text).filter(|number| range.contains(number));
    number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
}

/// A time in seconds, with optional fraction and unit.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = number.parse().ok().filter(|_| is_plain);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds, such as 30".into())
}

/// A timeout.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    seconds(text)
        .ok()
        .filter(|time| !time.is_zero() && *time <= LONGEST_TIMEOUT)
        .ok_or_else(|| "expected a number of seconds from 0.001 to 86400, such as 30".into())
}

/// The longest timeout, a day: longer than any user waits, and short enough for every clock.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

const NOT_POSITIVE: &str = "connection limit must be positive";
const WHOLE: &str = "expected a whole number, such as 1000";

/// A sign and what follows it, without the zeros before.
enum Sign {
    Plus(u128),
    Minus(u128),
}

/// A whole number without a sign; else the sign, if that is all that is wrong.
fn whole(text: &str) -> Result<u128, Option<Sign>> {
    match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => Err(digits(rest).map(Sign::Plus)),
        (_, Some(rest)) => Err(digits(rest).map(Sign::Minus)),
        (None, None) => digits(text).ok_or(None),
    }
}

fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_refused_with_what_it_seems_to_mean() {
        for (result, words) in [
            (limit("+100"), "`increase 100` raises the limit by 100"),
            (limit("-5"), "connection limit must be positive; `decrease 5` lowers it by 5"),
            (increase("-5"), "`decrease 5` lowers the limit by 5"),
            (decrease("-5"), "`increase 5` raises the limit by 5"),
            (increase("+5"), "an amount has no sign: expected 5"),
            (limit("+"), WHOLE),
            (limit("--5"), WHOLE),
            (limit("1e3"), WHOLE),
        ] {
            let error = result.unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(first_limit("-3").unwrap_err(), first_limit("0").unwrap_err());
        for text in ["+9090", "-1", "", " 1", "0x10"] {
            assert!(
                port(text).is_err() && port_or_any(text).is_err() && connection_id(text).is_err(),
                "{text}"
            );
        }
        assert!(first_limit("+3").is_err() && count("+3", 1..=5_u16).is_err() && seconds("+3").is_err());
    }

    #[test]
    fn numbers_without_a_sign_are_numbers() {
        assert_eq!((port("9090"), port_or_any("0"), connection_id("7")), (Ok(9090), Ok(0), Ok(7)));
        assert_eq!((limit("0"), increase("007"), count("5", 1..=5_u16)), (Ok(0), Ok(7), Ok(5)));
        assert_eq!(seconds("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for text in ["0", "1e9", "inf", "nan", "s", ".", "86401"] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }
}
