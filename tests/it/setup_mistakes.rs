//! Mistakes in a first setup: a wrong database, a missing privilege, a wrong URL or range.

use std::path::Path;

use chaincast_dev::{Anvil, AnvilOptions, ChainControl, Node};
use nix::sys::signal::Signal;
use sqlx::{Connection, Executor, PgConnection, migrate::Migrator};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{BareGateway, Server, TempDir, eventually, fresh_database, run_to_end};

fn config(dir: &TempDir, database: &str, more: &str) -> String {
    let file = dir.path().join("chaincast.toml");
    let text = format!(
        "[server]\nport = 0\n[database]\nurl = {database:?}\n[[chains]]\nchain_id = 31337\n\
         rpc_url = \"http://127.0.0.1:9\"\n{more}"
    );
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

async fn connect(database: &str) -> PgConnection {
    PgConnection::connect(database).await.unwrap()
}

async fn tables(database: &mut PgConnection) -> Vec<String> {
    let query = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    sqlx::query_scalar(query).fetch_all(database).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_foreign_tables_before_any_write() {
    let (database, dir) = (fresh_database().await, TempDir::new("foreign"));
    let mut connection = connect(&database).await;
    let others = "CREATE TABLE blocks (id int); CREATE TABLE orders (id int)";
    connection.execute(others).await.unwrap();
    let file = config(&dir, &database, "");
    for command in ["check", "migrate", "serve"] {
        let (code, output, error) = run_to_end(&[command, "--config", &file]).await;
        let all = output + &error;
        assert_eq!(code, 1, "{all}");
        for part in [
            "blocks in schema \"public\"",
            "search_path",
            "nothing was written",
        ] {
            assert!(all.contains(part), "{command}: {part} in {all}");
        }
        assert!(!all.contains("orders"), "{all}");
        assert_eq!(
            tables(&mut connection).await,
            ["blocks", "orders"],
            "{command}"
        );
    }
    // As the message suggests.
    connection.execute("CREATE SCHEMA chaincast").await.unwrap();
    let separator = if database.contains('?') { '&' } else { '?' };
    let own = format!("{database}{separator}options[search_path]=chaincast");
    let file = config(&dir, &own, "");
    let (code, _, error) = run_to_end(&["migrate", "--config", &file]).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(tables(&mut connection).await, ["blocks", "orders"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_foreign_tables_after_first_migration() {
    let (database, dir) = (fresh_database().await, TempDir::new("foreign"));
    let mut connection = connect(&database).await;
    let name = "0001_channels.sql";
    let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    std::fs::copy(released.join(name), dir.path().join(name)).unwrap();
    let first = Migrator::new(dir.path()).await.unwrap();
    first.run(&mut connection).await.unwrap();
    connection
        .execute("CREATE TABLE blocks (id int)")
        .await
        .unwrap();
    let file = config(&dir, &database, "");
    for command in ["check", "serve"] {
        let (code, output, error) = run_to_end(&[command, "--config", &file]).await;
        let all = output + &error;
        assert_eq!(code, 1, "{all}");
        for part in [
            "blocks in schema",
            "_sqlx_migrations, meta, channels, updates",
        ] {
            assert!(all.contains(part), "{command}: {part} in {all}");
        }
    }
    // The migration completes once the other tables are removed.
    connection.execute("DROP TABLE blocks").await.unwrap();
    let (code, _, error) = run_to_end(&["migrate", "--config", &file]).await;
    assert_eq!(code, 0, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_grant_for_missing_create_privilege() {
    let (database, dir) = (fresh_database().await, TempDir::new("grant"));
    let mut connection = connect(&database).await;
    let setup = "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE maker LOGIN";
    connection.execute(setup).await.unwrap();
    let theirs = database.replace("postgres://postgres@", "postgres://maker@");
    assert_ne!(theirs, database);
    let file = config(&dir, &theirs, "");
    let grant = "GRANT CREATE ON SCHEMA \"public\" TO \"maker\"";
    for command in ["check", "migrate", "serve"] {
        let (code, output, error) = run_to_end(&[command, "--config", &file]).await;
        let all = output + &error;
        assert_eq!(code, 1, "{all}");
        assert!(all.contains(grant), "{command}: {all}");
    }
    assert!(tables(&mut connection).await.is_empty());
    connection.execute(grant).await.unwrap();
    let (code, _, error) = run_to_end(&["migrate", "--config", &file]).await;
    assert_eq!(code, 0, "{error}");
}

/// The lowest stored block of the chain.
async fn first_block(database: &str) -> Option<i64> {
    let mut connection = connect(database).await;
    let query = "SELECT start_block FROM chains WHERE head_number IS NOT NULL";
    let found = sqlx::query_scalar(query).fetch_optional(&mut connection);
    found.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_adds_demo_to_chain_indexed_from_later_block() {
    let dir = TempDir::new("dev-demo");
    let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
    let url = anvil.http_url();
    let control = ChainControl::new(Node::connect(&url).unwrap());
    control.mine(200).await.unwrap();
    let data = dir.path().join("data");
    let database = fresh_database().await;
    let arguments = [
        "dev",
        "--port",
        "0",
        "--data-dir",
        data.to_str().unwrap(),
        "--rpc-url",
        &url,
        "--database-url",
        &database,
    ];
    let mut server = Server::start(&[&arguments[..], &["--no-demo"]].concat()).await;
    let output = eventually("the banner", || async {
        let output = server.output();
        output.contains("Ctrl-C stops").then_some(output)
    })
    .await;
    assert!(
        output.contains("--no-demo: only blocks are indexed"),
        "{output}"
    );
    for wrong in ["not an anvil", "price:ETH"] {
        assert!(!output.contains(wrong), "{wrong} in {output}");
    }
    let first = eventually("a block is stored", || first_block(&database)).await;
    assert!(first > 0);
    server.signal(Signal::SIGINT);
    assert!(server.ended().await.success());

    let mut server = Server::start(&arguments).await;
    let output = eventually("the banner", || async {
        let output = server.output();
        output.contains("Ctrl-C stops").then_some(output)
    })
    .await;
    assert!(
        output.contains("price:ETH") && !output.contains("--no-demo"),
        "{output}"
    );
    assert_eq!(first_block(&database).await, Some(first));
    server.signal(Signal::SIGINT);
    assert!(server.ended().await.success());
    anvil.stop().await.unwrap();
}

/// A web server of HTTP/1.0 that answers any request with a page.
async fn web_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                let Ok(1..) = client.read(&mut bytes).await else {
                    return;
                };
                let page = "HTTP/1.0 501 Unsupported method\r\nContent-Type: text/html\r\n\r\n\
                            <!DOCTYPE html><html><body>It works!</body></html>";
                client.write_all(page.as_bytes()).await.ok();
                client.shutdown().await.ok();
                while client.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn names_web_server_in_place_of_another_server() {
    let (port, dir) = (web_server().await, TempDir::new("web"));
    let at = format!("127.0.0.1:{port}");
    let redis = format!("[bus]\nkind = \"redis\"\nredis_url = \"redis://{at}\"\n");
    let file = config(&dir, &format!("postgres://me@{at}/x"), &redis);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("127.0.0.1:9", &at)).unwrap();
    let (code, output, _) = run_to_end(&["check", "--config", &file]).await;
    assert_eq!(code, 1, "{output}");
    for (what, part) in [
        ("database: ", "is not Postgres"),
        ("redis: ", "does not speak the Redis protocol"),
        (
            "chain 31337: ",
            "HTTP status 501 Not Implemented with a web page (HTML)",
        ),
    ] {
        let found = output.lines().find(|line| line.contains(part));
        let line = found.unwrap_or_else(|| panic!("{part} in {output}"));
        assert!(line.contains(what) && line.contains(&at), "{line}");
    }

    let url = format!("http://{at}");
    let secure = format!("https://{at}");
    for (arguments, part) in [
        (
            &["watch", "--url", &url, "new-block"][..],
            "is this the URL of a chaincast server?",
        ),
        (&["health", "--url", &url], "a web page (HTML)"),
        (&["health", "--url", &secure], "does not speak TLS"),
    ] {
        let (code, output, error) = run_to_end(arguments).await;
        assert_eq!(code, 1, "{output}{error}");
        assert!(error.contains(part) && error.contains(&at), "{error}");
        assert!(!error.contains("It works"), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_chaincast_in_place_of_a_node() {
    let bare = BareGateway::start("").await;
    let dir = TempDir::new("itself");
    let file = config(&dir, "postgres://127.0.0.1:9/x", "");
    let at = format!("127.0.0.1:{}", bare.server.port());
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("http://127.0.0.1:9", &format!("http://{at}"));
    std::fs::write(&file, text).unwrap();
    let (code, output, error) = run_to_end(&["check", "--config", &file]).await;
    assert_eq!(code, 1, "{output}{error}");
    assert!(output.contains("is this the URL of a node?"), "{output}");

    // A range that ends before it begins is rejected, as for candles.
    let url = bare.server.url();
    let path = "api/v1/contracts/usdc/events?from_block=9&to_block=3";
    let answer = reqwest::get(format!("{url}/{path}")).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("to_block"));
    bare.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn indexer_reports_that_it_has_no_gateway() {
    let (database, dir) = (fresh_database().await, TempDir::new("indexer"));
    let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
    let file = config(&dir, &database, "");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("http://127.0.0.1:9", &anvil.http_url());
    std::fs::write(&file, text).unwrap();
    let server = Server::start(&["serve", "--role", "indexer", "--config", &file]).await;
    for path in ["/", "/realtime/sse", "/realtime"] {
        let answer = reqwest::get(format!("{}{path}", server.url()))
            .await
            .unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("this process has no gateway"), "{text}");
    }
    // A server may be given without a scheme, as for `watch`.
    let at = format!("127.0.0.1:{}", server.port());
    let (code, output, error) = run_to_end(&["health", "--alive", "--url", &at]).await;
    assert_eq!(code, 0, "{output}{error}");
    server.stop().await;
    anvil.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jwt_without_subject_names_its_option() {
    let (code, _, error) = run_to_end(&["token", "--sub", ""]).await;
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("--sub is empty"), "{error}");
}
