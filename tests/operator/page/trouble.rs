//! A server that hangs, one that is gone, and one whose disk is full.

use super::look;
use crate::harness::{Setup, Signal, SmallDisk, sandbox, wait_until};

#[test]
fn it_says_that_the_server_is_gone_and_comes_back_with_it() {
    let mut server = Setup::new().limit(1000).start();
    let Some(browser) = look(&server) else { return };
    let gone = || browser.text("#state").starts_with("The server does not answer since ");
    server.signal(Signal::STOP);
    wait_until("it says that the server is gone", gone);
    server.signal(Signal::CONT);
    browser.wait_for_text("#state", "Live");
    server.set_limit(1234);
    browser.wait_for_text("#limit", "1234");
    assert!(server.stop().success());
    wait_until("it says so again", gone);
    browser.fill("#wanted", "5");
    browser.click("#set button");
    browser.wait_for_text(
        "#outcome.refused",
        "The server did not answer; the change may still apply. Check the history.",
    );
}

#[test]
fn where_there_is_no_place_to_follow_it_asks_now_and_then() {
    // So few descriptors that two may follow the events.
    let server = Setup::new().limit(3).open_files(64).start();
    let follow = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.management_port())).unwrap();
        std::io::Write::write_all(&mut stream, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        stream
    };
    let _followers = [follow(), follow()];
    wait_until("no place is left", || server.get("/events").status == 503);
    let Some(browser) = super::open(&server) else { return };
    wait_until("it says how it goes on", || {
        browser.text("#state").starts_with("Every 5 seconds: too many /events streams")
    });
    server.set_limit(7);
    browser.wait_for_text("#limit", "7");
}

#[test]
fn a_full_disk_is_said_in_words_until_there_is_room() {
    sandbox::enter(|sandbox| {
        let disk = SmallDisk::mount(sandbox);
        let server = Setup::new().within(disk.path()).start();
        let mut admin = server.admin();
        let Some(browser) = look(&server) else { return };
        assert_eq!(browser.text("#words li.bad"), "");
        disk.fill(&mut admin);
        wait_until("it says that the disk is full", || {
            let said = browser.text("#words li.bad");
            said.starts_with("The store has trouble since ")
                && said.contains(": the disk is full: No space left on device")
                && said.contains(
                    "; writes are refused until there is free space; reads, logins and management continue.",
                )
        });
        assert_eq!(browser.text("#state"), "Live");
        disk.free();
        browser.wait_for_text("#words li.bad", "");
    });
}
