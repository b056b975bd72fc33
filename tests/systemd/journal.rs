//! The journal entries by which scripts filter, with the names and ids documented in shibudb(1).

use std::io::Read;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::machine::{Machine, eventually};

/// As in the manual page, from which scripts take them.
const LIMIT_CHANGED: &str = "734c51646dca44dcb77eecd0a75cde3c";
const LIMIT_REFUSED: &str = "014c00de7ce042ba82e05b4cb88d8bf1";
const REJECTIONS: &str = "fe8d8a3f7f4d4821b565edfa9b17d34a";
const RELOAD_FAILED: &str = "78f550e9b7854994a58e65836e4fb056";

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![
        a_change_by_signal_is_found_with_all_its_fields,
        a_refusal_is_found_by_its_id,
        rejections_are_found_by_their_id_and_summed_up,
        a_failed_reload_is_found_by_its_id,
        every_name_and_id_is_documented,
        the_catalog_explains_a_message,
    ]
}

fn a_change_by_signal_is_found_with_all_its_fields() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl kill -s USR1 shibudb");
    let [entry] = <[Value; 1]>::try_from(found(&machine, "SHIBUDB_DOOR=signal", 1)).unwrap();
    let field = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let actor = field("SHIBUDB_ACTOR");
    assert!(actor.starts_with("pid ") && actor.contains(" uid 0"), "{entry}");
    let sentence = format!("connection limit changed from 1000 to 1100 by {actor} through signal");
    assert_eq!(field("MESSAGE"), sentence);
    assert_eq!(field("MESSAGE_ID"), LIMIT_CHANGED);
    for (name, value) in
        [("OLD", "1000"), ("NEW", "1100"), ("ACTIVE", "0"), ("REVISION", "2"), ("OUTCOME", "applied")]
    {
        assert_eq!(field(&format!("SHIBUDB_{name}")), value, "{entry}");
    }
}

fn a_refusal_is_found_by_its_id() {
    let machine = Machine::with_shibudb();
    machine.run("shibudb manager 9090 limit 4000000");
    let [entry] = <[Value; 1]>::try_from(found(&machine, &format!("MESSAGE_ID={LIMIT_REFUSED}"), 1)).unwrap();
    assert_eq!(entry["SHIBUDB_DOOR"], "cli");
    assert_eq!(entry["SHIBUDB_WANTED"], "4000000");
    assert_eq!(entry["SHIBUDB_OUTCOME"], "refused");
    assert!(entry["SHIBUDB_REASON"].as_str().unwrap().starts_with("cannot set limit to 4000000"), "{entry}");
}

fn rejections_are_found_by_their_id_and_summed_up() {
    let machine = Machine::with_shibudb();
    machine.sh("shibudb manager 9090 limit 1");
    let _client = machine.connect(9090).unwrap();
    for _ in 0..200 {
        let mut line = String::new();
        machine.connect(9090).unwrap().read_to_string(&mut line).unwrap();
        assert!(line.contains("Server at maximum capacity (1 connections)"), "{line}");
    }
    let begun = found(&machine, &format!("MESSAGE_ID={REJECTIONS}"), 1);
    assert_eq!(begun[0]["SHIBUDB_LIMIT"], "1");
    // Every client except those that begin a series is eventually counted in a summary.
    eventually("the rest is summed up", || {
        let summaries = entries(&machine, "-g 'more clients at the connection limit'");
        let count = |entry: &Value| entry["SHIBUDB_CLIENTS"].as_str()?.parse::<usize>().ok();
        let summed = summaries.iter().filter_map(count).sum::<usize>();
        let series = entries(&machine, &format!("MESSAGE_ID={REJECTIONS}")).len();
        (summed + series == 200 && summaries.len() + series < 50).then_some(())
    });
}

fn a_failed_reload_is_found_by_its_id() {
    let machine = Machine::with_shibudb();
    machine.sh("echo 'broken = 1' >>/etc/shibudb/shibudb.toml");
    let entries = found(&machine, &format!("MESSAGE_ID={RELOAD_FAILED}"), 1);
    assert!(entries[0]["MESSAGE"].as_str().unwrap().contains("broken"), "{entries:?}");
    assert_eq!(entries[0]["SHIBUDB_DOOR"], "config");
}

fn every_name_and_id_is_documented() {
    let machine = Machine::with_shibudb();
    let page = machine.sh("zcat /usr/share/man/man1/shibudb.1.gz | tr -d '\\\\'");
    for id in [LIMIT_CHANGED, LIMIT_REFUSED, REJECTIONS, RELOAD_FAILED] {
        assert!(page.contains(id), "{id}");
    }
    machine.sh("systemctl kill -s USR1 shibudb && shibudb manager 9090 limit 4000000 || true");
    let entries =
        [found(&machine, "SHIBUDB_DOOR=signal", 1), found(&machine, "SHIBUDB_OUTCOME=refused", 1)].concat();
    let names = entries.iter().flat_map(|entry| entry.as_object().unwrap().keys());
    for name in names.filter(|name| name.starts_with("SHIBUDB_")) {
        assert!(page.contains(name.as_str()), "{name}");
    }
}

fn the_catalog_explains_a_message() {
    let machine = Machine::with_shibudb();
    machine.run("shibudb manager 9090 limit 4000000");
    found(&machine, &format!("MESSAGE_ID={LIMIT_REFUSED}"), 1);
    let said = machine.sh(&format!("journalctl -x --no-pager MESSAGE_ID={LIMIT_REFUSED}"));
    assert!(said.contains("Subject: A change of the connection limit was refused"), "{said}");
    assert!(said.contains("asked for a connection limit of 4000000 through the door \"cli\""), "{said}");
    for id in [LIMIT_CHANGED, LIMIT_REFUSED, REJECTIONS, RELOAD_FAILED] {
        machine.sh(&format!("journalctl --list-catalog {id} | grep -q shibudb"));
    }
}

/// The service's entries that match, once there are so many.
fn found(machine: &Machine, filter: &str, count: usize) -> Vec<Value> {
    eventually(filter, || Some(entries(machine, filter)).filter(|entries| entries.len() >= count))
}

fn entries(machine: &Machine, filter: &str) -> Vec<Value> {
    // journalctl fails if nothing is found.
    let lines = machine.run(&format!("journalctl --sync; journalctl -u shibudb -o json --no-pager {filter}"));
    lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
