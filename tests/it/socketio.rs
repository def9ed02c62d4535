//! The standard Socket.IO client, over every transport.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Script, World, mint};

const SCRIPT: &str = "tests/clients/socketio.mjs";

/// Runs a scenario of the script: the server has to publish updates once the client is subscribed.
async fn run_scenario(scenario: &str, transport: &str) {
    let world = World::start().await;
    let token = mint("alice", None, None, Duration::from_secs(600));
    let url = world.server.url().to_owned();
    let mut client = Script::node(SCRIPT, &[&url, scenario, "--token", &token]);
    client
        .json("it is subscribed", |line| line["step"] == "subscribed")
        .await;
    world.set_feed("ETH", 4_444).await;
    let chains = client
        .json("the chains of a heartbeat", |line| line["step"] == "chains")
        .await;
    assert_eq!(chains["data"][0]["chainId"], 31_337, "{chains}");
    let used = client
        .json("the transport in use", |line| line["step"] == "transport")
        .await;
    assert_eq!(used["data"], transport);
    client.finish().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn works_over_polling_alone() {
    run_scenario("polling-only", "polling").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn works_over_websocket_from_the_start() {
    run_scenario("websocket-only", "websocket").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespace_can_be_left_and_joined_again() {
    let world = World::start().await;
    let url = world.server.url().to_owned();
    Script::node(SCRIPT, &[&url, "bad-namespace"])
        .finish()
        .await;
    Script::node(SCRIPT, &[&url, "rejoin"]).finish().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resumes_from_seq_or_gets_a_snapshot_on_foreign_epoch() {
    let world = World::start().await;
    world.control.mine(3).await.unwrap();
    world.caught_up().await;
    let url = world.server.url().to_owned();
    let blocks = [&*url, "resume", "--channel", "new-block", "--since", "1"];
    let mut resumed = Script::node(SCRIPT, &blocks);
    let answer = resumed
        .json("the answer", |line| line["step"] == "subscribed")
        .await;
    assert_eq!(answer["data"]["recovered"], true, "{answer}");
    resumed.finish().await;
    let elsewhere = [&blocks[..], &["--epoch", "another"]].concat();
    let mut anew = Script::node(SCRIPT, &elsewhere);
    let answer: Value = anew
        .json("the answer", |line| line["step"] == "subscribed")
        .await;
    assert_eq!(answer["data"]["recovered"], json!(false), "{answer}");
    anew.finish().await;
    world.server.stop().await;
}
