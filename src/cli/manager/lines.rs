//! What `manager` prints.
//!
//! The first lines of `status` and `stats` are read by scripts, letter by letter; further facts are
//! further lines below. Tables are for people; scripts take `--json`.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::management::wire::{
    ChangedSetting, ConfigReport, CurrentLimit, Health, History, HistoryEntry, LastReload, LimitReport,
    Message, Outcome, ReloadOutcome, ReloadReport, Setting, Stats,
};

pub(super) fn status(now: CurrentLimit, limit: Option<LimitReport>) -> String {
    let CurrentLimit { current_limit, active_connections } = now;
    let mut text = format!(
        "Connection Status:\nCurrent Limit: {current_limit}\nActive Connections: {active_connections}\n"
    );
    if let Some(limit) = limit {
        text.push_str(&further(&limit, current_limit));
    }
    text
}

pub(super) fn stats(stats: Stats) -> String {
    let Stats { active_connections, max_connections, usage_percentage, available_slots } = stats;
    format!(
        "Connection Statistics:\nActive Connections: {active_connections}\n\
         Max Connections: {max_connections}\nUsage Percentage: {usage_percentage:.1}%\n\
         Available Slots: {available_slots}\n"
    )
}

pub(super) fn health(health: Health) -> String {
    let Health { status, service } = health;
    format!("Server is {status}\nService: {service}\n")
}

pub(super) fn message(Message { message }: Message) -> String {
    message + "\n"
}

pub(super) fn history(History { changes }: History) -> String {
    let mut table = table(["Time", "Door", "Who", "Limit", "Active", "Outcome"]);
    for HistoryEntry { time, door, actor, old, new, active, outcome, reason, .. } in changes {
        let old = old.map_or("-".to_owned(), |old| old.to_string());
        let new = new.map_or("-".to_owned(), |new| new.to_string());
        let outcome = match (outcome, reason) {
            (Outcome::Applied, _) => "applied".to_owned(),
            (Outcome::Refused, None) => "refused".to_owned(),
            (Outcome::Refused, Some(reason)) => format!("refused: {reason}"),
        };
        table.add_row([
            Cell::new(local(time)),
            Cell::new(door),
            Cell::new(actor),
            Cell::new(format!("{old} → {new}")),
            Cell::new(active).set_alignment(CellAlignment::Right),
            Cell::new(outcome),
        ]);
    }
    text(&table)
}

pub(super) fn config(report: ConfigReport) -> String {
    let ConfigReport { file, limit, settings, last_reload } = report;
    let mut table = table(["Setting", "Value", "Default", "Source", "Edits", "Pending"]);
    for Setting { key, value, default, source, live, pending } in settings {
        table.add_row([
            key,
            plain(&value),
            plain(&default),
            source.as_str().to_owned(),
            if live { "live" } else { "restart" }.to_owned(),
            pending.map_or("-".to_owned(), |value| plain(&value)),
        ]);
    }
    let file = file.unwrap_or_else(|| "none".to_owned());
    let reload = match last_reload {
        None => "never".to_owned(),
        Some(LastReload { time, door, outcome: ReloadOutcome::Ok, .. }) => {
            format!("{} through {door}: ok", local(time))
        }
        Some(LastReload { time, door, outcome: ReloadOutcome::Failed, error }) => {
            format!("{} through {door}: failed: {}", local(time), error.unwrap_or_default())
        }
    };
    let further = further(&limit, limit.current);
    format!("{}\nConfig File: {file}\nLast Reload: {reload}\n{further}", text(&table))
}

pub(super) fn reload(report: ReloadReport) -> String {
    let ReloadReport { changed, restart, refused, message, .. } = report;
    let mut text = message + "\n";
    let mut list = |title: &str, settings: Vec<ChangedSetting>| {
        for ChangedSetting { key, old, new } in settings {
            push_line(&mut text, format_args!("{title}: {key}: {} → {}", plain(&old), plain(&new)));
        }
    };
    list("Changed", changed);
    list("Needs Restart", restart);
    for setting in refused {
        let (key, value, reason) = (setting.key, plain(&setting.value), setting.reason);
        push_line(&mut text, format_args!("Refused: {key} = {value}: {reason}"));
    }
    text
}

/// What an operator should know of the limit beside its value.
fn further(limit: &LimitReport, current: u32) -> String {
    configured_limit(limit, current).into_iter().chain(unwritten_history(limit)).collect()
}

fn unwritten_history(limit: &LimitReport) -> Option<String> {
    let (attempts, them) = match limit.unwritten_records {
        0 => return None,
        1 => ("1 attempt".to_owned(), "it"),
        n => (format!("{n} attempts"), "them"),
    };
    Some(format!(
        "Unwritten History: {attempts} to change the limit could not be written to the disk (the log says why); \
         a restart forgets {them}\n"
    ))
}

/// Why the limit is not the configured one; nothing if it is.
pub(super) fn configured_limit(limit: &LimitReport, current: u32) -> Option<String> {
    let base = limit.base;
    let why = match (&limit.refused, &limit.override_) {
        _ if base == current => return None,
        (Some(refused), _) => format!("refused: {}", refused.reason),
        (None, Some(set)) => {
            format!("override: {} set through {} by {}", set.limit, set.door, set.actor)
        }
        (None, None) if base > limit.ceiling => {
            format!("this process can hold at most {} connections", limit.ceiling)
        }
        // The two were read one after the other, and a change came in between.
        (None, None) => return None,
    };
    Some(format!("Configured Limit: {base} ({why})\n"))
}

/// A table without lines and colours, which grep can read as well.
pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

pub(super) fn text(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn push_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{line}").unwrap_or_default();
}

/// The time on the reader's clock.
pub(super) fn local(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// A value without the quotes that JSON puts around text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
