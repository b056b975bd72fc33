//! Draws the state.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};

use super::look::{Look, rates};
use super::plot::{self, ACTIVE, LIMIT};
use super::state::{Direction, Prompt, State};
use crate::cli::manager::lines::WARN_PERCENT;
use crate::management::wire::{HistoryEntry, Outcome};

/// With fewer lines than this only the numbers are shown.
const LEAST_LINES_FOR_LISTS: u16 = 16;

/// The width of the list of users and addresses.
const LIST_WIDTH: u16 = 28;

pub(super) fn draw(state: &State, place: &str, frame: &mut Frame<'_>) {
    let lists = if frame.area().height < LEAST_LINES_FOR_LISTS { 0 } else { frame.area().height * 2 / 5 };
    let [numbers, course, lists, bottom] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Min(0),
        Constraint::Length(lists),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(numbers_of(state, place), numbers);
    plot::draw(&state.look.samples, frame, course);
    draw_lists(&state.look, frame, lists);
    frame.render_widget(bottom_of(state), bottom);
}

/// The current numbers; anything unusual comes last, highlighted.
fn numbers_of<'a>(state: &'a State, place: &str) -> Paragraph<'a> {
    let look = &state.look;
    let head = Line::from(format!("shibudb {place}")).bold();
    let Some(now) = look.samples.last() else {
        return Paragraph::new(vec![head, Line::from("no samples yet")]);
    };
    let usage = Style::from(if now.active >= now.limit {
        Color::Red
    } else if now.usage() >= look.warn_percent.unwrap_or(WARN_PERCENT) {
        Color::Yellow
    } else {
        Color::Green
    });
    let rates = rates(&look.samples);
    let rejected = if rates.rejected > 0.0 { Style::from(Color::Red) } else { Style::new() };
    let numbers = Line::from(vec![
        Span::raw("active ").fg(ACTIVE),
        Span::styled(format!("{} ({:.1} %)", now.active, now.usage()), usage),
        Span::raw("  limit ").fg(LIMIT),
        Span::raw(now.limit.to_string()),
        Span::raw("  free ").dim(),
        Span::raw(now.limit.saturating_sub(now.active).to_string()),
        Span::raw("  accepted ").dim(),
        Span::raw(format!("{:.1}/s", rates.accepted)),
        Span::raw("  rejected ").dim(),
        Span::styled(format!("{:.1}/s", rates.rejected), rejected),
    ]);
    let remark = match (&state.problem, &look.drift) {
        (Some(problem), _) => Line::from(format!("{problem}; as of {}", clock(now.time))).red().bold(),
        (None, Some(drift)) => Line::from(drift.as_str()).yellow(),
        (None, None) => Line::default(),
    };
    Paragraph::new(vec![head, numbers, remark])
}

fn draw_lists(look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let [changes, busiest] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(LIST_WIDTH)]).areas(area);
    let block = |title| Block::new().borders(Borders::TOP).border_style(Style::new().dim()).title(title);
    let entries: Vec<_> = look.changes.iter().map(change).collect();
    frame.render_widget(Paragraph::new(entries).block(block("limit changes ")), changes);
    let half = usize::from(area.height.saturating_sub(1) / 2);
    let width = usize::from(busiest.width);
    let of = |totals: &[(String, u64)]| -> Vec<Line<'static>> {
        totals.iter().take(half).map(|(name, count)| total(name, *count, width)).collect()
    };
    let [users, peers] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(busiest);
    frame.render_widget(Paragraph::new(of(&look.users)).block(block("users ")), users);
    frame.render_widget(Paragraph::new(of(&look.peers)).block(block("addresses ")), peers);
}

fn change(entry: &HistoryEntry) -> Line<'static> {
    let HistoryEntry { time, door, old, new, outcome, reason, .. } = entry;
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let (old, new) = (number(old.map(i64::from)), number(*new));
    let outcome = match (outcome, reason) {
        (Outcome::Applied, _) => Span::raw("applied").green(),
        (Outcome::Refused, reason) => {
            let reason = reason.as_deref().unwrap_or("refused");
            Span::raw(format!("refused: {reason}")).red()
        }
    };
    let text = format!("{} {door:<8} {:>13} ", clock(*time), format!("{old} → {new}"));
    Line::from(vec![Span::raw(text), outcome])
}

/// A name and a number, at the two ends of a line.
fn total(name: &str, count: u64, width: usize) -> Line<'static> {
    let count = count.to_string();
    let room = width.saturating_sub(count.len() + 3);
    let shown: String = name.chars().take(room).collect();
    Line::from(format!(" {shown:<room$} {count} "))
}

fn bottom_of(state: &State) -> Paragraph<'static> {
    let line = match &state.prompt {
        Prompt::Keys => Line::from(" + raise   - lower   q quit").dim(),
        &Prompt::Sure(direction) => {
            Line::from(format!(" {}? y / n", question(direction, &state.look))).style(Modifier::BOLD)
        }
        &Prompt::Asking(direction) => {
            let verb = match direction {
                Direction::Up => "raise",
                Direction::Down => "lower",
            };
            Line::from(format!(" asking the server to {verb} the limit by {} ...", step(&state.look)))
        }
        Prompt::Done(answer) => Line::from(format!(" {answer}")).green(),
        Prompt::Refused(reason) => Line::from(format!(" {reason}")).red(),
    };
    Paragraph::new(line).alignment(Alignment::Left).wrap(Wrap { trim: false })
}

/// The text of the confirmation: the old and the new limit. If the limit changes meanwhile, so does the text.
fn question(direction: Direction, look: &Look) -> String {
    let verb = match direction {
        Direction::Up => "Raise",
        Direction::Down => "Lower",
    };
    let numbers = look.samples.last().map(|now| i64::from(now.limit)).zip(look.step);
    match numbers.and_then(|(limit, step)| Some((limit, i64::try_from(step).ok()?))) {
        Some((limit, step)) => {
            let wanted = match direction {
                Direction::Up => limit.saturating_add(step),
                Direction::Down => limit.saturating_sub(step),
            };
            format!("{verb} the limit from {limit} to {wanted}")
        }
        None => format!("{verb} the limit by {}", step(look)),
    }
}

fn step(look: &Look) -> String {
    look.step.map_or_else(|| "the configured step".to_owned(), |step| step.to_string())
}

/// The time on the reader's clock.
fn clock(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::look::Sample;
    use super::*;

    /// The content of a terminal of this size, line by line.
    fn seen(state: &State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(state, "on port 9090", frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let lines = buffer.content().chunks(usize::from(width));
        lines
            .map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().into())
            .collect()
    }

    fn state() -> State {
        let sample = |second: i64, active| Sample {
            time: Timestamp::from_second(1_700_000_000 + second).unwrap(),
            active,
            limit: 200,
            accepted: 30 * u64::from(active),
            rejected: 0,
        };
        let refused = HistoryEntry {
            time: Timestamp::UNIX_EPOCH,
            revision: 3,
            door: "api".into(),
            actor: "127.0.0.1:1".into(),
            old: Some(200),
            new: Some(20),
            active: 150,
            outcome: Outcome::Refused,
            reason: Some("150 connections are active".into()),
            count: None,
            last_time: None,
        };
        let look = Look {
            samples: (0..=150_u32).map(|second| sample(second.into(), second)).collect(),
            changes: vec![refused],
            users: vec![("admin".into(), 140), ("not logged in".into(), 10)],
            peers: vec![("2001:db8:1234:5678:9abc:def0:1234:5678".into(), 150)],
            drift: Some("Configured Limit: 100 (override: 200 set through api by 127.0.0.1:1)".into()),
            step: Some(50),
            warn_percent: Some(70.0),
        };
        State { look, ..State::default() }
    }

    #[test]
    fn all_there_is_to_see_fits_on_a_small_terminal() {
        let lines = seen(&state(), 80, 24);
        assert_eq!(lines[0], "shibudb on port 9090");
        assert_eq!(lines[1], "active 150 (75.0 %)  limit 200  free 50  accepted 30.0/s  rejected 0.0/s");
        assert_eq!(lines[2], "Configured Limit: 100 (override: 200 set through api by 127.0.0.1:1)");
        let all = lines.join("\n");
        for text in [
            "-3 min",
            "now",
            "240",
            "api           200 → 20 refused: 150 connect",
            "admin                  140",
            "2001:db8:1234:5678:9ab",
            " + raise   - lower   q quit",
        ] {
            assert!(all.contains(text), "no {text:?} in\n{all}");
        }
        assert!(
            all.chars().filter(|&symbol| ('\u{2801}'..='\u{28ff}').contains(&symbol)).count() > 50,
            "{all}"
        );
    }

    #[test]
    fn the_numbers_stay_however_small_the_terminal_is() {
        for (width, height) in [(80, 4), (30, 10), (200, 60), (1, 1), (10, 3)] {
            let lines = seen(&state(), width, height);
            assert_eq!(lines.len(), usize::from(height));
            assert!("shibudb on port 9090".starts_with(&lines[0]), "{lines:?}");
        }
        assert!(seen(&state(), 80, 4)[1].starts_with("active 150"));
    }

    #[test]
    fn a_server_that_is_gone_is_not_shown_as_if_it_were_there() {
        let mut state = state();
        state.see(Err("Failed to connect to management server: connection refused".into()));
        let lines = seen(&state, 80, 24);
        assert!(lines[2].starts_with("Failed to connect to management server: connection refused; as of "));
    }

    #[test]
    fn the_bottom_line_asks_and_answers() {
        let bottom = |prompt| seen(&State { prompt, ..state() }, 80, 24).pop().unwrap();
        assert_eq!(bottom(Prompt::Sure(Direction::Up)), " Raise the limit from 200 to 250? y / n");
        assert_eq!(
            bottom(Prompt::Asking(Direction::Down)),
            " asking the server to lower the limit by 50 ..."
        );
        assert_eq!(bottom(Prompt::Refused("cannot".into())), " cannot");
    }

    #[test]
    fn a_server_that_was_just_started_has_nothing_to_show_yet() {
        let lines = seen(&State::default(), 80, 24);
        assert_eq!(lines[1], "no samples yet");
    }
}
