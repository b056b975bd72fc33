//! Loading and layout of the page.

use serde_json::{Value, json};

use super::{address, look};
use crate::harness::Setup;

#[test]
fn it_loads_without_an_error_and_asks_nobody_but_its_server() {
    let server = Setup::new().start();
    let Some(browser) = look(&server) else { return };
    // Violations of the page's policy are logged there as well.
    assert_eq!(browser.log("browser"), Vec::<Value>::new());
    let own = address(&server);
    let mut asked: Vec<String> = browser
        .log("performance")
        .iter()
        .map(|entry| {
            serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap()["message"].clone()
        })
        .filter(|message| message["method"] == "Network.requestWillBeSent")
        .map(|message| message["params"]["request"]["url"].as_str().unwrap().to_owned())
        // The initial content of a new window.
        .filter(|url| url != "data:,")
        .collect();
    asked.sort();
    asked.dedup();
    let paths: Vec<_> =
        asked.iter().map(|url| url.strip_prefix(&own).unwrap_or_else(|| panic!("{url}"))).collect();
    for path in [
        "",
        "events",
        "series",
        "history?limit=1000",
        "config",
        "connections?limit=1",
        "page/page.js",
        "page/uplot.js",
    ] {
        assert!(paths.contains(&path), "{path} was not asked for: {paths:?}");
    }
}

#[test]
fn it_fits_any_screen_in_light_and_dark() {
    let server = Setup::new().limit(1000).start();
    server.put("/limit", r#"{"limit":0}"#);
    let long = "n".repeat(255);
    let user = json!({"username": long, "password": "secret", "role": "user"});
    server.admin().expect_ok(&json!({"type": "CREATE_USER", "new_user": user}), "USER_CREATED");
    let _held = server.login(&long, "secret");
    let Some(browser) = look(&server) else { return };
    browser.wait_for_text("#by-user td", &long);
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for width in [320, 390, 768, 1280, 1920] {
            browser.resize(width, 900, 1);
            let wide = browser.run("return document.scrollingElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= width.into(), "{wide} on a screen of {width}");
        }
        grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor"));
        let contrasts = browser.run(CONTRASTS);
        for (names, contrast) in contrasts.as_object().unwrap() {
            assert!(contrast.as_f64().unwrap() >= 4.5, "{names} in {scheme}: {contrast}");
        }
    }
    assert_ne!(grounds[0], grounds[1]);
}

/// The contrast of each text colour with its background, by WCAG.
const CONTRASTS: &str = "
    const value = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
    const light = (name) => {
        let hex = value(name).slice(1);
        if (hex.length === 3) hex = [...hex].map((digit) => digit + digit).join('');
        const [r, g, b] = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
            .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const pairs = [['on-accent', 'accent'], ['text', 'bar']];
    for (const text of ['text', 'muted', 'accent', 'change', 'bad', 'warn'])
        for (const ground of ['surface', 'ground']) pairs.push([text, ground]);
    return Object.fromEntries(pairs.map(([text, ground]) => {
        const [more, less] = [light(text), light(ground)].sort((a, b) => b - a);
        return [text + ' on ' + ground, (more + 0.05) / (less + 0.05)];
    }));";
