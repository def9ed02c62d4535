use std::{path::PathBuf, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
};

use super::*;
use chaincast_base::Secret;
use chaincast_protocol::{Channel, now_ms};
use chaincast_testkit::test_dir::TestDir;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn hs256() -> AuthConfig {
    AuthConfig {
        secret: Secret::new(SECRET),
        ..AuthConfig::default()
    }
}

fn vectors(algorithm: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("testdata/vectors.json")).unwrap();
    all[algorithm].clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn sign(claims: Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

fn now_secs() -> i64 {
    now_ms() / 1_000
}

async fn verified(config: &AuthConfig, token: &str) -> Result<Identity, AuthError> {
    Authenticator::new(config).unwrap().verify(token).await
}

fn refused(config: &AuthConfig) -> String {
    match Authenticator::new(config) {
        Ok(_) => panic!("{config:?} was accepted"),
        Err(error) => error.to_string(),
    }
}

fn file(dir: &TestDir, name: &str, content: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[tokio::test]
async fn minted_jwt_verifies_with_its_claims() {
    let config = AuthConfig {
        issuer: Some("us".to_owned()),
        audience: Some("chaincast".to_owned()),
        leeway_secs: 5,
        ..hs256()
    };
    let request = TokenRequest {
        sub: "alice".to_owned(),
        role: Some("admin".to_owned()),
        channels: Some(vec!["price:*".to_owned()]),
        publish: Some(vec!["room:*".to_owned()]),
        ttl: Duration::from_secs(60),
    };
    let token = mint(&config, &request).unwrap();
    let alice = verified(&config, &token).await.unwrap();
    assert_eq!(alice.sub, "alice");
    assert!(alice.is_admin());
    assert!(!alice.can_subscribe(&Channel::NewBlock(None)));
    let left = alice.expires_at_ms - now_ms();
    assert!((62_000..=65_000).contains(&left), "{left}");
}

#[tokio::test]
async fn each_invalid_claim_has_its_error() {
    let config = AuthConfig {
        issuer: Some("us".to_owned()),
        audience: Some("chaincast".to_owned()),
        ..hs256()
    };
    let later = now_secs() + 60;
    let good = json!({"sub":"a","exp":later,"iss":"us","aud":"chaincast"});
    assert!(verified(&config, &sign(good.clone())).await.is_ok());
    let with = |key: &str, value: Value| {
        let mut claims = good.clone();
        claims[key] = value;
        claims
    };
    let without = |key: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(key);
        claims
    };
    let claim = |name: &str| AuthError::Claim(name.to_owned());
    for (claims, wrong) in [
        (with("exp", json!(now_secs() - 2)), AuthError::Expired),
        (with("exp", json!(now_secs())), AuthError::Expired),
        (with("nbf", json!(later)), AuthError::NotYetValid),
        (with("iss", json!("them")), AuthError::Issuer),
        (with("aud", json!(["other"])), AuthError::Audience),
        (without("exp"), claim("exp")),
        (without("sub"), claim("sub")),
        (without("iss"), claim("iss")),
        (without("aud"), claim("aud")),
        (with("sub", json!("")), claim("sub")),
        (with("sub", json!("x".repeat(129))), claim("sub")),
        (with("sub", json!("a\nb")), claim("sub")),
    ] {
        let outcome = verified(&config, &sign(claims.clone())).await;
        assert_eq!(outcome.unwrap_err(), wrong, "{claims}");
    }
    assert!(
        verified(&config, &sign(with("channels", json!("price:*"))))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn rejects_malformed_and_forged_jwts() {
    let config = hs256();
    let good = sign(json!({"sub":"a","exp":now_secs() + 60}));
    let (head, signature) = good.rsplit_once('.').unwrap();
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwiZXhwIjo5OTk5OTk5OTk5fQ.";
    for bad in ["x", "a.b.c", "..", unsigned, head, &"x".repeat(9_000)] {
        assert!(verified(&config, bad).await.is_err(), "{bad:?}");
    }
    let (body, last) = signature.split_at(signature.len() - 1);
    let forged = format!("{head}.{}{last}", body.chars().rev().collect::<String>());
    assert_eq!(
        verified(&config, &forged).await.unwrap_err(),
        AuthError::Signature
    );
    // The configuration chooses the algorithm, never the JWT.
    let other = text(&vectors("RS256")["token"]).to_owned();
    assert_eq!(
        verified(&config, &other).await.unwrap_err(),
        AuthError::Algorithm
    );
}

#[tokio::test]
async fn verifies_each_algorithm_from_pem_and_key_set() {
    let dir = TestDir::new("auth-keys");
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let vector = vectors(algorithm);
        let token = text(&vector["token"]);
        let pem = file(&dir, &format!("{algorithm}.pem"), text(&vector["pem"]));
        let from_pem = AuthConfig {
            algorithm: algorithm.to_owned(),
            public_key_file: Some(pem),
            ..AuthConfig::default()
        };
        let alice = verified(&from_pem, token).await.unwrap();
        assert_eq!((alice.sub.as_str(), alice.is_admin()), ("alice", true));

        // Keys of other kinds in the same set are ignored.
        let others = json!({"kty":"future","kid":"es256-1"});
        let keys = json!({"keys":[others, vectors("RS256")["jwk"], vectors("ES256")["jwk"], vectors("EdDSA")["jwk"]]});
        let set = file(&dir, &format!("{algorithm}.jwks"), &keys.to_string());
        let from_set = AuthConfig {
            algorithm: algorithm.to_owned(),
            jwks_file: Some(set),
            ..AuthConfig::default()
        };
        assert_eq!(verified(&from_set, token).await.unwrap().sub, "alice");
        let bent = format!(
            "{}A{}",
            &token[..token.len() - 4],
            &token[token.len() - 3..]
        );
        if bent != token {
            assert_eq!(
                verified(&from_set, &bent).await.unwrap_err(),
                AuthError::Signature
            );
        }
    }
}

/// Serves the key set in `keys`, and counts the requests.
async fn issuer(keys: watch::Receiver<Value>) -> (String, watch::Receiver<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks?key=hidden", listener.local_addr().unwrap());
    let (requests, count) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            requests.send_modify(|count| *count += 1);
            let body = keys.borrow().to_string();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, count)
}

#[tokio::test]
async fn invented_key_ids_cause_no_further_fetch() {
    let vector = vectors("ES256");
    let (_keys, served) = watch::channel(json!({"keys":[vector["jwk"]]}));
    let (url, requests) = issuer(served).await;
    let config = AuthConfig {
        algorithm: "ES256".to_owned(),
        jwks_url: Some(Secret::new(url)),
        ..AuthConfig::default()
    };
    let auth = Authenticator::new(&config).unwrap();
    auth.load().await.unwrap();
    assert!(auth.verify(text(&vector["token"])).await.is_ok());
    let header = "eyJhbGciOiJFUzI1NiIsImtpZCI6Im5vcGUifQ"; // {"alg":"ES256","kid":"nope"}
    let (_, rest) = text(&vector["token"]).split_once('.').unwrap();
    for _ in 0..5 {
        let outcome = auth.verify(&format!("{header}.{rest}")).await;
        assert_eq!(outcome.unwrap_err(), AuthError::UnknownKey);
    }
    assert_eq!(*requests.borrow(), 1);
}

#[tokio::test]
async fn fetch_survives_its_canceled_client() {
    let vector = vectors("ES256");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let config = AuthConfig {
        algorithm: "ES256".to_owned(),
        jwks_url: Some(Secret::new(url)),
        ..AuthConfig::default()
    };
    let auth = std::sync::Arc::new(Authenticator::new(&config).unwrap());
    let token = text(&vector["token"]).to_owned();
    let first = tokio::spawn({
        let (auth, token) = (auth.clone(), token.clone());
        async move { auth.verify(&token).await.map(drop) }
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let mut request = [0; 4_096];
    assert_ne!(stream.read(&mut request).await.unwrap(), 0);
    let body = json!({"keys":[vector["jwk"]]}).to_string();
    let length = body.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
    let second = tokio::time::timeout(Duration::from_secs(120), auth.verify(&token)).await;
    assert!(second.unwrap().is_ok());
}

#[tokio::test]
async fn key_set_error_hides_the_urls_secrets() {
    let (_keys, served) = watch::channel(json!({"keys":[]}));
    let (url, _requests) = issuer(served).await;
    let config = AuthConfig {
        algorithm: "ES256".to_owned(),
        jwks_url: Some(Secret::new(url)),
        ..AuthConfig::default()
    };
    let error = Authenticator::new(&config).unwrap().load().await;
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("gateway.auth.jwks_url: cannot use the key set at http://127.0.0.1"));
    assert!(
        error.contains("no key for ES256") && !error.contains("hidden"),
        "{error}"
    );
}

#[tokio::test]
async fn mode_decides_whether_a_jwt_is_needed() {
    let token = sign(json!({"sub":"a","exp":now_secs() + 60}));
    let with = |mode| Authenticator::new(&AuthConfig { mode, ..hs256() }).unwrap();

    let optional = with(AuthMode::Optional);
    assert_eq!(optional.identify(None).await, Ok(None));
    assert_eq!(optional.identify(Some("")).await, Ok(None));
    assert!(optional.identify(Some(&token)).await.unwrap().is_some());
    assert!(optional.identify(Some("bad")).await.is_err());

    let required = with(AuthMode::Required);
    assert_eq!(required.identify(None).await, Err(AuthError::Missing));
    assert!(required.identify(Some(&token)).await.unwrap().is_some());

    let off = with(AuthMode::Off);
    assert_eq!(off.identify(Some("bad")).await, Ok(None));
    assert_eq!(off.verify(&token).await, Err(AuthError::Off));
    assert_eq!(off.require_keys(), Err(AuthError::Off));

    let keyless = Authenticator::new(&AuthConfig::default()).unwrap();
    assert_eq!(keyless.identify(None).await, Ok(None));
    assert_eq!(keyless.identify(Some(&token)).await, Err(AuthError::NoKey));
    assert_eq!(keyless.require_keys(), Err(AuthError::NoKey));
    assert_eq!(required.require_keys(), Ok(()));
}

#[test]
fn configuration_error_names_its_key_and_no_secret() {
    let dir = TestDir::new("auth-bad");
    let short = AuthConfig {
        secret: Secret::new("short-secret"),
        ..hs256()
    };
    assert!(refused(&short).starts_with("gateway.auth.secret: 12 bytes are too short"));
    assert!(!refused(&short).contains("short-secret"));
    let cases = [
        (
            AuthConfig {
                algorithm: "none".to_owned(),
                ..hs256()
            },
            "gateway.auth.algorithm: \"none\"",
        ),
        (
            AuthConfig {
                algorithm: "RS256".to_owned(),
                ..hs256()
            },
            "gateway.auth.secret: algorithm RS256 needs a public key",
        ),
        (
            AuthConfig {
                jwks_file: Some("x".into()),
                ..hs256()
            },
            "gateway.auth.jwks_file: secret is also set",
        ),
        (
            AuthConfig {
                mode: AuthMode::Required,
                ..AuthConfig::default()
            },
            "gateway.auth.mode: required needs a key",
        ),
        (
            AuthConfig {
                algorithm: "ES256".to_owned(),
                public_key_file: Some("/nowhere/key.pem".into()),
                ..AuthConfig::default()
            },
            "gateway.auth.public_key_file: cannot read /nowhere/key.pem",
        ),
        (
            AuthConfig {
                algorithm: "ES256".to_owned(),
                public_key_file: Some(file(&dir, "not.pem", "hello")),
                ..AuthConfig::default()
            },
            "gateway.auth.public_key_file:",
        ),
        (
            AuthConfig {
                algorithm: "ES256".to_owned(),
                jwks_url: Some(Secret::new("ftp://x")),
                ..AuthConfig::default()
            },
            "gateway.auth.jwks_url: not an http(s) URL",
        ),
        (
            AuthConfig {
                leeway_secs: 100_000,
                ..hs256()
            },
            "gateway.auth.leeway_secs: 100000",
        ),
    ];
    for (config, expected) in cases {
        let error = refused(&config);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn mint_needs_a_secret_and_a_subject() {
    let config = AuthConfig {
        algorithm: "RS256".to_owned(),
        ..AuthConfig::default()
    };
    let request = TokenRequest {
        sub: "alice".to_owned(),
        ..TokenRequest::default()
    };
    let error = mint(&config, &request).unwrap_err().to_string();
    assert!(error.contains("use the issuer"), "{error}");
    assert!(mint(&hs256(), &TokenRequest::default()).is_err());
}

#[test]
fn only_a_bearer_header_has_a_token() {
    let header =
        |value: &'static str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
    assert_eq!(bearer_token(&header("Bearer abc")), Some("abc"));
    assert_eq!(bearer_token(&header("bearer  abc ")), Some("abc"));
    for none in ["Basic abc", "Bearer", "Bearer  "] {
        assert_eq!(bearer_token(&header(none)), None, "{none}");
    }
    assert_eq!(bearer_token(&HeaderMap::new()), None);
}

#[tokio::test]
async fn rejects_any_critical_extension() {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let claims = json!({"sub":"a","exp":now_secs() + 60});
    for crit in [json!(["b64"]), json!(["exp"]), json!([])] {
        let mut header = Header::new(Algorithm::HS256);
        header.crit = serde_json::from_value(crit).unwrap();
        let token = encode(&header, &claims, &key).unwrap();
        let refused = verified(&hs256(), &token).await.unwrap_err();
        assert_eq!(refused, AuthError::Critical, "{token}");
    }
}

#[tokio::test]
async fn rotated_key_is_fetched_at_the_configured_rate() {
    let vector = vectors("ES256");
    let mut old = vector["jwk"].clone();
    old["kid"] = "older".into();
    let (keys, served) = watch::channel(json!({"keys":[old]}));
    let (url, requests) = issuer(served).await;
    let with = |jwks_reload_ms| AuthConfig {
        algorithm: "ES256".to_owned(),
        jwks_url: Some(Secret::new(url.clone())),
        jwks_reload_ms,
        ..AuthConfig::default()
    };
    let (rare, often) = (with(600_000), with(0));
    let (rare, often) = (
        Authenticator::new(&rare).unwrap(),
        Authenticator::new(&often).unwrap(),
    );
    rare.load().await.unwrap();
    often.load().await.unwrap();
    let token = text(&vector["token"]);
    assert_eq!(often.verify(token).await, Err(AuthError::UnknownKey));
    keys.send_replace(json!({"keys":[vector["jwk"]]}));
    assert_eq!(often.verify(token).await.unwrap().sub, "alice");
    assert_eq!(rare.verify(token).await, Err(AuthError::UnknownKey));
    assert_eq!(*requests.borrow(), 4, "two loads, two reloads of one");
}

#[tokio::test]
async fn unreachable_key_set_is_not_the_jwts_fault() {
    let vector = vectors("ES256");
    let (keys, served) = watch::channel(Value::Null);
    let (url, _requests) = issuer(served).await;
    let auth = Authenticator::new(&AuthConfig {
        algorithm: "ES256".to_owned(),
        jwks_url: Some(Secret::new(url)),
        jwks_reload_ms: 0,
        ..AuthConfig::default()
    })
    .unwrap();
    assert!(auth.load().await.is_err());
    let token = text(&vector["token"]);
    assert_eq!(auth.verify(token).await, Err(AuthError::Unavailable));
    assert_eq!(
        auth.identify(None).await,
        Ok(None),
        "public channels need none"
    );
    keys.send_replace(json!({"keys":[vector["jwk"]]}));
    assert!(auth.verify(token).await.is_ok());
}

#[tokio::test]
async fn empty_jwt_counts_as_none() {
    let with = |mode| Authenticator::new(&AuthConfig { mode, ..hs256() }).unwrap();
    for mode in [AuthMode::Optional, AuthMode::Off] {
        assert_eq!(with(mode).identify(Some("")).await, Ok(None));
        assert_eq!(with(mode).renew("").await, Ok(None));
    }
    let required = with(AuthMode::Required);
    assert_eq!(required.identify(Some("")).await, Err(AuthError::Missing));
    assert_eq!(required.renew("").await, Err(AuthError::Missing));
}
