//! The names of this server, and the check whether a request uses one of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{StatusCode, Version, header};

use super::failure::ApiError;

/// The names of this server, apart from its addresses.
#[derive(Debug)]
pub(super) struct Names {
    /// The machine's name, with its domain if known.
    full: String,
    /// The same without its domain. The machine may not know under which domains others reach it.
    short: String,
}

impl Names {
    /// `localhost` and the machine's own name, with and without its domain.
    pub(super) fn of_this_machine() -> Self {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let short = machine.split('.').next().unwrap_or_default().to_owned();
        Self { full: machine, short }
    }

    /// Whether `host`, as written in a URL, is this server. Any loopback address is. With `any_domain`, so is the
    /// machine's name in any domain.
    fn include(&self, host: &str, local: IpAddr, any_domain: bool) -> bool {
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address: Option<IpAddr> = match bracketed {
            Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
        match address.map(|address| address.to_canonical()) {
            Some(address) => address.is_loopback() || address == local.to_canonical(),
            None => {
                let host = host.strip_suffix('.').unwrap_or(host);
                let is_known =
                    ["localhost", &self.full, &self.short].map(|name| name.eq_ignore_ascii_case(host));
                let first = host.split('.').next().unwrap_or_default();
                !host.is_empty()
                    && (is_known.contains(&true) || any_domain && first.eq_ignore_ascii_case(&self.short))
            }
        }
    }
}

/// Whether a request was meant for this server.
///
/// Where a token is required, a page whose name was rebound to this machine gains nothing: the machine's name is then
/// accepted in any domain, as other machines use it.
pub(super) fn check_host(
    parts: &Parts,
    names: &Names,
    local: IpAddr,
    needs_token: bool,
) -> Result<(), ApiError> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        // Health checks of load balancers still do this; browsers never do.
        (None, _) if parts.version == Version::HTTP_10 => "localhost",
        (None, _) => return Err(ApiError::bad_request("the Host header is missing")),
        (Some(_), Some(_)) => return Err(ApiError::bad_request("there is more than one Host header")),
    };
    // A request line may name the server as well; both names must be this server's.
    for host in [Some(host), parts.uri.authority().map(Authority::as_str)].into_iter().flatten() {
        let name = host_name(host).ok_or_else(|| {
            ApiError::bad_request("the Host header is malformed: expected HOST or HOST:PORT")
        })?;
        if !names.include(&name, local, needs_token) {
            return Err(ApiError::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!("{name} is not a name of this server; use localhost"),
            ));
        }
    }
    Ok(())
}

/// The host without its port; `None` if it is malformed.
fn host_name(host: &str) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    let name = authority.host();
    let port = host.strip_prefix(name)?;
    let port_is_fine = match port.strip_prefix(':') {
        Some(digits) => digits.is_empty() || digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    port_is_fine.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_and_addresses_are_included_and_nothing_else() {
        let names = db1();
        let local: IpAddr = "192.0.2.7".parse().unwrap();
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "192.0.2.7",
            "db1",
            "DB1.example",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(names.include(host, local, false), "{host}");
        }
        for host in [
            "",
            ".",
            "evil.example",
            "localhost.evil.example",
            "0.0.0.0",
            "192.0.2.8",
            "[::]",
            "[::2]",
            "::1",
            "db1.example.evil.example",
            "127.0.0.1.nip.io",
        ] {
            assert!(!names.include(host, local, false), "{host}");
        }
    }

    #[test]
    fn who_needs_a_token_may_call_the_machine_by_its_name_in_any_domain() {
        let local: IpAddr = "192.0.2.7".parse().unwrap();
        for (host, is_ours) in [
            ("db1", true),
            ("DB1.monitoring.example.", true),
            ("localhost", true),
            ("db2.example", false),
            ("db12.example", false),
            ("example.db1", false),
            ("192.0.2.8", false),
        ] {
            assert_eq!(db1().include(host, local, true), is_ours, "{host}");
        }
    }

    fn db1() -> Names {
        Names { full: "db1.example".into(), short: "db1".into() }
    }

    #[test]
    fn a_port_is_cut_off_and_must_be_one() {
        assert_eq!(host_name("localhost:10090").as_deref(), Some("localhost"));
        assert_eq!(host_name("[::1]:10090").as_deref(), Some("[::1]"));
        assert_eq!(host_name("localhost:").as_deref(), Some("localhost"));
        assert_eq!(host_name("[::1]").as_deref(), Some("[::1]"));
        for host in ["", "localhost:x", "localhost:65536", "user@localhost", "a b", "localhost/"] {
            assert_eq!(host_name(host), None, "{host}");
        }
    }
}
