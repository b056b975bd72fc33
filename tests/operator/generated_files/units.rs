//! The instances' unit, generated from the service's, and the entries of the journal's catalog.

use super::is_up_to_date;

/// The replacements that turn the service's unit into that of an instance.
const OF_INSTANCES: [(&str, &str); 8] = [
    (
        "[Unit]\nDescription=ShibuDB database server\n",
        "# A further instance beside the service, with directories of its own: put its settings, with a port of its own,\n\
         # at /etc/shibudb/NAME.toml, then `systemctl enable --now shibudb@NAME`.\n\n\
         [Unit]\nDescription=ShibuDB database server (instance %i)\n",
    ),
    ("/etc/shibudb/shibudb.toml", "/etc/shibudb/%i.toml"),
    ("-s USR1 shibudb`", "-s USR1 shibudb@NAME`"),
    ("\nStateDirectory=shibudb\n", "\nStateDirectory=shibudb-instances/%i\n"),
    ("\nRuntimeDirectory=shibudb/service\n", "\nRuntimeDirectory=shibudb/instances/%i\n"),
    ("from /etc/credstore/shibudb.admin-password:", "from /etc/credstore/shibudb@NAME.admin-password:"),
    (
        "\nLoadCredential=shibudb.admin-password\n",
        "\nLoadCredential=shibudb.admin-password:shibudb@%i.admin-password\n",
    ),
    ("`systemctl edit shibudb`", "`systemctl edit shibudb@NAME`"),
];

#[test]
fn the_unit_of_instances_is_that_of_the_service_but_for_its_places() {
    let mut unit = include_str!("../../../packaging/systemd/shibudb.service").to_owned();
    for (service, instance) in OF_INSTANCES {
        assert!(unit.contains(service), "{service}");
        unit = unit.replace(service, instance);
    }
    is_up_to_date("packaging/systemd/shibudb@.service", &unit);
}

#[test]
fn every_message_id_is_explained_in_the_catalog() {
    let catalog = include_str!("../../../packaging/systemd/shibudb.catalog");
    let explained: Vec<_> = catalog.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
    let mut ids: Vec<_> = shibudb::logging::MESSAGE_IDS.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable_by_key(|id| explained.iter().position(|explained| explained == id));
    assert_eq!(explained, ids);
}
