//! The output of `manager`.
//!
//! Scripts read the first lines of `status` and `stats` letter by letter; further facts are
//! further lines below. Tables and colours are for people; scripts use `--json`.
//!
//! All output is in this file, so that commands use the same words for the same things.

use anstyle::Style;
use comfy_table::{Cell, CellAlignment};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::table::Rows;
use crate::cli::colours::{AMBER, Colours, HEADING, RED};
use crate::management::wire::{
    ChangedSetting, ConfigReport, CurrentLimit, Health, History, HistoryEntry, LastReload, LimitReport,
    Message, Outcome, ReloadOutcome, ReloadReport, Setting, Stats, StoreReport, TroubledFile,
};
use crate::names::{shown, shown_lines};

/// The usage to highlight, in percent, if the server does not report its threshold.
pub(super) const WARN_PERCENT: f64 = 80.0;

pub(super) fn status(now: CurrentLimit, config: Option<&ConfigReport>, colours: Colours) -> String {
    let CurrentLimit { current_limit, active_connections } = now;
    let usage = f64::from(active_connections) / f64::from(current_limit.max(1)) * 100.0;
    let heading = colours.paint(HEADING, "Connection Status:");
    let active =
        colours.paint(tightness(usage, config), format_args!("Active Connections: {active_connections}"));
    let mut text = format!("{heading}\nCurrent Limit: {current_limit}\n{active}\n");
    if let Some(config) = config {
        text.push_str(&further(&config.limit, current_limit, colours));
        let well = text.len();
        text.push_str(&not_in_force(config, colours));
        text.push_str(&troubled(&config.troubled_files, colours));
        text.push_str(&needing_restart(config, colours));
        text.push_str(&store(&config.store, colours));
        if text.len() > well {
            // The log has more about the problem.
            text.push_str(&log(config.log_file.as_deref()));
        }
    }
    text
}

pub(super) fn stats(stats: Stats, config: Option<&ConfigReport>, colours: Colours) -> String {
    let Stats { active_connections, max_connections, usage_percentage, available_slots } = stats;
    let heading = colours.paint(HEADING, "Connection Statistics:");
    let usage = colours
        .paint(tightness(usage_percentage, config), format_args!("Usage Percentage: {usage_percentage:.1}%"));
    format!(
        "{heading}\nActive Connections: {active_connections}\nMax Connections: {max_connections}\n{usage}\n\
         Available Slots: {available_slots}\n"
    )
}

/// The style of a usage in percent.
fn tightness(usage: f64, config: Option<&ConfigReport>) -> Style {
    let tight = config.and_then(|config| config.setting("limits.warn_percent")?.as_f64());
    if usage >= 100.0 {
        RED
    } else if usage >= tight.unwrap_or(WARN_PERCENT) {
        AMBER
    } else {
        Style::new()
    }
}

/// A problem, if there is one, is in `config`, for users who may read that.
pub(super) fn health(health: Health, config: Option<&ConfigReport>, colours: Colours) -> String {
    let Health { status, service } = health;
    let store = config.map(|config| store(&config.store, colours)).unwrap_or_default();
    format!("Server is {status}\nService: {service}\n{store}")
}

pub(super) fn message(Message { message }: Message) -> String {
    shown_lines(&message).into_owned() + "\n"
}

pub(super) fn history(History { changes }: History, colours: Colours) -> String {
    let mut rows = Rows::new(["Time", "Door", "Who", "Limit", "Active", "Outcome"]);
    for HistoryEntry { time, door, actor, old, new, active, outcome, reason, count, last_time, .. } in changes
    {
        let old = old.map_or("-".to_owned(), |old| old.to_string());
        let new = new.map_or("-".to_owned(), |new| new.to_string());
        let (style, outcome) = match (outcome, reason) {
            (Outcome::Applied, _) => (Style::new(), "applied".to_owned()),
            (Outcome::Refused, None) => (RED, "refused".to_owned()),
            (Outcome::Refused, Some(reason)) => (RED, format!("refused: {reason}")),
        };
        let outcome = outcome + &repeated(count, last_time);
        let cells = [
            Cell::new(local(time)),
            Cell::new(door),
            Cell::new(shown(&actor)),
            Cell::new(format!("{old} → {new}")),
            Cell::new(active).set_alignment(CellAlignment::Right),
            Cell::new(shown(&outcome)),
        ];
        rows.add(style, cells);
    }
    rows.text(colours)
}

pub(super) fn config(report: ConfigReport, colours: Colours) -> String {
    let ConfigReport { file, awaited_file, limit, settings, last_reload, troubled_files, store, log_file } =
        report;
    let mut rows = Rows::new(["Setting", "Value", "Default", "Source", "Edits", "Pending"]);
    for Setting { key, value, default, source, effect, pending, .. } in settings {
        let style = if pending.is_some() { AMBER } else { Style::new() };
        let cells = [
            key,
            plain(&value),
            plain(&default),
            source.name().to_owned(),
            effect,
            pending.map_or("-".to_owned(), |value| plain(&value)),
        ];
        rows.add(style, cells.map(Cell::new));
    }
    let file = file.unwrap_or_else(|| match awaited_file {
        Some(awaited) => format!("none; {awaited} does not exist and is read once it is created"),
        None => "none".to_owned(),
    });
    let (style, reload) = match last_reload {
        None => (Style::new(), "never".to_owned()),
        Some(LastReload { time, door, outcome: ReloadOutcome::Ok, .. }) => {
            (Style::new(), format!("{} through {door}: ok", local(time)))
        }
        Some(LastReload { time, door, outcome: ReloadOutcome::Failed, error }) => (
            RED,
            format!("{} through {door}: failed: {}", local(time), shown_lines(&error.unwrap_or_default())),
        ),
    };
    let reload = colours.paint_lines(style, &format!("Last Reload: {reload}\n"));
    let troubled = troubled(&troubled_files, colours);
    let further = further(&limit, limit.current, colours);
    let store = self::store(&store, colours);
    let log = log(log_file.as_deref());
    format!("{}\nConfig File: {file}\n{reload}{troubled}{further}{store}{log}", rows.text(colours))
}

pub(super) fn reload(report: ReloadReport, colours: Colours) -> String {
    let ReloadReport { changed, restart, refused, message, .. } = report;
    let mut text = message + "\n";
    let mut list = |title: &str, style: Style, settings: Vec<ChangedSetting>| {
        for ChangedSetting { key, old, new } in settings {
            let line = format!("{title}: {key}: {} → {}\n", plain(&old), plain(&new));
            text.push_str(&colours.paint_lines(style, &line));
        }
    };
    list("Changed", Style::new(), changed);
    list("Needs Restart", AMBER, restart);
    for setting in refused {
        let (key, value, reason) = (setting.key, plain(&setting.value), setting.reason);
        let until = if setting.waits { "; applied as soon as possible" } else { "" };
        text.push_str(&colours.paint_lines(RED, &format!("Refused: {key} = {value}: {reason}{until}\n")));
    }
    text
}

/// The text for settings that a reload refused and that the server does not apply later; `None` if there are none.
pub(super) fn refused_for_good(report: &ReloadReport) -> Option<String> {
    let refused = report.refused.iter().filter(|setting| !setting.waits);
    let words = refused.map(|setting| {
        format!("{} = {} was refused: {}", setting.key, plain(&setting.value), setting.reason)
    });
    let words = words.collect::<Vec<_>>().join("; ");
    (!words.is_empty()).then(|| format!("{words}; all other settings in the file are in effect"))
}

/// If the last read of the config file was refused: the first problem of the file, and the number of further ones.
fn not_in_force(config: &ConfigReport, colours: Colours) -> String {
    let Some(LastReload { time, outcome: ReloadOutcome::Failed, error, .. }) = &config.last_reload else {
        return String::new();
    };
    let error = error.as_deref().unwrap_or_default();
    let mut problems = error.lines();
    let first = shown(problems.next().unwrap_or_default());
    let more = match problems.count() {
        0 => String::new(),
        more => format!(" (and {more} more: see `config`)"),
    };
    let line = format!("Config File: refused {}: {first}{more}\n", local(*time));
    colours.paint_lines(RED, &line)
}

fn troubled(files: &[TroubledFile], colours: Colours) -> String {
    let line = |TroubledFile { file, since, problem }: &TroubledFile| {
        colours.paint_lines(RED, &format!("Not Readable: {file} since {}: {problem}\n", local(*since)))
    };
    files.iter().map(line).collect()
}

/// The settings of the file that take effect with the next start. The limit has a line of its own.
fn needing_restart(config: &ConfigReport, colours: Colours) -> String {
    let waiting = config.settings.iter().filter(|setting| !setting.live);
    let line = |Setting { key, value, pending, .. }: &Setting| {
        let pending = plain(pending.as_ref()?);
        Some(colours.paint_lines(AMBER, &format!("Needs Restart: {key}: {} → {pending}\n", plain(value))))
    };
    waiting.filter_map(line).collect()
}

/// How often something was refused, and until when; empty if only once.
fn repeated(count: Option<u64>, last: Option<Timestamp>) -> String {
    match (count, last) {
        (Some(count), Some(last)) => format!(" ({count} times, last {})", local(last)),
        (Some(count), None) => format!(" ({count} times)"),
        (None, _) => String::new(),
    }
}

/// What an operator should know about the limit besides its value.
fn further(limit: &LimitReport, current: u32, colours: Colours) -> String {
    // An override is intended. Any other difference is not.
    let style = if limit.refused.is_none() && limit.override_.is_some() { AMBER } else { RED };
    let lines = [
        (style, configured_limit(limit, current)),
        (RED, clamped(limit)),
        (AMBER, waiting(limit)),
        (RED, not_stored(limit, current)),
        (RED, unwritten_history(limit)),
    ];
    lines.into_iter().filter_map(|(style, line)| Some(colours.paint_lines(style, &line?))).collect()
}

/// The problem of the store; empty if there is none.
pub(super) fn store(store: &StoreReport, colours: Colours) -> String {
    let Some(problem) = &store.problem else { return String::new() };
    let since = store.since.map(|since| format!(" (since {})", local(since))).unwrap_or_default();
    colours.paint_lines(RED, &format!("Store: {}{since}\n", shown(problem)))
}

/// The log file of the server, if it has one.
fn log(file: Option<&str>) -> String {
    file.map_or(String::new(), |file| format!("Log: {}\n", shown(file)))
}

fn clamped(limit: &LimitReport) -> Option<String> {
    let set = limit.override_.as_ref()?;
    let most = set.clamped_to?;
    Some(format!(
        "Override: {} (clamped to {most}: this process can hold at most {most} connections)\n",
        set.limit
    ))
}

fn waiting(limit: &LimitReport) -> Option<String> {
    let wanted = limit.waiting?;
    Some(format!(
        "Waiting: {wanted} is applied once at most {wanted} connections are active, unless the limit is set first\n"
    ))
}

fn not_stored(limit: &LimitReport, current: u32) -> Option<String> {
    let why = limit.not_stored.as_ref()?;
    Some(format!("Not Stored: {current} is in effect, but a restart may lose it: {why}\n"))
}

fn unwritten_history(limit: &LimitReport) -> Option<String> {
    let (attempts, them) = match limit.unwritten_records {
        0 => return None,
        1 => ("1 attempt".to_owned(), "it"),
        n => (format!("{n} attempts"), "them"),
    };
    Some(format!(
        "Unwritten History: {attempts} to change the limit could not be written to disk (see the log); a restart \
         loses {them}\n"
    ))
}

/// Why the limit is not the configured one; `None` if it is.
pub(super) fn configured_limit(limit: &LimitReport, current: u32) -> Option<String> {
    let base = limit.base;
    let why = match (&limit.refused, &limit.override_) {
        _ if base == current => return None,
        (Some(refused), _) => format!("refused: {}", refused.reason),
        (None, Some(set)) => {
            format!("override: {} set through {} by {}", set.limit, set.door, shown(&set.actor))
        }
        (None, None) if base > limit.ceiling => {
            format!("this process can hold at most {} connections", limit.ceiling)
        }
        // The two were read one after the other, and a change came in between.
        (None, None) => return None,
    };
    Some(format!("Configured Limit: {base} ({why})\n"))
}

/// The time on the reader's clock.
pub(super) fn local(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// A value without the quotes that JSON puts around text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text).into_owned(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
