//! The state of the view, and the effect of each key on it. Nothing here sends requests or draws.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::look::Look;

/// What the view shows.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The last successful query.
    pub(super) look: Look,
    /// Why there has been none since.
    pub(super) problem: Option<String>,
    /// The state of the bottom line.
    pub(super) prompt: Prompt,
}

/// The state of the bottom line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Prompt {
    /// Lists the keys.
    #[default]
    Keys,
    /// Asks for confirmation.
    Sure(Direction),
    /// The request has been sent.
    Asking(Direction),
    /// The server's answer.
    Done(String),
    /// The server's reason for refusing.
    Refused(String),
}

/// The direction of a change of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Leave,
    Change(Direction),
}

impl State {
    /// Takes in the result of a query, or why it failed.
    pub(super) fn see(&mut self, look: Result<Look, String>) {
        match look {
            Ok(look) => (self.look, self.problem) = (look, None),
            Err(problem) => self.problem = Some(problem),
        }
    }

    /// Takes in the result of a change.
    pub(super) fn hear(&mut self, answer: Result<String, String>) {
        self.prompt = answer.map_or_else(Prompt::Refused, Prompt::Done);
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Some(Action::Leave);
        }
        match (&self.prompt, key.code) {
            (&Prompt::Sure(direction), KeyCode::Char('y' | 'Y') | KeyCode::Enter) => {
                self.prompt = Prompt::Asking(direction);
                return Some(Action::Change(direction));
            }
            // Any other key cancels.
            (Prompt::Sure(_), _) => self.prompt = Prompt::Keys,
            (_, KeyCode::Char('q' | 'Q') | KeyCode::Esc) => return Some(Action::Leave),
            // One change at a time.
            (Prompt::Asking(_), _) => {}
            (_, KeyCode::Char('+' | '=')) => self.prompt = Prompt::Sure(Direction::Up),
            (_, KeyCode::Char('-' | '_')) => self.prompt = Prompt::Sure(Direction::Down),
            _ => self.prompt = Prompt::Keys,
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(state: &mut State, code: KeyCode) -> Option<Action> {
        state.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn a_change_wants_a_confirmation() {
        let mut state = State::default();
        assert_eq!(press(&mut state, KeyCode::Char('+')), None);
        assert_eq!(state.prompt, Prompt::Sure(Direction::Up));
        assert_eq!(press(&mut state, KeyCode::Char('y')), Some(Action::Change(Direction::Up)));
        assert_eq!(state.prompt, Prompt::Asking(Direction::Up));
        assert_eq!(press(&mut state, KeyCode::Char('-')), None, "one at a time");
        state.hear(Ok("Connection limit increased by 100 to 1100".into()));
        assert_eq!(press(&mut state, KeyCode::Char('-')), None);
        assert_eq!(press(&mut state, KeyCode::Enter), Some(Action::Change(Direction::Down)));
    }

    #[test]
    fn anything_but_a_yes_is_a_no() {
        for no in [KeyCode::Char('n'), KeyCode::Char('+'), KeyCode::Char('q'), KeyCode::Esc, KeyCode::Left] {
            let mut state = State { prompt: Prompt::Sure(Direction::Down), ..State::default() };
            assert_eq!(press(&mut state, no), None);
            assert_eq!(state.prompt, Prompt::Keys);
        }
    }

    #[test]
    fn there_are_three_ways_out() {
        for prompt in [Prompt::Keys, Prompt::Asking(Direction::Up), Prompt::Refused("no".into())] {
            for way in [KeyCode::Char('q'), KeyCode::Esc] {
                let mut state = State { prompt: prompt.clone(), ..State::default() };
                assert_eq!(press(&mut state, way), Some(Action::Leave));
            }
        }
        let mut state = State { prompt: Prompt::Sure(Direction::Up), ..State::default() };
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(state.press(key), Some(Action::Leave));
    }

    #[test]
    fn what_was_seen_stays_while_nothing_is_seen() {
        let mut state = State::default();
        state.see(Ok(Look { step: Some(7), ..Look::default() }));
        state.see(Err("connection refused".into()));
        assert_eq!((state.look.step, state.problem.as_deref()), (Some(7), Some("connection refused")));
        state.see(Ok(Look::default()));
        assert_eq!(state.problem, None);
    }
}
