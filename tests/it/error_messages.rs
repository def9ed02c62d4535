//! Error messages for a setup that is not right yet: what is wrong, where, and what to do.

use std::os::unix::fs::PermissionsExt;

use chaincast_dev::PrivatePostgres;
use sqlx::{Connection, Executor, PgConnection};

use crate::support::{Server, TempDir, eventually, fresh_database, run_to_end, run_to_end_with};

fn config(database: &str) -> String {
    format!(
        "[server]\nport = 0\n\n[database]\nurl = \"{database}\"\n\n[[chains]]\nchain_id = 31337\nrpc_url = \"http://127.0.0.1:1\"\n"
    )
}

/// Runs `chaincast migrate` with this configuration. Returns exit code and error.
async fn migrate(text: &str, environment: &[(&str, &str)]) -> (i32, String) {
    let dir = TempDir::new("messages");
    let file = dir.path().join("chaincast.toml");
    std::fs::write(&file, text).unwrap();
    let arguments = ["migrate", "--config", file.to_str().unwrap()];
    let (code, _, error) = run_to_end_with(environment, &arguments).await;
    (code, error)
}

async fn execute(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(statement).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_rejected_login_and_missing_database() {
    let dir = TempDir::new("login");
    let postgres = PrivatePostgres::start(dir.path()).await.unwrap();
    let url = postgres.url().to_owned();
    execute(&url, "CREATE ROLE reader LOGIN PASSWORD 'right'").await;
    execute(&url, "CREATE ROLE stranger LOGIN").await;
    let rules = "local all stranger reject\nlocal all reader scram-sha-256\nlocal all all trust\n";
    let file = postgres.home().join("data/pg_hba.conf");
    std::fs::write(&file, rules).unwrap();
    execute(&url, "SELECT pg_reload_conf()").await;
    let of = |user: &str| url.replace("postgres://postgres@", &format!("postgres://{user}@"));
    assert_ne!(of("reader"), url);
    eventually("the rules are loaded", || async {
        let refused = PgConnection::connect(&of("stranger")).await;
        refused.is_err().then_some(())
    })
    .await;

    for (given, parts) in [
        (
            of("reader:hunter2"),
            &["refused the password of user \"reader\"", "database.url"][..],
        ),
        (
            of("stranger"),
            &["refused user \"stranger\"", "pg_hba.conf"],
        ),
        (
            url.replace("/chaincast", "/elsewhere"),
            &["has no database \"elsewhere\"", "createdb elsewhere"],
        ),
    ] {
        let (code, error) = migrate(&config(&given), &[]).await;
        assert_eq!(code, 1, "{error}");
        for part in parts {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!error.contains("cannot reach"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    postgres.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_key_suggests_the_nearest_path() {
    let good = config("postgres://localhost/x");
    for (text, part) in [
        (
            "[server]\nprot = 1\n".to_owned(),
            ":2: server.prot: unknown key; did you mean server.port?",
        ),
        (
            format!("{good}max_reorg_dept = 1\n"),
            ":10: chains.0.max_reorg_dept: unknown key; did you mean chains.max_reorg_depth?",
        ),
        (
            format!("{good}[gateway.limit]\n"),
            ":10: gateway.limit: unknown key; did you mean gateway.limits?",
        ),
        (
            "[server]\nport = \"many\"\n".to_owned(),
            ":2: server.port: must be a number from 0 to 65535, not a string",
        ),
        (
            "[server]\nport = 70000\n".to_owned(),
            ":2: server.port: must be a number from 0 to 65535, not 70000",
        ),
        (
            format!("{good}concurrency = \"8\"\n"),
            ":10: chains.0.concurrency: must be a number from 1 to 256, not a string",
        ),
    ] {
        let (code, error) = migrate(&text, &[]).await;
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(part), "{part}\nis not in {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_environment_variable_with_invalid_value() {
    let good = config("postgres://localhost/x");
    for (name, value, code, part) in [
        (
            "DATABASE_URL",
            "mysql://me:hunter2@localhost/x",
            2,
            "environment variable DATABASE_URL: database.url: is not a Postgres URL",
        ),
        (
            "CHAINCAST__API__MAX_LIMIT",
            "5000",
            2,
            "environment variable CHAINCAST__API__MAX_LIMIT: api.max_limit: must be 1 to 1000",
        ),
        (
            "PORT",
            "many",
            2,
            "environment variable PORT: server.port: must be a number from 0 to 65535",
        ),
        (
            "DATABASE_URL",
            "postgres://me:hunter2@127.0.0.1:1/x",
            1,
            "check that it runs and that DATABASE_URL is right",
        ),
    ] {
        let (ended, error) = migrate(&good, &[(name, value)]).await;
        assert_eq!(ended, code, "{error}");
        assert!(error.contains(part), "{part}\nis not in {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_web_server_in_place_of_a_node() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let page =
        || async { axum::response::Html("<!DOCTYPE html><html><body>It works!</body></html>") };
    let router = axum::Router::new().fallback(page);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let database = fresh_database().await;
    let dir = TempDir::new("web-server");
    let data = dir.path().join("data");
    let file = dir.path().join("chaincast.toml");
    std::fs::write(&file, config(&database).replace("http://127.0.0.1:1", &url)).unwrap();
    let (data, file) = (data.to_str().unwrap(), file.to_str().unwrap());
    for arguments in [
        &[
            "dev",
            "--port",
            "0",
            "--data-dir",
            data,
            "--rpc-url",
            &url,
            "--database-url",
            &database,
        ][..],
        &["serve", "--config", file],
        &["check", "--config", file],
    ] {
        let (code, output, error) = run_to_end(arguments).await;
        assert_eq!(code, 1, "{output}{error}");
        let all = output + &error;
        assert!(all.contains("a web page (HTML), not JSON-RPC"), "{all}");
        assert!(!all.contains("It works") && !all.contains("<html"), "{all}");
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_first_start_leaves_no_database_running() {
    let dir = TempDir::new("failed-start");
    // As root, the database has its own system user, who cannot read this directory: its files are elsewhere.
    let closed = dir.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    let data = closed.join("data");
    let arguments = [
        "dev",
        "--port",
        "0",
        "--data-dir",
        data.to_str().unwrap(),
        "--rpc-url",
        "http://127.0.0.1:1",
    ];
    let (code, output, error) = run_to_end(&arguments).await;
    assert_eq!(code, 1, "{output}{error}");
    assert!(error.contains("cannot reach the node"), "{error}");
    assert!(!data.join("postgres.path").exists());
    assert!(!data.join("postgres").exists());
    let log = output + &error;
    for word in log.split(['"', ' ', '=']) {
        if word.starts_with("/var/lib/chaincast/") {
            assert!(!std::path::Path::new(word).exists(), "{word}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_reports_where_data_is_kept() {
    let dir = TempDir::new("kept");
    let data = dir.path().join("data");
    let mut server = Server::start(&[
        "dev",
        "--port",
        "0",
        "--anvil-port",
        "0",
        "--no-demo",
        "--data-dir",
        data.to_str().unwrap(),
    ])
    .await;
    server.signal(nix::sys::signal::Signal::SIGINT);
    assert!(server.ended().await.success());
    let kept = format!("the data is kept in {}", data.display());
    eventually("the last line", || async {
        server.output().contains(&kept).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_without_server_suggests_dev() {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_chaincast"))
        .args(["watch", "--url", "http://127.0.0.1:1", "new-block"])
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stderr.take().unwrap()));
    let first = tokio::time::timeout(crate::support::TIMEOUT, lines.next_line()).await;
    let first = first.unwrap().unwrap().unwrap();
    assert!(
        first.contains("ws://127.0.0.1:1/realtime") && first.contains("`chaincast dev` starts one"),
        "{first}"
    );
}
