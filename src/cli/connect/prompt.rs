//! Prompts for passwords on the terminal, and handles Ctrl-C meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;

use super::CommandError;

/// The status by which a shell reports a program that Ctrl-C ended.
const STATUS: i32 = 130;

/// Decides what Ctrl-C does: it ends the program, except while the user types a password. Then
/// echo is off, and would stay off.
pub(super) struct Interrupts {
    deadly: Arc<AtomicBool>,
}

impl Interrupts {
    /// Replaces the system's handling for as long as the program runs.
    pub(super) fn install() -> io::Result<Self> {
        let deadly = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(SIGINT, STATUS, Arc::clone(&deadly))?;
        Ok(Self { deadly })
    }

    /// Prompts for a password on the terminal, without echo.
    pub(super) fn ask_password(&self, prompt: &str) -> io::Result<String> {
        self.deadly.store(false, Ordering::SeqCst);
        let password = rpassword::prompt_password(prompt);
        self.deadly.store(true, Ordering::SeqCst);
        password
    }

    /// Prompts for a new password, twice.
    pub(super) fn ask_new_password(&self, username: &str) -> Result<String, CommandError> {
        let ask = |prompt: String| self.ask_password(&prompt).map_err(CommandError::Prompt);
        let password = ask(format!("New password for {username}: "))?;
        if ask(format!("Repeat the new password for {username}: "))? == password {
            Ok(password)
        } else {
            Err(CommandError::DifferentPasswords)
        }
    }
}
