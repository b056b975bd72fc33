//! The last hour, second by second.

use shibudb::management::wire::Series;
use shibudb::series::Sample;

use super::server::Server;

#[tokio::test]
async fn it_is_columns_oldest_first_and_as_many_seconds_as_asked_for() {
    let mut server = Server::start().await;
    let empty = r#"{"time":[],"active":[],"limit":[],"accepted":[],"rejected":[]}"#;
    assert_eq!(server.get("/series").await.pair(), (200, empty));
    for (second, active) in [(100, 1), (101, 2), (103, 3)] {
        let (accepted, rejected) = (u64::from(active) * 10, u64::from(active));
        server.series.record(Sample { second, active, limit: 1000, accepted, rejected });
    }
    let all = r#"{"time":[100,101,103],"active":[1,2,3],"limit":[1000,1000,1000],"accepted":[10,20,30],"rejected":[1,2,3]}"#;
    let two = r#"{"time":[101,103],"active":[2,3],"limit":[1000,1000],"accepted":[20,30],"rejected":[2,3]}"#;
    for (query, body) in [("", all), ("?seconds=3600", all), ("?seconds=4", all), ("?seconds=3", two)] {
        assert_eq!(server.get(&format!("/series{query}")).await.pair(), (200, body), "{query}");
    }
}

#[tokio::test]
async fn it_is_never_longer_than_an_hour() {
    let mut server = Server::start().await;
    for second in 1..=4000 {
        server.series.record(Sample { second, active: 0, limit: 1000, accepted: 0, rejected: 0 });
    }
    let series: Series = serde_json::from_str(&server.get("/series").await.body).unwrap();
    assert_eq!((series.time.first(), series.time.len(), series.rejected.len()), (Some(&401), 3600, 3600));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = Server::start().await;
    let range = |got: &str| format!("seconds must be a whole number from 1 to 3600, got `{got}`");
    for (query, error) in [
        ("seconds=0", range("0")),
        ("seconds=3601", range("3601")),
        ("seconds=1.5", range("1.5")),
        ("seconds=", range("")),
        ("seconds=1&seconds=2", "`seconds` is given more than once".into()),
        ("minutes=5", "unknown parameter `minutes`, expected `seconds`".into()),
    ] {
        let reply = server.get(&format!("/series?{query}")).await;
        assert_eq!((reply.status, reply.error()), (400, error));
    }
}
