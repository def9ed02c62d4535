//! The terminal commands `watch`, `check` and `migrate`.

use std::{collections::BTreeMap, process::Stdio};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command,
};

use crate::support::{TIMEOUT, World, run_to_end};

#[tokio::test(flavor = "multi_thread")]
async fn watch_prints_updates_and_survives_a_restart() {
    let world = World::start().await;
    let mut watch = Command::new(env!("CARGO_BIN_EXE_chaincast"))
        .args([
            "watch",
            "--url",
            world.server.url(),
            "price:eth",
            "new-block",
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut line = async |wanted: &str| loop {
        let next = tokio::time::timeout(TIMEOUT, lines.next_line()).await;
        let line = next
            .unwrap_or_else(|_| panic!("no line with {wanted}"))
            .unwrap()
            .expect("watch continues");
        if line.contains(wanted) {
            return line;
        }
    };
    line("(snapshot)").await;
    world.set_feed("ETH", 5_432).await;
    assert!(line("price:ETH").await.contains("USD"));
    let world = world.restart().await;
    world.control.mine(1).await.unwrap();
    let (number, _) = world.caught_up().await;
    line(&format!("block {number} ")).await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_resumes_with_the_command_it_prints() {
    let world = World::start().await;
    world.control.mine(3).await.unwrap();
    world.caught_up().await;
    let url = world.server.url();
    let start = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_chaincast"))
            .arg("watch")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    let mut first = start(&["--json", "--url", url, "new-block", "price:eth"]);
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    let mut seen = BTreeMap::new();
    while seen.len() < 2 {
        let line = tokio::time::timeout(TIMEOUT, lines.next_line()).await;
        let message: Value = serde_json::from_str(&line.unwrap().unwrap().unwrap()).unwrap();
        if let (Some(channel), Some(seq)) = (message["channel"].as_str(), message["seq"].as_u64()) {
            seen.insert(channel.to_owned(), seq);
        }
    }
    let pid = Pid::from_raw(first.id().unwrap() as i32);
    kill(pid, Signal::SIGINT).unwrap();
    let mut output = String::new();
    let mut stderr = first.stderr.take().unwrap();
    stderr.read_to_string(&mut output).await.unwrap();
    let (_, after) = output.split_once("`chaincast watch ").expect(&output);
    let (arguments, _) = after.split_once('`').unwrap();

    // Channels at different positions, by the printed command.
    world.set_feed("ETH", 5_432).await;
    world.caught_up().await;
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let mut second = start(&arguments);
    let mut lines = BufReader::new(second.stdout.take().unwrap()).lines();
    let mut next = BTreeMap::new();
    while next.len() < 2 {
        let line = tokio::time::timeout(TIMEOUT, lines.next_line()).await;
        let message: Value = serde_json::from_str(&line.unwrap().unwrap().unwrap()).unwrap();
        if message["event"] == "ack" {
            for channel in message["data"]["channels"].as_array().unwrap() {
                assert_eq!(channel["recovered"], true, "{message}");
            }
        }
        if let (Some(channel), Some(seq)) = (message["channel"].as_str(), message["seq"].as_u64()) {
            assert!(message["snapshot"] != true, "{message}");
            next.entry(channel.to_owned()).or_insert(seq);
        }
    }
    for (channel, seq) in seen {
        assert_eq!(next[&channel], seq + 1, "{channel} after {arguments:?}");
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_fails_on_unknown_channels_or_invalid_jwt() {
    let world = World::start().await;
    let (code, _, error) = run_to_end(&["watch", "--url", world.server.url(), "nope"]).await;
    assert_eq!(code, 1);
    assert!(error.contains("nope"), "{error}");
    let (code, _, error) = run_to_end(&[
        "watch",
        "--url",
        world.server.url(),
        "--token",
        "garbage",
        "new-block",
    ])
    .await;
    assert_eq!(code, 1);
    assert!(error.contains("401"), "{error}");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_reports_what_works_and_what_fails() {
    let world = World::start().await;
    let config = world.config.to_str().unwrap();
    let (code, output, _) = run_to_end(&["check", "--config", config]).await;
    assert_eq!(code, 0, "{output}");
    for part in ["database", "chain 31337", "JWT key"] {
        assert!(output.contains(part), "{part} in {output}");
    }
    let broken = std::fs::read_to_string(config)
        .unwrap()
        .replace(&world.anvil.http_url(), "http://127.0.0.1:1");
    let file = world.dir.path().join("broken.toml");
    std::fs::write(&file, broken).unwrap();
    let (code, output, error) = run_to_end(&["check", "--config", file.to_str().unwrap()]).await;
    assert_eq!(code, 1);
    assert!(
        output.contains("127.0.0.1:1") && error.contains("check"),
        "{output}{error}"
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_creates_the_schema_and_is_repeatable() {
    let database = crate::support::fresh_database().await;
    let dir = crate::support::TempDir::new("migrate");
    let file = dir.path().join("chaincast.toml");
    let text = format!(
        "[database]\nurl = \"{database}\"\n[[chains]]\nchain_id = 1\nrpc_url = \"http://127.0.0.1:1\"\n"
    );
    std::fs::write(&file, text).unwrap();
    for _ in 0..2 {
        let (code, output, error) =
            run_to_end(&["migrate", "--config", file.to_str().unwrap()]).await;
        assert_eq!(code, 0, "{error}");
        assert!(output.contains("migration"), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_command_line_exits_with_2() {
    for arguments in [
        &["nope"] as &[_],
        &["watch"],
        &["serve"],
        &["token", "--sub", "x", "--ttl", "soon"],
    ] {
        assert_eq!(run_to_end(arguments).await.0, 2, "{arguments:?}");
    }
}
