//! The live page of a running server in a real browser, a headless Chromium.

mod browser;
mod changes;
mod keyboard;
mod looks;
mod pictures;
mod reading;
mod recording;
mod token;
mod trouble;

use crate::harness::{Server, skipped};
use browser::Browser;

/// The URL of the page.
fn address(server: &Server) -> String {
    format!("http://127.0.0.1:{}/", server.management_port())
}

/// A browser with the page of `server` open and live; `None` if no browser can run here.
#[track_caller]
fn look(server: &Server) -> Option<Browser> {
    let browser = open(server)?;
    browser.wait_for_text("#state", "Live");
    Some(browser)
}

/// The same, as soon as the page is loaded.
#[track_caller]
fn open(server: &Server) -> Option<Browser> {
    if let Some(reason) = browser::missing() {
        skipped(&reason);
        return None;
    }
    let browser = Browser::start();
    browser.open(&address(server));
    Some(browser)
}
