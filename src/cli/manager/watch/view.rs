//! The view on a terminal: draws the state, takes keys, and restores the terminal.

use std::io;
use std::pin::pin;

use crossterm::event::{Event, EventStream};
use futures_util::future::OptionFuture;
use futures_util::stream::{Stream, StreamExt as _};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook_tokio::Signals;

use super::super::api::{Api, ApiError};
use super::draw;
use super::look::Look;
use super::state::{Action, Direction, State};
use crate::management::wire::Message;

/// The terminal while the view uses it. Restored however the view ends, also by a panic.
struct Screen(ratatui::DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows the server until the user quits.
///
/// # Errors
/// The terminal's error.
pub(super) async fn run(
    api: &Api,
    name: &str,
    first: Option<Look>,
    looks: impl Stream<Item = Result<Look, ApiError>> + Unpin,
) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGHUP])?;
    let mut screen = Screen(ratatui::try_init()?);
    let mut keys = EventStream::new();
    let mut looks = looks;
    let mut change = pin!(OptionFuture::from(None));
    let mut state = State { look: first.unwrap_or_default(), ..State::default() };
    loop {
        screen.0.draw(|frame| draw::draw(&state, name, frame))?;
        tokio::select! {
            event = keys.next() => match event.transpose()? {
                None => return Ok(()),
                Some(Event::Key(key)) => match state.press(key) {
                    Some(Action::Leave) => return Ok(()),
                    Some(Action::Change(direction)) => {
                        change.set(Some(ask(api, direction, state.look.step)).into());
                    },
                    None => {}
                },
                // A resize, at least: redraw.
                Some(_) => {}
            },
            Some(look) = looks.next() => state.see(look.map_err(|error| error.to_string())),
            Some(answer) = change.as_mut() => {
                state.hear(answer);
                change.set(None.into());
            }
            _ = signals.next() => return Ok(()),
        }
    }
}

/// Sends a change by the step that was shown, and returns the server's answer.
async fn ask(api: &Api, direction: Direction, step: Option<u64>) -> Result<String, String> {
    let path = match direction {
        Direction::Up => "/limit/increase",
        Direction::Down => "/limit/decrease",
    };
    match api.post::<Message>(path, step.map(|step| format!("{{\"amount\":{step}}}"))).await {
        Ok(answer) => Ok(answer.value.message),
        Err(error) => Err(error.to_string()),
    }
}
