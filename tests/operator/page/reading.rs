//! The page is readable: nothing is split, struck through, permanently alarming or invented.

use std::fs;

use serde_json::{Value, json};

use super::look;
use crate::harness::{Server, Setup, wait_until};

/// The time of the newest sample; `None` before the first.
fn newest(server: &Server) -> Option<i64> {
    server.get("/series").json()["time"].as_array().unwrap().last().and_then(Value::as_i64)
}

/// Waits until so many seconds have passed on the server's plot.
fn let_pass(server: &Server, seconds: i64) {
    let since = newest(server).unwrap();
    wait_until("time passes", || newest(server).unwrap() >= since + seconds);
}

#[test]
fn who_and_why_break_between_words_and_never_in_a_number() {
    let server = Setup::new().limit(10).start();
    let _held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    server.wait_until_active(3);
    server.put("/limit", r#"{"limit":2}"#);
    server.set_limit(20);
    let Some(browser) = look(&server) else { return };
    for width in [320, 390, 768, 870, 1000, 1280] {
        browser.resize(width, 900, 1);
        browser.settle();
        let torn = browser.run(
            "const torn = [];
            for (const cell of document.querySelectorAll('#changes td')) {
                const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
                for (let node = walker.nextNode(); node; node = walker.nextNode())
                    for (const { 0: word, index } of node.data.matchAll(/[^ /]+/g)) {
                        const range = document.createRange();
                        range.setStart(node, index);
                        range.setEnd(node, index + word.length);
                        if (new Set([...range.getClientRects()].map(({ top }) => top)).size > 1) torn.push(word);
                    }
            }
            return torn",
        );
        assert_eq!(torn, json!([]), "on a screen of {width}");
    }
    let actor = &server.get("/history?limit=1").json()["changes"][0]["actor"];
    assert_eq!(browser.text("#changes tr:first-child td:nth-child(5)"), actor.as_str().unwrap());
}

#[test]
fn a_swatch_stays_with_its_words() {
    let server = Setup::new().start();
    let Some(browser) = look(&server) else { return };
    // As after a restart.
    browser.run("document.querySelector('#gap-key').style.setProperty('display', 'flex', 'important')");
    for width in [320, 360, 390, 430, 768, 1280] {
        browser.resize(width, 900, 1);
        browser.settle();
        let parted = browser.run(
            "return [...document.querySelectorAll('.swatch')].filter((swatch) => {
                const range = document.createRange();
                range.selectNode(swatch.nextSibling);
                const [mark, words] = [swatch.getBoundingClientRect(), range.getClientRects()[0]];
                return words.left < mark.right || words.left - mark.right > 12
                    || mark.bottom < words.top || mark.top > words.bottom;
            }).map((swatch) => swatch.className)",
        );
        assert_eq!(parted, json!([]), "on a screen of {width}");
    }
}

#[test]
fn rejections_are_red_while_they_happen() {
    let server = Setup::new().limit(1).start();
    let _held = server.connect();
    server.wait_until_active(1);
    let Some(browser) = look(&server) else { return };
    let is_red =
        || browser.run("return document.querySelector('#rejections').classList.contains('now')") == true;
    assert!(!is_red());
    wait_until("it alarms", || {
        server.connect();
        is_red()
    });
    wait_until("it is calm again", || browser.text("#rejected") == "0/s");
    assert!(!is_red());
    assert!(!browser.text("#rejected-total").starts_with("0 "), "but it is not forgotten");
}

#[test]
fn no_mark_strikes_the_words_of_another_through() {
    let mut server = Setup::new().limit(10).start();
    for limit in [20, 30, 40] {
        server.set_limit(limit);
    }
    assert!(server.stop().success());
    // In the middle of the plot, three seconds apart: less than the width of a word.
    let path = server.data_dir().join("limit-history.jsonl");
    let now = jiff::Timestamp::now().as_second();
    let moved =
        fs::read_to_string(&path).unwrap().lines().zip(0..).fold(String::new(), |moved, (line, at)| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            record["time"] = json!(jiff::Timestamp::from_second(now - 150 + 3 * at).unwrap());
            format!("{moved}{record}\n")
        });
    fs::write(&path, moved).unwrap();
    server.start_again();
    let Some(browser) = look(&server) else { return };
    browser.click("#span label");
    wait_until("all marks are there", || {
        browser.run("return document.querySelectorAll('#plot .mark').length") == 5
    });
    let crossings = browser.run(
        "document.querySelectorAll('.mark, .mark span').forEach((part) => { part.style.pointerEvents = 'auto'; });
        let [near, struck] = [0, 0];
        const marks = [...document.querySelectorAll('#plot .mark')];
        for (const { firstChild: label } of marks) {
            if (label.hidden) continue;
            const { left, right, top, bottom } = label.getBoundingClientRect();
            for (const line of marks) {
                const x = line.getBoundingClientRect().left;
                if (line === label.parentElement || x <= left || x >= right) continue;
                near += 1;
                // A line is no wider than a dot and a half, and lies on whole dots.
                const seen = [-1, -0.5, 0, 0.5, 1, 1.5].map((dx) => document.elementFromPoint(x + dx, (top + bottom) / 2));
                if (seen.includes(line)) struck += 1;
            }
        }
        return [near, struck]",
    );
    assert!(crossings[0].as_u64().unwrap() > 0, "no line comes near another's words: {crossings}");
    assert_eq!(crossings[1], 0, "{crossings}");
}

#[test]
fn a_restart_keeps_the_plot_and_shows_the_gap() {
    let mut server = Setup::new().limit(10).start();
    let held = server.connect();
    server.wait_until_active(1);
    wait_until("it is in a sample", || {
        server.get("/series").json()["active"].as_array().unwrap().contains(&json!(1))
    });
    let_pass(&server, 2);
    let last = newest(&server).unwrap();
    server.kill();
    drop(held);
    wait_until("it has been down for a while", || jiff::Timestamp::now().as_second() > last + 5);
    server.start_again();
    let Some(browser) = look(&server) else { return };
    browser.wait_for_text("#peak", "1");
    wait_until("the gap is hatched", || {
        browser.run("return document.querySelectorAll('#plot .blank').length") == 1
    });
    assert_eq!(browser.text("#gap-key"), "no samples: stopped, or too busy");
    let doors =
        browser.run("return [...document.querySelectorAll('#plot .mark')].map((m) => m.dataset.door)");
    assert_eq!(doors, json!(["startup", "startup"]));
    // The second start ends the gap.
    let distance = browser.run(
        "const [mark, gap] = [[...document.querySelectorAll('#plot .mark')].at(-1), document.querySelector('.blank')];
        return Math.abs(mark.getBoundingClientRect().left - gap.getBoundingClientRect().right)",
    );
    assert!(distance.as_f64().unwrap() < 3.0, "{distance}");
    assert_eq!(browser.log("browser"), Vec::<Value>::new());
}
