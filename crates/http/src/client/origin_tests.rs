use axum::http::HeaderName;

use super::*;

const PROXY: &str = "10.0.0.1";
const UNTRUSTED: &str = "203.0.113.9";

fn policy_at(list: &[&str], hosts: &[&str]) -> OriginPolicy {
    let owned = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
    let site = Site {
        proxies: vec!["10.0.0.0/8".parse().unwrap()],
        hosts: owned(hosts),
    };
    OriginPolicy::new(&owned(list), site).unwrap()
}

fn policy(list: &[&str]) -> OriginPolicy {
    policy_at(list, &[])
}

fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
    let one = |(name, value): &(&'static str, &'static str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    HeaderMap::from_iter(all.iter().map(one))
}

fn is_allowed(policy: &OriginPolicy, peer: &str, all: &[(&'static str, &'static str)]) -> bool {
    let peer = peer.parse().ok();
    policy.check(peer, &headers(all)).is_ok()
}

#[test]
fn compares_scheme_host_and_port() {
    let policy = policy(&["https://app.example", "http://[::1]:3000"]);
    let allows = |origin| is_allowed(&policy, UNTRUSTED, &[("origin", origin)]);
    for good in [
        "https://app.example",
        "https://APP.example",
        "https://app.example:443",
        "http://[::1]:3000",
        "http://[0:0:0:0:0:0:0:1]:3000",
        "http://[0::1]:3000",
    ] {
        assert!(allows(good), "{good}");
    }
    for bad in [
        "http://app.example",
        "https://app.example:8443",
        "https://evil.app.example",
        "https://app.example.evil",
        "http://[::1]",
        "http://[::2]:3000",
        "http://::1:3000",
        "https://app.example.",
        "null",
        "",
        "app.example",
    ] {
        assert!(!allows(bad), "{bad}");
    }
}

#[test]
fn allows_requests_without_origin() {
    let policy = policy(&["https://app.example"]);
    assert_eq!(policy.check(None, &HeaderMap::new()), Ok(Page::None));
    let mut two = headers(&[("origin", "https://app.example")]);
    two.append(ORIGIN, HeaderValue::from_static("https://app.example"));
    assert!(policy.check(None, &two).is_err());
}

#[test]
fn star_allows_every_page_as_unknown() {
    let policy = policy(&["*", "https://app.example", "null"]);
    for (origin, known) in [
        ("https://app.example", true),
        ("https://other.example", false),
        ("null", false),
        ("nonsense", false),
    ] {
        let headers = headers(&[("origin", origin)]);
        let page = policy.check(None, &headers).unwrap();
        assert_eq!(matches!(page, Page::Known(_)), known, "{origin}");
    }
}

#[test]
fn own_origin_is_always_allowed() {
    let policy = policy(&["https://app.example"]);
    for (host, origin, expected) in [
        ("127.0.0.1:3000", "http://127.0.0.1:3000", true),
        ("[::1]:3000", "http://[::1]:3000", true),
        ("[0:0::1]:3000", "http://[::1]:3000", true),
        ("LocalHost:3000", "http://localhost:3000", true),
        ("chain.example", "http://chain.example", true),
        ("chain.example:80", "http://chain.example", true),
        ("chain.example", "http://chain.example:80", true),
        // A proxy terminates TLS.
        ("chain.example", "https://chain.example", true),
        ("chain.example:8443", "https://chain.example:8443", true),
        ("chain.example:443", "https://chain.example", true),
        ("chain.example", "https://chain.example:8443", false),
        ("chain.example:3000", "http://chain.example", false),
        ("chain.example", "http://evil.chain.example", false),
        ("chain.example", "http://chain.example.evil", false),
        ("chain.example", "http://chain.example/page", false),
        ("chain.example", "http://user@chain.example", false),
        ("chain.example", "ws://chain.example", false),
        ("chain.example", "file://chain.example", false),
        ("null", "null", false),
        ("", "null", false),
        ("", "http://", false),
        ("chain.example:x", "http://chain.example:x", false),
    ] {
        let found = is_allowed(&policy, UNTRUSTED, &[("host", host), ("origin", origin)]);
        assert_eq!(found, expected, "Host {host:?}, Origin {origin:?}");
    }
    let twice = [
        ("host", "evil.example"),
        ("host", "chain.example"),
        ("origin", "http://evil.example"),
    ];
    assert!(!is_allowed(&policy, UNTRUSTED, &twice));
}

#[test]
fn trusts_forwarded_hosts_of_trusted_proxies_only() {
    let policy = policy(&["https://app.example"]);
    let request = |peer, forwarded: &[(&'static str, &'static str)]| {
        let mut all = vec![
            ("host", "gateway:3000"),
            ("origin", "https://chain.example"),
        ];
        all.extend_from_slice(forwarded);
        is_allowed(&policy, peer, &all)
    };
    let host = ("x-forwarded-host", "chain.example");
    assert!(!request(PROXY, &[]));
    assert!(request(PROXY, &[host]));
    assert!(!request(UNTRUSTED, &[host]));
    // A value forged by the client, before the one that the proxy added.
    let forged = ("x-forwarded-host", "chain.example, other.example");
    assert!(!request(PROXY, &[forged]));
    // Two proxies, each of which added a value.
    let hops = ("x-forwarded-for", "198.51.100.1, 10.0.0.2");
    assert!(request(
        PROXY,
        &[hops, ("x-forwarded-host", "chain.example, inner")]
    ));
    assert!(!request(
        PROXY,
        &[hops, ("x-forwarded-host", "chain.example, outer, inner")]
    ));
}

#[test]
fn forwarded_tls_rejects_http_origin() {
    let policy = policy(&[]);
    for (peer, proto, origin, expected) in [
        (PROXY, "https", "https://chain.example", true),
        (PROXY, "HTTPS", "https://chain.example", true),
        (PROXY, "wss", "https://chain.example", true),
        (PROXY, "https", "http://chain.example", false),
        (PROXY, "http", "http://chain.example", true),
        (PROXY, "ws", "http://chain.example", true),
        // An earlier proxy terminates TLS, so this one reports http.
        (PROXY, "http", "https://chain.example", true),
        (UNTRUSTED, "http", "https://chain.example", true),
    ] {
        let request = [
            ("host", "chain.example"),
            ("origin", origin),
            ("x-forwarded-proto", proto),
        ];
        let found = is_allowed(&policy, peer, &request);
        assert_eq!(found, expected, "{peer} {proto} {origin}");
    }
}

#[test]
fn listed_hosts_reject_rebound_pages() {
    let policy = policy_at(&[], &["chain.example"]);
    for (host, origin, expected) in [
        ("chain.example:3000", "http://chain.example:3000", true),
        ("CHAIN.example", "https://chain.example", true),
        ("127.0.0.1:3000", "http://127.0.0.1:3000", true),
        ("[::1]:3000", "http://[::1]:3000", true),
        ("localhost:3000", "http://localhost:3000", true),
        ("evil.example:3000", "http://evil.example:3000", false),
        ("chain.example.evil", "http://chain.example.evil", false),
    ] {
        let found = is_allowed(&policy, UNTRUSTED, &[("host", host), ("origin", origin)]);
        assert_eq!(found, expected, "{host}");
    }
}

#[test]
fn rejection_names_origin_and_key_truncated() {
    let long = format!("https://{}.example", "x".repeat(1_000));
    let mut headers = headers(&[("host", "gateway:3000")]);
    headers.insert(ORIGIN, HeaderValue::from_str(&long).unwrap());
    let rejected = policy(&[]).check(None, &headers).unwrap_err();
    let text = rejected.to_string();
    for part in ["https://xxx", "\"gateway:3000\"", "gateway.allowed_origins"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.len() < 400, "{text}");
}

#[test]
fn invalid_origin_error_names_it() {
    for bad in [
        "app.example",
        "https://",
        "https://a.example/page",
        "https://a:x",
        "https://[::1",
        "https://[::x]",
        "https://a[::1]",
    ] {
        let error = OriginPolicy::new(&[bad.to_owned()], Site::default()).unwrap_err();
        assert!(error.to_string().contains(bad), "{error}");
    }
}
