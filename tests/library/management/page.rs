//! The files of the live page. `tests/operator/page` tests it in a browser.

use sha2::{Digest, Sha256};

use super::server::Server;

const VENDORED: &str = include_str!("../../../src/management/page/uplot/README.md");

/// The page and the files it references, in order of reference.
async fn files(server: &Server) -> Vec<(String, String)> {
    let mut files = vec![("/".to_owned(), server.get("/").await.body)];
    let mut read = 0;
    while read < files.len() {
        let named: Vec<String> = files[read]
            .1
            .split(['"', '\''])
            .filter_map(|text| match text.strip_prefix("./") {
                Some(module) => Some(format!("/page/{module}")),
                None => text.starts_with("/page/").then(|| text.to_owned()),
            })
            .filter(|path| {
                path.rsplit_once('.').is_some_and(|(_, kind)| ["js", "css", "svg"].contains(&kind))
            })
            .collect();
        for path in named {
            if !files.iter().any(|(known, _)| *known == path) {
                let reply = server.get(&path).await;
                assert_eq!(reply.status, 200, "{path}");
                files.push((path, reply.body));
            }
        }
        read += 1;
    }
    files
}

#[tokio::test]
async fn it_and_all_that_it_names_is_there_and_comes_from_nowhere_else() {
    let server = Server::start().await;
    let files = files(&server).await;
    assert_eq!(files.len(), 10, "{:?}", files.iter().map(|(path, _)| path).collect::<Vec<_>>());
    for (path, text) in &files {
        let foreign = ["https://", "http://", "\"//", "'//", "@import", "url("];
        let found =
            foreign.iter().find(|start| text.replace("http://www.w3.org/2000/svg", "").contains(**start));
        // The library's first line names its origin.
        assert!(found.is_none() || path == "/page/uplot.js", "{path} has {}", found.unwrap());
    }
    let (_, html) = &files[0];
    for inline in ["<style", "style=", " onclick", "javascript:"] {
        assert!(!html.contains(inline), "{inline} would need a weaker policy");
    }
}

#[tokio::test]
async fn it_is_sent_with_a_policy_that_trusts_nobody_else() {
    let server = Server::start().await;
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/page/page.css", "text/css; charset=utf-8"),
        ("/page/page.js", "text/javascript; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
    ] {
        let reply = server.get(path).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(media_type)));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let policy = reply.header("content-security-policy").unwrap();
        for part in
            ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"]
        {
            assert!(policy.split("; ").any(|found| found == part), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(server.ask("HEAD", path, &[], "").await.status, 200);
        let reply = server.ask("POST", path, &[], "").await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET,HEAD")));
    }
}

#[tokio::test]
async fn it_needs_no_token_and_everything_that_it_shows_does() {
    let server = Server::start().await;
    assert_eq!(server.get("/").await.header("www-authenticate"), None);
    server.expect_token("correct-horse");
    files(&server).await;
    assert_eq!(server.get("/").await.header("www-authenticate"), Some("Bearer"), "so that it asks for one");
    for path in ["/series", "/events", "/history", "/config", "/connections", "/page/", "/page/x.js", "//"] {
        assert_eq!(server.get(path).await.status, 401, "{path}");
    }
    let rebound = server.ask_as("GET", "/", &["Host: evil.example"], "").await;
    assert_eq!(rebound.status, 421);
}

#[tokio::test]
async fn the_plot_library_is_the_one_that_is_noted_beside_it() {
    let server = Server::start().await;
    for (path, file) in [("/page/uplot.js", "uPlot.iife.min.js"), ("/page/uplot.css", "uPlot.min.css")] {
        let digest = Sha256::digest(server.get(path).await.body);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(VENDORED.contains(&format!("{digest}  {file}")), "{file} is {digest}");
    }
}
