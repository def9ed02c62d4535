//! The Socket.IO client of the field, in every way it can connect.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Script, World, mint};

const SCRIPT: &str = "tests/clients/socketio.mjs";

/// Takes the tour of the script with one set of transports: the server has to do its part once it is subscribed.
async fn tour(scenario: &str, transport: &str) {
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
async fn polling_alone_is_enough() {
    tour("polling-only", "polling").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_from_the_start_is_enough() {
    tour("websocket-only", "websocket").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_namespace_is_served_and_may_be_left_and_joined_again() {
    let world = World::start().await;
    let url = world.server.url().to_owned();
    Script::node(SCRIPT, &[&url, "bad-namespace"])
        .finish()
        .await;
    Script::node(SCRIPT, &[&url, "rejoin"]).finish().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_resumes_from_a_seq_and_is_shown_the_newest_when_the_epoch_is_another() {
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
