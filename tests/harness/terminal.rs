//! A user's terminal: a shell in tmux, key presses, and the contents of the screen.

use std::process::{Command, Output};

use tempfile::TempDir;

use super::{skipped, wait_until};

/// A terminal with a shell, on a separate tmux server.
pub(crate) struct Terminal {
    home: TempDir,
}

impl Terminal {
    /// `None`, with a message, if tmux is missing.
    pub(crate) fn open(width: u16, height: u16) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skipped("tmux is not installed");
            return None;
        }
        let terminal = Self { home: tempfile::tempdir().unwrap() };
        let (width, height) = (width.to_string(), height.to_string());
        let shell = "PS1='ready> ' exec sh";
        terminal.tmux(&["new-session", "-d", "-x", &width, "-y", &height, shell]);
        terminal.wait_for("ready>");
        Some(terminal)
    }

    pub(crate) fn tmux(&self, arguments: &[&str]) -> Output {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.home.path().join("socket")).args(["-f", "/dev/null"]).args(arguments);
        let output = tmux.env("LANG", "C.UTF-8").env_remove("TMUX").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    }

    pub(crate) fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// The same with the codes for colours.
    pub(crate) fn coloured_screen(&self) -> Vec<u8> {
        self.tmux(&["capture-pane", "-p", "-e"]).stdout
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        let mut screen = String::new();
        let waiting = std::panic::AssertUnwindSafe(|| {
            wait_until(&format!("{text:?} is on the screen"), || {
                screen = self.screen();
                screen.contains(text)
            });
        });
        if let Err(panic) = std::panic::catch_unwind(waiting) {
            eprintln!("{}", self.screen());
            std::panic::resume_unwind(panic);
        }
    }

    pub(crate) fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a command.
    pub(crate) fn enter(&self, command: &str) {
        self.press(&[command, "Enter"]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
