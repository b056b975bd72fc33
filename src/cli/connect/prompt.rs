//! Passwords asked for on the terminal, and Ctrl-C meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;

use super::CommandError;

/// What a shell says of a program that Ctrl-C ended.
const STATUS: i32 = 130;

/// Decides what Ctrl-C does: it ends the program, except while a password is typed. Then the
/// terminal shows nothing, and would stay so.
pub(super) struct Interrupts {
    deadly: Arc<AtomicBool>,
}

impl Interrupts {
    /// Takes over from the system, for as long as the program runs.
    pub(super) fn install() -> io::Result<Self> {
        let deadly = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(SIGINT, STATUS, Arc::clone(&deadly))?;
        Ok(Self { deadly })
    }

    /// Asks for a password on the terminal, which does not show it.
    pub(super) fn ask_password(&self, prompt: &str) -> io::Result<String> {
        self.deadly.store(false, Ordering::SeqCst);
        let password = rpassword::prompt_password(prompt);
        self.deadly.store(true, Ordering::SeqCst);
        password
    }

    /// Asks for a new password, twice.
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
