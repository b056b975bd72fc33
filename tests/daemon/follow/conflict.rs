//! Precedence of base, file and run-time value on a real server, after a restart, an edit, a reload and a
//! reset, and what `manager status` reports. `tests/library/control.rs` covers all combinations of the
//! rules; here they are tested through the doors.

use super::witness::{config, configured};
use crate::harness::{Client, Setup, Signal, wait_until};

/// The events of a case.
#[derive(Debug, Clone, Copy)]
enum Event {
    Set(u32),
    /// The answer to a reset.
    Reset(u16),
    /// This limit is written to the file, and the server notices the edit.
    Edit(Option<u32>),
    /// The file is saved with only a comment changed.
    Save,
    Hup,
    Post,
    /// Stopped and started with this command line.
    Restart(Option<u32>),
    /// Killed and started with this command line.
    Kill(Option<u32>),
    /// From now on this many clients are connected.
    Clients(usize),
}
use Event::{Clients, Edit, Hup, Kill, Post, Reset, Restart, Save, Set};

/// The expected state at the end.
struct End {
    limit: u64,
    base: u64,
    source: &'static str,
    /// The beginning of the line in the status, if there is one.
    status: Option<&'static str>,
}

fn end(limit: u64, base: u64, source: &'static str, status: Option<&'static str>) -> End {
    End { limit, base, source, status }
}

#[test]
fn the_expected_limit_wins_and_the_status_says_why() {
    const SET: Option<&str> = Some("Configured Limit: 500 (override: 700 set through http by 127.0.0.1:");
    const REFUSED: Option<&str> = Some("Configured Limit: 2 (refused: 3 connections are active)");
    /// Command line and file at the first start, the events, and the expected end.
    type Case = (Option<u32>, Option<u32>, &'static [Event], End);
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        (None,      None,      &[],                                  end(1000, 1000, "default", None)),
        (Some(600), Some(500), &[],                                  end(600, 600, "command line", None)),
        (None,      Some(500), &[Set(700)],                          end(700, 500, "override", SET)),
        (None,      Some(500), &[Set(700), Save, Hup, Post],         end(700, 500, "override", SET)),
        (None,      Some(500), &[Set(700), Reset(200)],              end(500, 500, "file", None)),
        (None,      Some(500), &[Set(700), Restart(None)],           end(700, 500, "override", SET)),
        (None,      Some(500), &[Set(700), Kill(None)],              end(700, 500, "override", SET)),
        (None,      Some(500), &[Set(700), Restart(None), Save, Post, Reset(200)], end(500, 500, "file", None)),
        (None,      Some(500), &[Set(700), Restart(Some(600))],      end(600, 600, "command line", None)),
        (None,      Some(500), &[Set(700), Edit(Some(600))],         end(600, 600, "file", None)),
        (None,      Some(500), &[Set(700), Edit(Some(600)), Kill(None)], end(600, 600, "file", None)),
        (Some(600), Some(500), &[Save, Hup],                         end(600, 600, "command line", None)),
        (Some(600), Some(500), &[Edit(Some(550))],                   end(550, 550, "file", None)),
        (Some(600), Some(500), &[Edit(Some(550)), Restart(Some(600))], end(600, 600, "command line", None)),
        (Some(600), Some(500), &[Edit(None)],                        end(600, 600, "command line", None)),
        (None,      Some(500), &[Set(700), Edit(None)],              end(1000, 1000, "default", None)),
        (None,      Some(500), &[Clients(3), Edit(Some(2))],         end(500, 2, "file", REFUSED)),
        (None,      Some(500), &[Clients(3), Edit(Some(2)), Reset(409)], end(500, 2, "file", REFUSED)),
        (None,      Some(500), &[Clients(3), Edit(Some(2)), Clients(0), Reset(200)], end(2, 2, "file", None)),
        (None,      Some(500), &[Clients(3), Edit(Some(2)), Clients(0), Post], end(2, 2, "file", None)),
        (None,      Some(500), &[Clients(3), Edit(Some(2)), Clients(1), Hup], end(2, 2, "file", None)),
        (None,      Some(500), &[Clients(3), Edit(Some(2)), Edit(Some(500))], end(500, 500, "file", None)),
        (None,      Some(500), &[Clients(3), Edit(Some(2)), Restart(None)], end(2, 2, "file", None)),
    ];
    for (command_line, file, events, end) in cases {
        let case = format!("{command_line:?} {file:?} {events:?}");
        let text = |file: Option<u32>, comment: usize| {
            let line = file.map(|limit| format!("max_connections = {limit}\n")).unwrap_or_default();
            format!("# edit {comment}\n{line}[client]\nlogin_timeout = \"10m\"\n")
        };
        let mut setup = Setup::new().config(text(file, 0));
        if let Some(limit) = command_line {
            setup = setup.limit(limit);
        }
        let mut server = setup.start();
        let mut file = file;
        let mut clients: Vec<Client> = Vec::new();
        for (number, event) in (1..).zip(events) {
            let last_reload = config(&server)["last_reload"]["time"].clone();
            let read_again = |server| config(server)["last_reload"]["time"] != last_reload;
            match *event {
                Set(limit) => server.set_limit(limit),
                Reset(status) => assert_eq!(server.post("/limit/reset", "").status, status, "{case}"),
                Edit(limit) => {
                    file = limit;
                    server.write_config(text(file, number));
                    wait_until("the edit is found", || read_again(&server));
                }
                Save => {
                    server.write_config(text(file, number));
                    wait_until("the file is read", || read_again(&server));
                }
                Hup => {
                    server.signal(Signal::HUP);
                    wait_until("the signal is heard", || read_again(&server));
                }
                Post => assert_eq!(server.post("/reload", "").status, 200, "{case}"),
                Restart(limit) => {
                    clients.clear();
                    assert!(server.stop().success(), "{case}");
                    server.start_again_with_limit(limit);
                }
                Kill(limit) => {
                    server.kill();
                    server.start_again_with_limit(limit);
                }
                Clients(count) => {
                    clients.truncate(count);
                    clients.extend((clients.len()..count).map(|_| server.connect()));
                    server.wait_until_active(count as u64);
                }
            }
        }
        let report = config(&server);
        assert_eq!(server.limit(), end.limit, "{case}");
        assert_eq!(
            (&report["limit"]["current"], &report["limit"]["base"]),
            (&end.limit.into(), &end.base.into()),
            "{case}"
        );
        let settings = report["settings"].as_array().unwrap();
        let limit = settings.iter().find(|setting| setting["key"] == "max_connections").unwrap();
        assert_eq!((&limit["value"], &limit["source"]), (&end.limit.into(), &end.source.into()), "{case}");
        let status = configured(&server);
        match end.status {
            Some(start) => {
                assert!(status.as_ref().is_some_and(|line| line.starts_with(start)), "{case}: {status:?}")
            }
            None => assert_eq!(status, None, "{case}"),
        }
    }
}
