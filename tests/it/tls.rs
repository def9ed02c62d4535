//! TLS to others, with certificates of a private authority.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    time::Duration,
};

use chaincast::dev::{
    PrivatePostgres,
    faulty_node::{Contents, FaultyNode, Tree},
    venue::{Speaks, Venue},
};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    processes::{blocks_arrive, gateway_beside, listen},
    support::{
        Authority, Bare, Issuer, Redis, Secured, Server, Temporary, World, WsClient, eventually,
        fresh_database, run_to_end, run_to_end_with,
    },
};

/// A Postgres with TLS, on a loopback address that nobody else uses.
struct Secure {
    postgres: PrivatePostgres,
    address: String,
    dir: Temporary,
    authority: Authority,
}

impl Secure {
    async fn start() -> Self {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = format!("127.9.{high}.{low}");
        let dir = Temporary::new("secure-postgres");
        let listen = format!("listen_addresses={address}");
        let postgres = PrivatePostgres::start_with(dir.path(), &[&listen])
            .await
            .unwrap();
        let secure = Self {
            postgres,
            address,
            dir,
            authority: Authority::new("the right authority"),
        };
        secure.present(&[&secure.address]).await;
        secure
    }

    /// Serves a certificate for these names.
    async fn present(&self, names: &[&str]) {
        let mut admin = PgConnection::connect(self.postgres.url()).await.unwrap();
        let data: String = sqlx::query_scalar("SHOW data_directory")
            .fetch_one(&mut admin)
            .await
            .unwrap();
        let owner = std::fs::metadata(&data).unwrap();
        let (certificate, key) = self.authority.issue(names);
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = Path::new(&data).join(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
            chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        self.set_ssl("on").await;
    }

    async fn set_ssl(&self, to: &str) {
        let mut admin = PgConnection::connect(self.postgres.url()).await.unwrap();
        let statement = format!("ALTER SYSTEM SET ssl = {to}");
        admin.execute(statement.as_str()).await.unwrap();
        admin.execute("SELECT pg_reload_conf()").await.unwrap();
        eventually("Postgres has read its configuration", async || {
            let mut connection = PgConnection::connect(self.postgres.url()).await.ok()?;
            let shown: String = sqlx::query_scalar("SHOW ssl")
                .fetch_one(&mut connection)
                .await
                .ok()?;
            (shown == to).then_some(())
        })
        .await;
    }

    /// A configuration whose database is reached over TCP with these parameters.
    fn config(&self, parameters: &str) -> String {
        let url = format!(
            "postgres://postgres@{}:5432/chaincast?{parameters}",
            self.address
        );
        let text = format!(
            "[server]\nport = 0\n[database]\nurl = {url:?}\n\
             [[chains]]\nchain_id = 31337\nrpc_url = \"http://127.0.0.1:9\"\n"
        );
        let file = self.dir.path().join("chaincast.toml");
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// What `migrate` says when it fails.
    async fn refused(&self, parameters: &str) -> String {
        let config = self.config(parameters);
        let (code, _, error) = run_to_end(&["migrate", "--config", &config]).await;
        assert_eq!(code, 1, "{parameters}: {error}");
        assert!(error.contains(&self.address), "{parameters}: {error}");
        assert!(!error.contains("panicked"), "{parameters}: {error}");
        error
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_reached_over_tls_with_a_private_ca() {
    let secure = Secure::start().await;
    let ca = secure.authority.write(secure.dir.path(), "ca.pem");
    let ca = ca.display();
    for mode in ["verify-ca", "verify-full"] {
        let config = secure.config(&format!("sslmode={mode}&sslrootcert={ca}"));
        let (code, _, error) = run_to_end(&["migrate", "--config", &config]).await;
        assert_eq!(code, 0, "{mode}: {error}");
        let server = Server::start(&["serve", "--role", "gateway", "--config", &config]).await;
        let mut admin = PgConnection::connect(secure.postgres.url()).await.unwrap();
        let plain: i64 = sqlx::query_scalar(
            "SELECT count(*) FILTER (WHERE NOT s.ssl) - count(*) FILTER (WHERE s.ssl) * 1000
             FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'chaincast'",
        )
        .fetch_one(&mut admin)
        .await
        .unwrap();
        assert!(plain < 0, "{mode}: {plain}");
        let ready = reqwest::get(format!("{}/api/v1/status", server.url()))
            .await
            .unwrap();
        assert_eq!(ready.status(), 200, "{mode}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_of_postgres_is_explained() {
    let secure = Secure::start().await;
    let right = secure.authority.write(secure.dir.path(), "ca.pem");
    let wrong = Authority::new("another authority").write(secure.dir.path(), "wrong.pem");
    let (right, wrong) = (right.display(), wrong.display());
    for mode in ["verify-ca", "verify-full"] {
        for parameters in [
            format!("sslmode={mode}&sslrootcert={wrong}"),
            format!("sslmode={mode}"),
        ] {
            let error = secure.refused(&parameters).await;
            assert!(error.contains("not signed by an authority"), "{error}");
            assert!(error.contains("sslrootcert"), "{error}");
        }
    }
    // The file itself.
    let config = secure.config("sslmode=verify-full&sslrootcert=/nowhere/ca.pem");
    let (code, _, error) = run_to_end(&["migrate", "--config", &config]).await;
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains("/nowhere/ca.pem") && error.contains("sslrootcert"),
        "{error}"
    );
    secure.present(&["another.example"]).await;
    // sqlx checks the name in either mode.
    for mode in ["verify-ca", "verify-full"] {
        let parameters = format!("sslmode={mode}&sslrootcert={right}");
        let error = secure.refused(&parameters).await;
        assert!(error.contains("for another name"), "{error}");
        let says_so = error.contains("checks the name with sslmode=verify-ca");
        assert_eq!(says_so, mode == "verify-ca", "{error}");
    }
    secure.set_ssl("off").await;
    let error = secure
        .refused(&format!("sslmode=verify-full&sslrootcert={right}"))
        .await;
    assert!(error.contains("does not support TLS"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_come_over_redis_with_tls() {
    let dir = Temporary::new("secure-redis");
    let authority = Authority::new("the right authority");
    let redis = Redis::with_tls(&authority.issue(&["127.0.0.1"])).await;
    let ca = authority.write(dir.path(), "ca.pem");
    let bus = format!(
        "kind = \"redis\"\nredis_url = {:?}\nredis_ca = {:?}\npoll_interval_ms = 60000",
        redis.url(),
        ca.display().to_string(),
    );
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let gateway = gateway_beside(&world, &bus).await;
    listen(&redis, Some(&ca), 2).await;
    let begun = tokio::time::Instant::now();
    blocks_arrive(&world, &gateway).await;
    assert!(
        begun.elapsed() < Duration::from_secs(50),
        "the updates came by polling"
    );
    gateway.stop().await;
    // Another authority: the service runs, and `check` says why Redis is not used.
    let wrong = Authority::new("another authority").write(dir.path(), "wrong.pem");
    let text = std::fs::read_to_string(&world.config).unwrap();
    let text = text.replace(
        &format!("{:?}", ca.display().to_string()),
        &format!("{:?}", wrong.display().to_string()),
    );
    let file = dir.path().join("wrong.toml");
    std::fs::write(&file, text).unwrap();
    let (_, out, error) = run_to_end(&["check", "--config", file.to_str().unwrap()]).await;
    let line = out
        .lines()
        .find(|line| line.contains(" redis: "))
        .unwrap_or_default();
    assert!(line.contains("bus.redis_ca"), "{out}{error}");
    assert!(line.contains("not signed by an authority"), "{out}{error}");
    world.server.stop().await;
}

/// Nodes over HTTP and WebSocket, a venue and a key set: each trusts the authority that `SSL_CERT_FILE` names, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_venues_and_key_sets_trust_the_systems_authorities() {
    let (database, dir) = (fresh_database().await, Temporary::new("secure-web"));
    let authority = Authority::new("the right authority");
    let pair = authority.issue(&["127.0.0.1"]);
    let tree = Tree::new(31_337);
    tree.mine(&Contents::transfers(1, 1));
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    let venue = Venue::start(Speaks::Coinbase).await.unwrap();
    venue.tell("ETH-USD", "2500");
    let issuer = Issuer::start().await;
    issuer.serve(json!({ "keys": [issuer.key("es256-1")] }));
    let secure = async |plain: &str| {
        let port: reqwest::Url = plain.parse().unwrap();
        let secured = Secured::before(port.port().unwrap(), &pair).await;
        (secured.url(plain), secured)
    };
    let (rpc_url, _rpc) = secure(&node.http_url()).await;
    let (ws_url, _ws) = secure(&node.ws_url()).await;
    let (venue_url, _venue) = secure(&venue.url()).await;
    let (jwks_url, _jwks) = secure(issuer.url()).await;
    assert!(rpc_url.starts_with("https://") && ws_url.starts_with("wss://"));
    assert!(venue_url.starts_with("wss://") && jwks_url.starts_with("https://"));
    let text = format!(
        "[server]\nport = 0\n[database]\nurl = {database:?}\n\
         [gateway.auth]\nmode = \"required\"\nalgorithm = \"ES256\"\njwks_url = {jwks_url:?}\n\
         [[chains]]\nchain_id = 31337\nrpc_url = {rpc_url:?}\nws_url = {ws_url:?}\n\
         [prices]\nmin_sources = 1\n[[prices.tokens]]\nsymbol = \"ETH\"\n\
         [[prices.sources]]\nkind = \"coinbase\"\ntoken = \"ETH\"\nsymbol = \"ETH-USD\"\nquote = \"USD\"\n\
         url = {venue_url:?}\n"
    );
    let config = dir.path().join("chaincast.toml");
    std::fs::write(&config, text).unwrap();
    let lines = [
        "chain 31337:",
        "chain 31337 newHeads:",
        "price ETH from coinbase",
        "token key:",
    ];
    let check = ["check", "--config", config.to_str().unwrap()];
    let right = authority.write(dir.path(), "ca.pem");
    let wrong = Authority::new("another authority").write(dir.path(), "wrong.pem");
    for (file, good) in [(right, true), (wrong, false)] {
        let environment = [("SSL_CERT_FILE", file.to_str().unwrap())];
        let (_, out, error) = run_to_end_with(&environment, &check).await;
        for start in lines {
            let line = out.lines().find(|line| line[5..].starts_with(start));
            let line = line.unwrap_or_else(|| panic!("no {start:?} in:\n{out}{error}"));
            assert_eq!(line.starts_with("ok"), good, "{line}\n{error}");
            let advised =
                line.contains("not signed by an authority") && line.contains("SSL_CERT_FILE");
            assert_eq!(advised, !good, "{line}");
        }
    }
}

/// An issuer of tokens behind TLS, with a certificate.
async fn secure_issuer(pair: &(String, String)) -> (Issuer, Secured) {
    let issuer = Issuer::start().await;
    issuer.serve(json!({ "keys": [issuer.key("es256-1")] }));
    let plain: reqwest::Url = issuer.url().parse().unwrap();
    let secured = Secured::before(plain.port().unwrap(), pair).await;
    (issuer, secured)
}

/// A gateway that checks tokens with the keys of this URL.
async fn checks_with(url: &str) -> Bare {
    let auth = format!("secret = \"\"\nalgorithm = \"ES256\"\njwks_url = {url:?}");
    Bare::start(&format!("[gateway.auth]\n{auth}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_checked_with_keys_of_a_private_ca() {
    let dir = Temporary::new("secure-issuer");
    let authority = Authority::new("the right authority");
    let (issuer, secured) = secure_issuer(&authority.issue(&["127.0.0.1"])).await;
    let ca = authority.write(dir.path(), "ca.pem");
    let environment = [("SSL_CERT_FILE", ca.to_str().unwrap())];
    let bare = checks_with(&secured.url(issuer.url())).await;
    let serve = ["serve", "--role", "gateway", "--config", bare.config()];
    let server = Server::start_with(&environment, &serve).await;
    let url = format!("{}?token={}", server.realtime(), issuer.token());
    let mut ws = WsClient::connect(&url).await;
    let user = ws.event("connected").await["data"]["user"].take();
    assert_eq!(user["sub"], "alice", "{user}");
    server.stop().await;
    bare.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_of_the_issuer_is_explained() {
    let dir = Temporary::new("insecure-issuer");
    let authority = Authority::new("the right authority");
    let right = authority.write(dir.path(), "ca.pem");
    let wrong = Authority::new("another authority").write(dir.path(), "wrong.pem");
    for (pair, authorities, reason) in [
        (
            authority.issue(&["127.0.0.1"]),
            &wrong,
            "not signed by an authority",
        ),
        (
            authority.issue(&["issuer.example"]),
            &right,
            "for another name",
        ),
        (
            authority.issue_expired(&["127.0.0.1"]),
            &right,
            "has expired",
        ),
    ] {
        let (issuer, secured) = secure_issuer(&pair).await;
        let url = secured.url(issuer.url());
        let bare = checks_with(&url).await;
        let environment = [("SSL_CERT_FILE", authorities.to_str().unwrap())];
        let place = url.strip_suffix("/jwks").unwrap();
        let parts = ["gateway.auth.jwks_url", place, reason];
        let (_, out, error) =
            run_to_end_with(&environment, &["check", "--config", bare.config()]).await;
        let line = out
            .lines()
            .find(|line| line.starts_with("FAIL token key: "));
        let line = line.unwrap_or_else(|| panic!("{out}{error}"));
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
        // It serves those without a token, and the log has the reason.
        let serve = ["serve", "--role", "gateway", "--config", bare.config()];
        let server = Server::start_with(&environment, &serve).await;
        let mut ws = WsClient::connect(&server.realtime()).await;
        ws.event("connected").await;
        let said = server.said();
        let line = said
            .lines()
            .find(|line| line.contains("tokens are refused until"));
        let line = line.unwrap_or_else(|| panic!("{said}"));
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
        server.stop().await;
        bare.server.stop().await;
    }
}
