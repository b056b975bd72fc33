//! Replaces the library's module of this name, whose waker is a descriptor.

use std::io;

use loom::sync::{Condvar, Mutex};

/// Wakes a thread that waits, or that will wait.
pub(super) struct Waker {
    /// Whether a wake-up is pending, and the number of wake-ups.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { state: Mutex::new((false, 0)), changed: Condvar::new() })
    }

    pub(super) fn wake(&self) {
        let mut state = self.state.lock().unwrap();
        *state = (true, state.1 + 1);
        self.changed.notify_one();
    }

    pub(super) fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        while !state.0 {
            state = self.changed.wait(state).unwrap();
        }
        state.0 = false;
    }

    pub(super) fn wakings(&self) -> usize {
        self.state.lock().unwrap().1
    }
}
