//! Lists the connected clients, and ends connections.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use futures_util::future::BoxFuture;

use super::door::Asker;
use super::failure::ApiError;
use super::query::{Parameters, pairs};
use super::wire::{
    Connection, ConnectionList, ConnectionSort, DEFAULT_CONNECTIONS, Ended, EndedConnection, MEDIA_TYPE,
    MOST_CONNECTIONS, PeerTotal, RejectedPeer, Rejections, Status, UserTotal,
};
use super::{Management, body, wire};
use crate::logging::AUDIT;
use crate::names::shown_json;

/// The most users and addresses in the totals.
const TOTALS: usize = 20;

/// The connections of clients, as provided by the server.
pub trait Connections: fmt::Debug + Send + Sync {
    /// All of them, in no particular order.
    fn list(&self) -> BoxFuture<'_, Vec<Connection>>;

    /// The addresses that were rejected most often, in descending order.
    fn rejected(&self) -> Vec<RejectedPeer>;

    /// Ends one, but not in the middle of a request. `None` if none has this number.
    fn end(&self, id: u64) -> BoxFuture<'_, Option<Ended>>;
}

/// Which connections to list, and in which order.
#[derive(Debug, Default)]
struct Wanted {
    user: Option<String>,
    peer: Option<Origin>,
    idle_over: Option<f64>,
    sort: ConnectionSort,
    limit: Option<u32>,
}

/// A filter for clients: an address, or one connection's address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Address(IpAddr),
    Socket(SocketAddr),
}

/// The open connections of clients, and how many each user and address has.
#[utoipa::path(
    get,
    path = "/connections",
    params(
        ("user" = Option<String>, Query, description = "Only connections of this user; if empty, only those not \
            logged in"),
        ("peer" = Option<String>, Query, description = "Only connections from this IP address, with or without a \
            port; IPv6 with or without brackets"),
        ("idle_over" = Option<f64>, Query, minimum = 0, description = "Only connections that have been idle for \
            longer, in seconds"),
        ("sort" = Option<String>, Query, description = "id, user, peer, age, idle, requests, bytes_in or bytes_out",
            pattern = "^(id|user|peer|age|idle|requests|bytes_in|bytes_out)$"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100000, description = "Maximum number of entries; \
            default 1000"),
    ),
    responses(
        (status = 200, description = "As they were a moment ago.", body = ConnectionList),
        (status = 400, description = "The query is malformed.", body = wire::Failure),
    )
)]
pub(super) async fn list(
    State(api): State<Management>,
    parameters: Parameters,
) -> Result<impl IntoResponse, ApiError> {
    let wanted = Wanted::parse(pairs(parameters)?).map_err(ApiError::bad_request)?;
    let list = serde_json::to_string(&wanted.choose(api.connections.list().await));
    let list = list.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    // Clients choose names, and their reader may be at a terminal.
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], shown_json(list)))
}

/// Whom the limit has turned away most often.
#[utoipa::path(
    get,
    path = "/rejections",
    responses((status = 200, description = "As it was a moment ago.", body = Rejections))
)]
pub(super) async fn rejections(State(api): State<Management>) -> Json<Rejections> {
    Json(Rejections { rejected: api.limiter.totals().rejected, peers: api.connections.rejected() })
}

/// Ends a connection: at once if it is between requests, else when its request is answered.
#[utoipa::path(
    delete,
    path = "/connections/{id}",
    params(("id" = u64, Path, description = "The connection's number")),
    responses(
        (status = 200, description = "The connection is closed, or will be after its current \
            request.", body = EndedConnection),
        (status = 404, description = "There is no such connection.", body = wire::Failure),
    )
)]
pub(super) async fn end(
    State(api): State<Management>,
    asker: Asker,
    id: Result<Path<u64>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<EndedConnection>, ApiError> {
    body::no_fields(&headers, &body)?;
    // A number beyond the document's int64 was never assigned.
    let id = id.ok().map(|Path(id)| id).filter(|id| i64::try_from(*id).is_ok()).ok_or_else(|| {
        ApiError::bad_request("the number of a connection must be a whole number, such as 17")
    })?;
    let Asker { door, actor } = asker;
    match api.connections.end(id).await {
        Some(ended) => {
            let message = match ended {
                Ended::Now => format!("Connection {id} is closed"),
                Ended::AfterItsRequest => format!("Connection {id} is closed once its request is answered"),
            };
            let (outcome, deed) = match ended {
                Ended::Now => ("done", "is closed"),
                Ended::AfterItsRequest => ("pending", "will be closed once its request is answered"),
            };
            tracing::info!(target: AUDIT, act = "connection_ended", object = id, %door, %actor, outcome,
                "connection {id} {deed}, as asked by {actor} through {door}");
            Ok(Json(EndedConnection { status: Status::Success, id, ended, message }))
        }
        None => Err(ApiError::new(StatusCode::NOT_FOUND, format!("there is no connection {id}"))),
    }
}

impl Wanted {
    /// An unknown name is an error: otherwise a misspelt filter would return all connections.
    fn parse(parameters: Vec<(String, String)>) -> Result<Self, String> {
        let mut wanted = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in parameters {
            match name.as_str() {
                "user" => wanted.user = Some(value),
                "peer" => wanted.peer = Some(value.parse()?),
                "idle_over" => {
                    let seconds: Option<f64> = value.strip_suffix('s').unwrap_or(&value).parse().ok();
                    wanted.idle_over =
                        Some(seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0).ok_or_else(
                            || format!("idle_over must be a number of seconds, such as 30, got `{value}`"),
                        )?);
                }
                "sort" => wanted.sort = sort(&value)?,
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST_CONNECTIONS).contains(limit));
                    wanted.limit = Some(limit.ok_or_else(|| {
                        format!("limit must be a whole number from 1 to {MOST_CONNECTIONS}, got `{value}`")
                    })?);
                }
                _ => {
                    return Err(format!(
                        "unknown parameter `{name}`, expected `user`, `peer`, `idle_over`, `sort` or `limit`"
                    ));
                }
            }
            if seen.contains(&name) {
                return Err(format!("`{name}` is given more than once"));
            }
            seen.push(name);
        }
        Ok(wanted)
    }

    fn choose(self, mut connections: Vec<Connection>) -> ConnectionList {
        connections.retain(|connection| self.matches(connection));
        let (by_user, by_peer) = totals(&connections);
        let total = connections.len() as u64;
        connections.sort_by(|one, other| compare(self.sort, one, other).then(one.id.cmp(&other.id)));
        connections.truncate(self.limit.unwrap_or(DEFAULT_CONNECTIONS) as usize);
        ConnectionList { connections, total, by_user, by_peer }
    }

    fn matches(&self, connection: &Connection) -> bool {
        let of_user = |user: &String| {
            connection.user.as_deref() == Some(user).filter(|user| !user.is_empty()).map(|u| &**u)
        };
        self.user.as_ref().is_none_or(of_user)
            && self.peer.is_none_or(|origin| origin.is_of(&connection.peer))
            && self.idle_over.is_none_or(|seconds| connection.idle_seconds > seconds)
    }
}

fn sort(name: &str) -> Result<ConnectionSort, String> {
    ConnectionSort::from_name(name).ok_or_else(|| {
        let [names @ .., last] = ConnectionSort::ALL.map(ConnectionSort::name);
        format!("sort must be one of {} and {last}, got `{name}`", names.join(", "))
    })
}

fn compare(sort: ConnectionSort, one: &Connection, other: &Connection) -> std::cmp::Ordering {
    match sort {
        ConnectionSort::Id => one.id.cmp(&other.id),
        ConnectionSort::User => one.user.cmp(&other.user),
        ConnectionSort::Peer => address(&one.peer).cmp(&address(&other.peer)),
        ConnectionSort::Age => one.connected_at.cmp(&other.connected_at),
        ConnectionSort::Idle => other.idle_seconds.total_cmp(&one.idle_seconds),
        ConnectionSort::Requests => other.requests.cmp(&one.requests),
        ConnectionSort::BytesIn => other.bytes_in.cmp(&one.bytes_in),
        ConnectionSort::BytesOut => other.bytes_out.cmp(&one.bytes_out),
    }
}

/// An address without its port.
fn address(peer: &str) -> String {
    peer.parse::<SocketAddr>().map_or_else(|_| peer.to_owned(), |peer| peer.ip().to_string())
}

impl FromStr for Origin {
    type Err = String;

    /// Accepts any spelling of an address. Anything else could match nothing, and an empty answer would read as "nobody
    /// is connected from there".
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Ok(Self::Socket(SocketAddr::new(socket.ip().to_canonical(), socket.port())));
        }
        // Brackets as in a URL, which separate the colons of an address from the one before the port.
        let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let address = match address {
            Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::from),
            None => text.parse(),
        };
        address.map(|address| Self::Address(address.to_canonical())).map_err(|_| {
            format!(
                "peer must be an IP address, with or without a port, such as 192.0.2.7, 192.0.2.7:5000, ::1 or \
                 [::1]:5000, got `{text}`"
            )
        })
    }
}

impl Origin {
    /// Whether a connection from `peer` matches.
    fn is_of(self, peer: &str) -> bool {
        peer.parse::<SocketAddr>().is_ok_and(|peer| match self {
            Self::Address(address) => address == peer.ip().to_canonical(),
            Self::Socket(socket) => socket == SocketAddr::new(peer.ip().to_canonical(), peer.port()),
        })
    }
}

fn totals(connections: &[Connection]) -> (Vec<UserTotal>, Vec<PeerTotal>) {
    let mut users: HashMap<Option<&str>, u64> = HashMap::new();
    let mut peers: HashMap<String, u64> = HashMap::new();
    for connection in connections {
        *users.entry(connection.user.as_deref()).or_default() += 1;
        *peers.entry(address(&connection.peer)).or_default() += 1;
    }
    let by_user = most(users)
        .map(|(user, connections)| UserTotal { user: user.map(str::to_owned), connections })
        .collect();
    let by_peer = most(peers).map(|(peer, connections)| PeerTotal { peer, connections }).collect();
    (by_user, by_peer)
}

fn most<K: Ord>(counts: HashMap<K, u64>) -> impl Iterator<Item = (K, u64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(one, a), (other, b)| b.cmp(a).then_with(|| one.cmp(other)));
    counts.into_iter().take(TOTALS)
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, ToSpan};

    use super::*;

    fn connection(id: u64, peer: &str, user: Option<&str>, idle: f64) -> Connection {
        Connection {
            id,
            peer: peer.into(),
            user: user.map(Into::into),
            space: None,
            connected_at: Timestamp::UNIX_EPOCH + i64::try_from(id).unwrap().seconds(),
            idle_seconds: idle,
            requests: 100 - id,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    fn chosen(query: &[(&str, &str)]) -> Result<(Vec<u64>, u64), String> {
        let all = vec![
            connection(1, "127.0.0.1:1", Some("a"), 3.0),
            connection(2, "[::1]:2", None, 1.0),
            connection(3, "127.0.0.1:3", Some("b"), 2.0),
            connection(4, "127.0.0.1:4", Some("b"), 0.0),
        ];
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let list = Wanted::parse(query)?.choose(all);
        Ok((list.connections.iter().map(|connection| connection.id).collect(), list.total))
    }

    #[test]
    fn what_is_asked_for_is_what_is_listed() {
        assert_eq!(chosen(&[]), Ok((vec![1, 2, 3, 4], 4)));
        assert_eq!(chosen(&[("user", "b")]), Ok((vec![3, 4], 2)));
        assert_eq!(chosen(&[("user", "")]), Ok((vec![2], 1)));
        assert_eq!(chosen(&[("peer", "127.0.0.1")]), Ok((vec![1, 3, 4], 3)));
        for spelt in ["[::1]:2", "[::1]", "::1", "0:0::0:1", "[0:0::0:1]"] {
            assert_eq!(chosen(&[("peer", spelt)]), Ok((vec![2], 1)), "{spelt}");
        }
        for spelt in ["::ffff:127.0.0.1", "[::ffff:127.0.0.1]"] {
            assert_eq!(chosen(&[("peer", spelt)]), Ok((vec![1, 3, 4], 3)), "{spelt}");
        }
        assert_eq!(chosen(&[("peer", "[::ffff:127.0.0.1]:3")]), Ok((vec![3], 1)));
        assert_eq!(chosen(&[("peer", "127.0.0.1:99")]), Ok((vec![], 0)));
        assert_eq!(chosen(&[("idle_over", "1")]), Ok((vec![1, 3], 2)));
        assert_eq!(chosen(&[("idle_over", "2.5s")]), Ok((vec![1], 1)));
        assert_eq!(chosen(&[("sort", "idle")]), Ok((vec![1, 3, 2, 4], 4)));
        assert_eq!(chosen(&[("sort", "requests"), ("limit", "2")]), Ok((vec![1, 2], 4)));
        assert_eq!(chosen(&[("sort", "user")]), Ok((vec![2, 1, 3, 4], 4)));
        assert_eq!(chosen(&[("sort", "age"), ("user", "b"), ("limit", "1")]), Ok((vec![3], 2)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (query, words) in [
            (&[("usr", "b")][..], "unknown parameter `usr`"),
            (&[("user", "a"), ("user", "b")], "`user` is given more than once"),
            (&[("limit", "0")], "limit must be a whole number from 1 to 100000, got `0`"),
            (&[("peer", "localhost")], "peer must be an IP address, with or without a port"),
            (&[("peer", "[127.0.0.1]")], "peer must be an IP address, with or without a port"),
            (&[("peer", "")], "peer must be an IP address, with or without a port"),
            (&[("idle_over", "-1")], "idle_over must be a number of seconds"),
            (&[("idle_over", "inf")], "idle_over must be a number of seconds"),
            (&[("sort", "name")], "sort must be one of id, user, peer"),
        ] {
            let error = chosen(query).unwrap_err();
            assert!(error.starts_with(words), "{error}");
        }
    }

    #[test]
    fn the_busiest_come_first_in_the_totals() {
        let all: Vec<_> =
            (1..=30).map(|id| connection(id, &format!("127.0.0.{}:1", id.min(25)), None, 0.0)).collect();
        let (by_user, by_peer) = totals(&all);
        assert_eq!(by_user, [UserTotal { user: None, connections: 30 }]);
        assert_eq!(by_peer.first(), Some(&PeerTotal { peer: "127.0.0.25".into(), connections: 6 }));
        assert_eq!(by_peer.len(), TOTALS);
    }
}
