//! Use of the page without a mouse.

use super::browser::{ENTER, TAB};
use super::look;
use crate::harness::Setup;

/// The focused element: its id, value or text, and whether the focus is visible.
const FOCUSED: &str = "
    const it = document.activeElement;
    const shown = it.type === 'radio' ? it.nextElementSibling : it;
    const style = getComputedStyle(shown);
    const name = it.id || it.value || it.textContent.trim();
    return [name, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];";

#[test]
fn everything_can_be_reached_and_done_with_the_keyboard() {
    let server = Setup::new().limit(1000).start();
    let Some(browser) = look(&server) else { return };
    let mut stops = Vec::new();
    for _ in 0..7 {
        browser.press(TAB);
        let focused = browser.run(FOCUSED);
        assert_eq!(focused[1], true, "{} has the focus and does not show it", focused[0]);
        stops.push(focused[0].as_str().unwrap().to_owned());
    }
    assert_eq!(stops, ["3600", "wanted", "Set", "amount", "increase", "decrease", "Reset"]);

    browser.run("document.querySelector('#span input:checked').focus()");
    browser.press(TAB);
    browser.press(&format!("1500{ENTER}"));
    browser.wait_for_text("#outcome.done", "Connection limit updated to 1500");
    assert_eq!(server.limit(), 1500);
    let still =
        "return document.activeElement.id === 'wanted' && !document.querySelector('#set button').disabled";
    crate::harness::wait_until("the focus is where it was", || browser.run(still) == true);
    let live = browser.run("return document.querySelector('#outcome').getAttribute('aria-live')");
    assert_eq!(live, "polite", "what came of it is said to whoever cannot see it");
    let unlabelled =
        "return [...document.querySelectorAll('input')].filter((input) => !input.labels.length).length";
    assert_eq!(browser.run(unlabelled), 0);
}
