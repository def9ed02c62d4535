//! TLS of outgoing connections, with certificates of a private authority.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    time::Duration,
};

use chaincast_dev::PrivatePostgres;
use chaincast_testkit::{
    faulty_node::{BlockTree, Contents, FaultyNode},
    venue::{Venue, VenueProtocol},
};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    processes::{blocks_arrive, gateway_beside, wait_for_subscribers},
    support::{
        Authority, BareGateway, Issuer, Redis, Server, TempDir, TlsProxy, World, WsClient,
        eventually, fresh_database, run_to_end, run_to_end_with,
    },
};

/// A Postgres with TLS, on a loopback address that no other test uses.
struct TlsPostgres {
    postgres: PrivatePostgres,
    address: String,
    dir: TempDir,
    authority: Authority,
}

impl TlsPostgres {
    async fn start() -> Self {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = format!("127.9.{high}.{low}");
        let dir = TempDir::new("secure-postgres");
        let wait_for_subscribers = format!("listen_addresses={address}");
        let postgres = PrivatePostgres::start_with(dir.path(), &[&wait_for_subscribers])
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
            let returned: String = sqlx::query_scalar("SHOW ssl")
                .fetch_one(&mut connection)
                .await
                .ok()?;
            (returned == to).then_some(())
        })
        .await;
    }

    /// A configuration whose database URL is TCP with these parameters.
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

    /// The error of `migrate`, which must fail.
    async fn migrate_error(&self, parameters: &str) -> String {
        let config = self.config(parameters);
        let (code, _, error) = run_to_end(&["migrate", "--config", &config]).await;
        assert_eq!(code, 1, "{parameters}: {error}");
        assert!(error.contains(&self.address), "{parameters}: {error}");
        assert!(!error.contains("panicked"), "{parameters}: {error}");
        error
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connects_to_postgres_with_a_private_ca() {
    let secure = TlsPostgres::start().await;
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
async fn explains_invalid_postgres_certificate() {
    let secure = TlsPostgres::start().await;
    let right = secure.authority.write(secure.dir.path(), "ca.pem");
    let wrong = Authority::new("another authority").write(secure.dir.path(), "wrong.pem");
    let (right, wrong) = (right.display(), wrong.display());
    for mode in ["verify-ca", "verify-full"] {
        for parameters in [
            format!("sslmode={mode}&sslrootcert={wrong}"),
            format!("sslmode={mode}"),
        ] {
            let error = secure.migrate_error(&parameters).await;
            assert!(error.contains("not signed by an authority"), "{error}");
            assert!(error.contains("sslrootcert"), "{error}");
        }
    }
    // A certificate file as such.
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
        let error = secure.migrate_error(&parameters).await;
        assert!(error.contains("for another name"), "{error}");
        let says_so = error.contains("checks the host name with sslmode=verify-ca");
        assert_eq!(says_so, mode == "verify-ca", "{error}");
    }
    secure.set_ssl("off").await;
    let error = secure
        .migrate_error(&format!("sslmode=verify-full&sslrootcert={right}"))
        .await;
    assert!(error.contains("does not support TLS"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_arrive_over_redis_with_tls() {
    let dir = TempDir::new("secure-redis");
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
    wait_for_subscribers(&redis, Some(&ca), 2).await;
    let started = tokio::time::Instant::now();
    blocks_arrive(&world, &gateway).await;
    assert!(
        started.elapsed() < Duration::from_secs(50),
        "the updates came by polling"
    );
    gateway.stop().await;
    // With another authority the service runs, and `check` reports why Redis is not used.
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

/// Nodes over HTTP and WebSocket, a venue and a JWK set: each trusts the authority that `SSL_CERT_FILE` names, and no
/// other.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_venues_and_jwks_trust_system_authorities() {
    let (database, dir) = (fresh_database().await, TempDir::new("secure-web"));
    let authority = Authority::new("the right authority");
    let pair = authority.issue(&["127.0.0.1"]);
    let tree = BlockTree::new(31_337);
    tree.mine(&Contents::transfers(1, 1));
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let venue = Venue::start(VenueProtocol::Coinbase).await.unwrap();
    venue.send_price("ETH-USD", "2500");
    let issuer = Issuer::start().await;
    issuer.serve(json!({ "keys": [issuer.key("es256-1")] }));
    let secure = async |plain: &str| {
        let port: reqwest::Url = plain.parse().unwrap();
        let secured = TlsProxy::in_front_of(port.port().unwrap(), &pair).await;
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
        "JWT key:",
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
            let with_advice =
                line.contains("not signed by an authority") && line.contains("SSL_CERT_FILE");
            assert_eq!(with_advice, !good, "{line}");
        }
    }
}

/// A JWT issuer behind TLS, with this certificate.
async fn issuer_with_tls(pair: &(String, String)) -> (Issuer, TlsProxy) {
    let issuer = Issuer::start().await;
    issuer.serve(json!({ "keys": [issuer.key("es256-1")] }));
    let plain: reqwest::Url = issuer.url().parse().unwrap();
    let secured = TlsProxy::in_front_of(plain.port().unwrap(), pair).await;
    (issuer, secured)
}

/// A gateway that verifies JWTs with the keys of this URL.
async fn gateway_with_jwks(url: &str) -> BareGateway {
    let auth = format!("secret = \"\"\nalgorithm = \"ES256\"\njwks_url = {url:?}");
    BareGateway::start(&format!("[gateway.auth]\n{auth}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn verifies_jwts_with_jwks_of_a_private_ca() {
    let dir = TempDir::new("secure-issuer");
    let authority = Authority::new("the right authority");
    let (issuer, secured) = issuer_with_tls(&authority.issue(&["127.0.0.1"])).await;
    let ca = authority.write(dir.path(), "ca.pem");
    let environment = [("SSL_CERT_FILE", ca.to_str().unwrap())];
    let bare = gateway_with_jwks(&secured.url(issuer.url())).await;
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
async fn explains_invalid_issuer_certificate() {
    let dir = TempDir::new("insecure-issuer");
    let authority = Authority::new("the right authority");
    let right = authority.write(dir.path(), "ca.pem");
    let wrong = Authority::new("another authority").write(dir.path(), "wrong.pem");
    for (pair, read_ca_file, reason) in [
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
        let (issuer, secured) = issuer_with_tls(&pair).await;
        let url = secured.url(issuer.url());
        let bare = gateway_with_jwks(&url).await;
        let environment = [("SSL_CERT_FILE", read_ca_file.to_str().unwrap())];
        let issuer_url = url.strip_suffix("/jwks").unwrap();
        let parts = ["gateway.auth.jwks_url", issuer_url, reason];
        let (_, out, error) =
            run_to_end_with(&environment, &["check", "--config", bare.config()]).await;
        let line = out.lines().find(|line| line.starts_with("FAIL JWT key: "));
        let line = line.unwrap_or_else(|| panic!("{out}{error}"));
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
        // Clients without a JWT are served, and the log has the reason.
        let serve = ["serve", "--role", "gateway", "--config", bare.config()];
        let server = Server::start_with(&environment, &serve).await;
        let mut ws = WsClient::connect(&server.realtime()).await;
        ws.event("connected").await;
        let output = server.output();
        let line = output
            .lines()
            .find(|line| line.contains("JWTs are rejected until"));
        let line = line.unwrap_or_else(|| panic!("{output}"));
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
        server.stop().await;
        bare.server.stop().await;
    }
}
