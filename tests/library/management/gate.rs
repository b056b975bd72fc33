//! Paths, methods, hosts and origins.

use super::server::Server;

#[tokio::test]
async fn an_unknown_path_is_404() {
    let server = Server::start().await;
    for path in
        ["/index.html", "/page/", "/page/x.js", "/limits", "/limit/", "/limit/double", "/stats/x", "//stats"]
    {
        let reply = server.get(path).await;
        assert_eq!((reply.status, reply.error()), (404, format!("there is no {path}")));
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_and_allow_names_the_right_ones() {
    let server = Server::start().await;
    for (method, path, allow) in [
        ("POST", "/health", "GET,HEAD"),
        ("DELETE", "/stats", "GET,HEAD"),
        ("POST", "/limit", "GET,HEAD,PUT"),
        ("PATCH", "/limit", "GET,HEAD,PUT"),
        ("GET", "/limit/increase", "POST"),
        ("PUT", "/limit/decrease", "POST"),
        ("GET", "/limit/reset", "POST"),
        ("PUT", "/history", "GET,HEAD"),
        ("PUT", "/config", "GET,HEAD"),
        ("GET", "/reload", "POST"),
        ("BREW", "/limit", "GET,HEAD,PUT"),
    ] {
        let reply = server.ask(method, path, &[], "").await;
        assert_eq!((reply.status, reply.error()), (405, format!("{path} does not answer {method}")));
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
        let reply = server.ask("OPTIONS", path, &[], "").await;
        assert_eq!((reply.status, reply.header("allow"), reply.body.as_str()), (204, Some(allow), ""));
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start().await;
    for path in ["/health", "/stats", "/limit", "/history", "/config"] {
        let (head, get) = (server.ask("HEAD", path, &[], "").await, server.get(path).await);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        for header in ["content-length", "content-type", "etag"] {
            assert_eq!(head.header(header), get.header(header), "{path}");
        }
    }
}

#[tokio::test]
async fn nothing_is_to_be_kept_in_a_cache() {
    let server = Server::start().await;
    for path in ["/stats", "/nothing"] {
        assert_eq!(server.get(path).await.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn a_host_that_is_not_this_server_is_misdirected() {
    let server = Server::start().await;
    for host in ["localhost", "LocalHost:10090", "127.0.0.1", "127.0.0.1:1", "[::1]:10090", "localhost."] {
        let reply = server.ask_as("GET", "/stats", &[&format!("Host: {host}")], "").await;
        assert_eq!(reply.status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "0.0.0.0"] {
        let reply = server.ask_as("GET", "/stats", &[&format!("Host: {host}:10090")], "").await;
        let error = format!("{host} is not a name of this server; use localhost");
        assert_eq!((reply.status, reply.error()), (421, error));
    }
    for headers in [vec![], vec!["Host:"], vec!["Host: a b"], vec!["Host: localhost", "Host: localhost"]] {
        let reply = server.ask_as("GET", "/stats", &headers, "").await;
        assert_eq!(reply.status, 400, "{headers:?}");
        reply.error();
    }
    let reply = server.ask("GET", "http://evil.example/stats", &[], "").await;
    assert_eq!(reply.status, 421, "the request line names a host, too");
    let reply = server.send(b"GET /health HTTP/1.0\r\n\r\n").await;
    assert_eq!(reply.status, 200, "HTTP/1.0 has no Host, and no browser speaks it");
}

#[tokio::test]
async fn a_web_page_cannot_change_anything() {
    let server = Server::start().await;
    for headers in [
        vec!["Origin: http://evil.example"],
        vec!["Origin: http://localhost:3000"],
        vec!["Origin: null"],
        vec!["Sec-Fetch-Site: cross-site"],
        vec!["Sec-Fetch-Site: same-site"],
    ] {
        for path in ["/limit/increase", "/limit/decrease", "/limit/reset", "/reload"] {
            let reply = server.ask("POST", path, &headers, "").await;
            let error = "changes from web pages of another origin are refused";
            assert_eq!((reply.status, reply.error().as_str()), (403, error), "{headers:?}");
        }
        for path in ["/stats", "/events", "/"] {
            let reply = server.ask("GET", path, &headers, "").await;
            let error = "requests from web pages of another origin are refused";
            assert_eq!((reply.status, reply.error().as_str()), (403, error), "{headers:?}");
            assert_eq!(reply.header("connection"), Some("close"), "it takes nobody's place");
            assert_eq!(reply.header("access-control-allow-origin"), None);
        }
    }
    let link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];
    for path in ["/", "/metrics"] {
        assert_eq!(server.ask("GET", path, &link, "").await.status, 200, "a link that was followed");
    }
    assert_eq!(server.ask("POST", "/limit/increase", &link, "").await.status, 403);
    assert_eq!(server.limiter.snapshot().limit, 1000);
    let own = ["Origin: http://localhost:10090", "Sec-Fetch-Site: same-origin"];
    assert_eq!(server.ask("POST", "/limit/increase", &own, "").await.status, 200);
}
