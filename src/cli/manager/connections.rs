//! `manager connections`: who is connected, as a table.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use clap::Args;
use comfy_table::{Cell, CellAlignment};

use super::lines::local;
use super::table::Rows;
use crate::cli::colours::Colours;
use crate::cli::number;
use crate::management::wire::{
    Connection, ConnectionList, ConnectionSort, DEFAULT_CONNECTIONS, MOST_CONNECTIONS, RejectedPeer,
    Rejections,
};
use crate::names;

/// Which connections are wanted, and in which order.
#[derive(Debug, Clone, Args)]
pub(super) struct Wanted {
    /// Only those of this user; an empty name stands for all who have not logged in
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only those from this address, with or without a port
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<String>,
    /// Only connections that have been idle for longer, in seconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = number::seconds)]
    idle_over: Option<Duration>,
    /// What comes first: the lowest number or name, the oldest, or the most
    #[arg(long, default_value = ConnectionSort::Id.name(), value_parser = ConnectionSort::ALL.map(ConnectionSort::name))]
    sort: String,
    /// Number of entries, at most 100000
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONNECTIONS, allow_negative_numbers = true,
          value_parser = |text: &str| number::count(text, 1..=MOST_CONNECTIONS))]
    limit: u32,
}

impl Wanted {
    /// The path of the API request.
    pub(super) fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::from("/connections?"));
        query.extend_pairs(self.user.as_ref().map(|user| ("user", user)));
        query.extend_pairs(self.peer.as_ref().map(|peer| ("peer", peer)));
        query.extend_pairs(self.idle_over.map(|seconds| ("idle_over", seconds.as_secs_f64().to_string())));
        query.append_pair("sort", &self.sort);
        query.append_pair("limit", &self.limit.to_string());
        query.finish()
    }
}

/// The connections, one per line, with their users.
pub(super) fn table(list: ConnectionList, colours: Colours) -> String {
    let ConnectionList { connections, total, by_user, by_peer } = list;
    let mut rows =
        Rows::new(["Id", "Peer", "User", "Space", "Connected since", "Idle", "Requests", "In", "Out"]);
    let shown = connections.len() as u64;
    for connection in connections {
        let Connection { id, peer, user, space, connected_at, idle_seconds, requests, bytes_in, bytes_out } =
            connection;
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let cells = [
            right(id.to_string()),
            Cell::new(peer),
            Cell::new(user.as_deref().map_or("-".into(), names::shown)),
            Cell::new(space.as_deref().map_or("-".into(), names::shown)),
            Cell::new(local(connected_at)),
            right(format!("{idle_seconds:.1}s")),
            right(requests.to_string()),
            right(size(bytes_in)),
            right(size(bytes_out)),
        ];
        rows.add(Style::new(), cells);
    }
    let mut text = rows.text(colours);
    let plural = if total == 1 { "" } else { "s" };
    write!(text, "{total} connection{plural}").ok();
    if shown < total {
        write!(text, ", {shown} shown (see --limit)").ok();
    }
    text.push('\n');
    let users = by_user.iter().map(|of| (of.user.as_deref().unwrap_or("not logged in"), of.connections));
    let peers = by_peer.iter().map(|of| (of.peer.as_str(), of.connections));
    for (title, counts) in [("By user", counts(users)), ("By address", counts(peers))] {
        if !counts.is_empty() {
            writeln!(text, "{title}: {counts}").ok();
        }
    }
    text
}

/// The addresses that were rejected, one per line.
pub(super) fn rejections(list: Rejections, colours: Colours) -> String {
    let Rejections { rejected, peers } = list;
    let mut text = String::new();
    if !peers.is_empty() {
        let mut rows = Rows::new(["Address", "Rejections", "Last"]);
        for RejectedPeer { peer, rejections, uncertain, last } in peers {
            let number = if uncertain == 0 {
                rejections.to_string()
            } else {
                format!("{}-{rejections}", rejections - uncertain)
            };
            let number = Cell::new(number).set_alignment(CellAlignment::Right);
            rows.add(Style::new(), [Cell::new(peer), number, Cell::new(local(last))]);
        }
        text = rows.text(colours);
    }
    let plural = if rejected == 1 { " was" } else { "s were" };
    writeln!(text, "{rejected} client{plural} rejected since the server started").ok();
    text
}

fn counts<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    counts.map(|(name, count)| format!("{} {count}", names::shown(name))).collect::<Vec<_>>().join(", ")
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec_short().to_string()
}
