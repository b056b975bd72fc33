//! Changes of the limit: the page shows those made elsewhere, and can make them.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::look;
use crate::harness::{Setup, Signal, wait_until, within};

/// The time within which a change must be shown.
const SOON: Duration = Duration::from_secs(2);

#[test]
fn a_change_made_elsewhere_is_shown() {
    let server = Setup::new().limit(1000).start();
    let Some(browser) = look(&server) else { return };
    let newest = "#changes tr:first-child";
    let begun = Instant::now();
    server.signal(Signal::USR1);
    wait_until("the newest row is of the signal", || browser.text(&format!("{newest} .door")) == "signal");
    within("the change is shown", begun.elapsed(), SOON);
    assert_eq!(browser.text("#state"), "Live", "it was told, and did not have to look");
    let entry = &server.get("/history?limit=1").json()["changes"][0];
    let time = browser.run(&format!("return document.querySelector('{newest} time').dateTime"));
    assert_eq!(time, entry["time"]);
    assert_eq!(browser.text(&format!("{newest} td:nth-child(3)")), "1000 → 1100");
    assert_eq!(browser.text(&format!("{newest} td:nth-child(5)")), entry["actor"].as_str().unwrap());

    wait_until("the plot has a mark for it, with its door", || {
        let doors =
            browser.run("return [...document.querySelectorAll('#plot .mark')].map((m) => m.dataset.door)");
        doors == serde_json::json!(["startup", "signal"])
    });
    browser.wait_for_text("#limit", "1100");
    assert_eq!(browser.text("#ceiling").replace(',', ""), ceiling(&server.get("/config").json()));
}

fn ceiling(config: &Value) -> String {
    config["limit"]["ceiling"].to_string()
}

#[test]
fn the_limit_can_be_moved_from_here() {
    let server = Setup::new().limit(1000).start();
    let Some(browser) = look(&server) else { return };
    browser.fill("#wanted", "2000");
    browser.click("#set button");
    browser.wait_for_text("#outcome.done", "Connection limit updated to 2000");
    assert_eq!(server.limit(), 2000);

    browser.fill("#amount", "50");
    browser.click("#step button[value=increase]");
    wait_until("it is raised", || server.limit() == 2050);
    wait_until("the form is ready again", || {
        browser.run("return document.querySelector('#amount').value") == ""
    });
    browser.click("#step button[value=decrease]");
    wait_until("it is lowered by the step", || server.limit() == 1950);
    wait_until("the form is ready again", || {
        browser.run("return !document.querySelector('#reset button').disabled") == true
    });
    browser.click("#reset button");
    wait_until("it is what was configured", || server.limit() == 1000);
    // The history shows a change once it is on the disk.
    browser.wait_for_text("#changes tr:first-child td:nth-child(3)", "1950 → 1000");
    let history = server.get("/history?limit=4").json();
    let doors = history["changes"].as_array().unwrap().iter().map(|entry| &entry["door"]);
    assert!(doors.clone().all(|door| door == "http"), "{history}");
}

#[test]
fn a_refusal_is_shown_in_the_words_of_the_server() {
    let server = Setup::new().limit(10).start();
    let _held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    server.wait_until_active(3);
    let Some(browser) = look(&server) else { return };
    for (typed, body) in [
        ("2", r#"{"limit":2}"#),
        ("0", r#"{"limit":0}"#),
        ("-1", r#"{"limit":-1}"#),
        ("1.5", r#"{"limit":1.5}"#),
        ("99999999", r#"{"limit":99999999}"#),
        ("many", r#"{"limit":"many"}"#),
        ("", r#"{"limit":""}"#),
    ] {
        let words = server.put("/limit", body).error();
        browser.fill("#wanted", typed);
        browser.click("#set button");
        browser.wait_for_text("#outcome.refused", &words);
    }
    assert_eq!(server.limit(), 10);
    let history = server.get("/history").json();
    let reason = history["changes"][0]["reason"].as_str().unwrap();
    // The number of refusals follows it.
    wait_until("the reason is shown", || browser.text("#changes tr.refused .reason").starts_with(reason));
}

#[test]
fn file_and_runtime_are_compared_in_plain_words() {
    let server = Setup::new().config("max_connections = 10\n").start();
    let _held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    server.wait_until_active(3);
    let Some(browser) = look(&server) else { return };
    assert_eq!(browser.text("#words li.good"), "The limit is 10, what the config file says.");
    server.set_limit(20);
    let says = |words: &str| {
        wait_until(&format!("it says {words}"), || browser.text("#words").contains(words));
    };
    says("The limit of 20 was set through http by 127.0.0.1:");
    says("It stands in for 10, what the config file says. Reset goes back to that.");
    server.write_config("max_connections = 2\n[storage]\ndurability = \"1s\"\n");
    says(
        "The config file asks for a limit of 2. That was refused: 3 connections are active. \
         It is applied once at most 2 connections are active, unless the limit is set first.",
    );
    says("storage.durability is \"always\"; the config file says \"1s\", which waits for a restart.");
    server.write_config("max_connections = \n");
    says("The config file could not be used");
    server.write_config("max_connections = 30\n");
    says("The limit is 30, what the config file says.");
}
