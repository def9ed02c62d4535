//! Startup, and the error messages when it fails.

use crate::support::{Server, TempDir, World, fresh_database, run_to_end};

async fn run_failing(config: &str, arguments: &[&str]) -> (i32, String) {
    let dir = TempDir::new("start");
    let file = dir.path().join("chaincast.toml");
    std::fs::write(&file, config).unwrap();
    let mut all = vec!["serve", "--config", file.to_str().unwrap()];
    all.extend(arguments);
    let (code, _, error) = run_to_end(&all).await;
    (code, error)
}

fn config(database: &str, node: &str) -> String {
    format!(
        "[server]\nport = 0\n\n[database]\nurl = \"{database}\"\n\n[[chains]]\nchain_id = 31337\nrpc_url = \"{node}\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_configuration_names_file_line_and_key() {
    let (code, error) = run_failing("[server]\nprot = 1\n", &[]).await;
    assert_eq!(code, 2);
    assert!(
        error.contains("chaincast.toml:2: ") && error.contains("prot"),
        "{error}"
    );

    let (code, error) = run_failing(&config("postgres://localhost/x", "nowhere"), &[]).await;
    assert_eq!(code, 2);
    assert!(
        error.contains("chaincast.toml:9: chains.0.rpc_url"),
        "{error}"
    );

    let (code, _, error) = run_to_end(&["serve", "--config", "/nonexistent/chaincast.toml"]).await;
    assert_eq!(code, 2);
    assert!(error.contains("/nonexistent/chaincast.toml"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn port_in_use_is_reported_with_a_fix() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, error) = run_failing(
        &config("postgres://localhost/x", "http://127.0.0.1:1"),
        &["--port", &port],
    )
    .await;
    assert_eq!(code, 1);
    assert!(
        error.contains(&format!("127.0.0.1:{port}")) && error.contains("in use by another process"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_database_is_reported_without_password() {
    let url = "postgres://me:hunter2@127.0.0.1:1/chaincast";
    let (code, error) = run_failing(&config(url, "http://127.0.0.1:1"), &[]).await;
    assert_eq!(code, 1);
    assert!(
        error.contains("Postgres at 127.0.0.1:1") && error.contains("database.url"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_node_is_reported_without_key() {
    let database = fresh_database().await;
    let (code, error) = run_failing(&config(&database, "http://127.0.0.1:1/secret-key"), &[]).await;
    assert_eq!(code, 1);
    assert!(
        error.contains("127.0.0.1:1") && error.contains("rpc_url"),
        "{error}"
    );
    assert!(!error.contains("secret-key"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_start_resumes_where_the_first_ended() {
    let world = World::start().await;
    let (before, _) = world.caught_up().await;
    let world = world.restart().await;
    world.control.mine(2).await.unwrap();
    let (after, _) = world.caught_up().await;
    assert_eq!(after, before + 2);
    let updates = world
        .get("/api/v1/channels/new-block/updates?limit=1000")
        .await;
    let numbers: Vec<u64> = updates["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|update| update["event"] == "new-block")
        .map(|update| update["data"]["number"].as_u64().unwrap())
        .collect();
    assert_eq!(
        numbers,
        (0..=after).collect::<Vec<_>>(),
        "each block is published once, in order"
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn index_continues_after_a_crash() {
    let world = World::start().await;
    world.control.mine(5).await.unwrap();
    let world = world.crash_and_restart().await;
    world.control.mine(1).await.unwrap();
    world.caught_up().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_another_chain_and_names_the_flag() {
    let one = World::start().await;
    let config = std::fs::read_to_string(&one.config).unwrap();
    let other = World::start().await;
    let mixed = config.replace(&one.anvil.http_url(), &other.anvil.http_url());
    let mixed = mixed.replace(&one.anvil.ws_url(), &other.anvil.ws_url());
    std::fs::write(&one.config, mixed).unwrap();
    one.server.stop().await;
    let (code, _, error) = run_to_end(&["serve", "--config", one.config.to_str().unwrap()]).await;
    assert_eq!(code, 1);
    assert!(
        error.contains("another chain") && error.contains("genesis") && error.contains("reset"),
        "{error}"
    );
    other.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_starts_resumes_and_leaves_no_child_process() {
    let dir = TempDir::new("dev");
    let data = dir.path().join("data");
    let arguments = [
        "dev",
        "--port",
        "0",
        "--anvil-port",
        "0",
        "--block-time",
        "0.5",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let server = Server::start(&arguments).await;
    let first = wait_for_block_after(&server, 3).await;
    let children = children_of(server.pid());
    assert!(
        children.len() >= 2,
        "anvil and PostgreSQL run below it: {children:?}"
    );
    server.stop().await;
    for child in children {
        assert!(
            !std::path::Path::new(&format!("/proc/{child}")).exists(),
            "process {child} still runs"
        );
    }
    let server = Server::start(&arguments).await;
    let second = wait_for_block_after(&server, first["number"].as_u64().unwrap() + 1).await;
    assert!(second["number"].as_u64() > first["number"].as_u64());
    let old = format!("{}/api/v1/blocks/{}", server.url(), first["number"]);
    let old: serde_json::Value = reqwest::get(old).await.unwrap().json().await.unwrap();
    assert_eq!(old["hash"], first["hash"]);
    server.stop().await;
}

async fn wait_for_block_after(server: &Server, number: u64) -> serde_json::Value {
    let url = format!("{}/api/v1/blocks/latest", server.url());
    crate::support::eventually("blocks are indexed", || async {
        let block: serde_json::Value = reqwest::get(&url).await.ok()?.json().await.ok()?;
        (block["number"].as_u64()? > number).then_some(block)
    })
    .await
}

fn children_of(parent: i32) -> Vec<i32> {
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{parent}/task"))
        .unwrap()
        .flatten()
    {
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(
            list.split_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok()),
        );
    }
    children
}
