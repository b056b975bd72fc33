//! A server that expects a token.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::browser::{ENTER, ESCAPE};
use super::open;
use crate::harness::{Setup, wait_until};

#[test]
fn the_page_asks_for_the_token_and_keeps_it_for_the_tab() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, "correct-horse\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let server = Setup::new().limit(1000).config(format!("[management]\ntoken_file = {file:?}\n")).start();
    let Some(browser) = open(&server) else { return };
    let is_asking = || browser.run("return document.querySelector('#ask').open") == true;
    wait_until("the page asks", is_asking);
    assert_eq!(browser.text("#limit"), "–", "the page itself holds no data");

    assert!(!server.log().contains("no token"), "to open the page is no intrusion: {}", server.log());

    // The page does not continue without a token either.
    for _ in 0..2 {
        browser.press(ESCAPE);
    }
    wait_until("the page still asks", is_asking);
    browser.fill("#token", "battery\u{200b}staple");
    browser.press(ENTER);
    let objection = browser.run("return document.querySelector('#token').validationMessage");
    assert!(objection.as_str().unwrap().starts_with("A token is one word"), "{objection}");

    browser.fill("#token", "battery-staple");
    browser.press(ENTER);
    browser.wait_for_text("#ask-why", "wrong token: it is not the one in the server's token file");
    browser.fill("#token", "correct-horse");
    browser.press(ENTER);
    browser.wait_for_text("#state", "Live");
    assert!(!is_asking());
    browser.wait_for_text("#limit", "1000");
    browser.fill("#wanted", "1200");
    browser.press(ENTER);
    browser.wait_for_text("#outcome.done", "Connection limit updated to 1200");

    browser.reload();
    browser.wait_for_text("#state", "Live");
    assert_eq!(
        browser.run("return [localStorage.length, sessionStorage.length, document.cookie, location.search]"),
        serde_json::json!([0, 1, "", ""])
    );
    browser.click("#forget");
    wait_until("the page asks again", is_asking);
    assert_eq!(browser.run("return sessionStorage.length"), 0);
}

#[test]
fn a_token_file_that_cannot_be_used_is_named_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, "correct-horse\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let server = Setup::new().config(format!("[management]\ntoken_file = {file:?}\n")).start();
    let Some(browser) = open(&server) else { return };
    wait_until("the page asks", || browser.run("return document.querySelector('#ask').open") == true);
    browser.fill("#token", "correct-horse");
    browser.press(ENTER);
    browser.wait_for_text("#state", "Live");
    assert_eq!(browser.text("#words li.bad"), "");
    fs::write(&file, "two words\n").unwrap();
    wait_until("it names the file and the reason", || {
        let said = browser.text("#words li.bad");
        said.starts_with(&format!("{} has been unusable since ", file.display()))
            && said.ends_with(" What was read before stays in effect.")
    });
    fs::write(&file, "correct-horse\n").unwrap();
    browser.wait_for_text("#words li.bad", "");
}
