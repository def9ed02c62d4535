//! Common client libraries, unmodified: each follows a price and the blocks through a restart of the server, and
//! receives every update once and in order.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Script, World};

const PYTHON_SOCKETIO: &str = "tests/clients/python_socketio.py";
const PYTHON_WEBSOCKETS: &str = "tests/clients/python_websockets.py";
const NODE_SOCKETIO: &str = "tests/clients/socketio.mjs";
const BROWSER: &str = "tests/browser/clients.mjs";
const CHANNELS: [&str; 2] = ["new-block", "price:ETH"];

/// The output of a client script from one moment on, parsed as one JSON object a line.
struct ScriptOutput {
    script: Script,
    from: usize,
}

impl ScriptOutput {
    fn of(script: Script) -> Self {
        Self { script, from: 0 }
    }

    /// Ignores all output up to now.
    fn skip_past(&mut self) {
        self.from = self.script.output.len();
    }

    fn lines(&self) -> impl Iterator<Item = Value> {
        let output = self.script.output[self.from..].iter();
        output.filter_map(|line| serde_json::from_str(line).ok())
    }

    /// Waits for a line after the last `skip_past` that matches `wanted`, and returns it.
    async fn expect(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let found = self.lines().find(&wanted);
            if let Some(found) = found {
                return found;
            }
            self.script.line(what, |_| true).await;
        }
    }

    /// Waits for a live update of each channel.
    async fn expect_live_updates(&mut self) {
        for channel in CHANNELS {
            self.expect(&format!("a live {channel}"), |line| {
                line["data"]["channel"] == channel
                    && line["data"]["seq"].is_u64()
                    && line["data"]["snapshot"].is_null()
            })
            .await;
        }
    }

    /// Ends the script, which must succeed. Returns the seqs of each channel, each with its event name.
    async fn finish(self) -> BTreeMap<String, Vec<(u64, String)>> {
        let output = self.script.finish().await;
        let mut seqs: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        for line in output {
            let line: Value = serde_json::from_str(&line).unwrap();
            let event = line["step"].as_str().unwrap().to_owned();
            let data = &line["data"];
            let is_update = ["new-block", "price-update"].contains(&&*event);
            if let (true, Some(channel), Some(seq)) =
                (is_update, data["channel"].as_str(), data["seq"].as_u64())
            {
                seqs.entry(channel.to_owned())
                    .or_default()
                    .push((seq, event));
            }
        }
        seqs
    }
}

/// Waits until a client has checked the chains of a heartbeat.
async fn expect_chains_checked(client: &mut ScriptOutput, world: &World) {
    let line = client
        .expect("the chains of a heartbeat", |line| line["step"] == "chains")
        .await;
    let chain = &line["data"][0];
    assert_eq!(chain["chainId"], 31_337, "{line}");
    assert_eq!(chain["status"], "ok", "{line}");
    let (head, _) = world.control.head().await.unwrap();
    assert!(chain["head"].as_u64().unwrap() <= head, "{line}");
}

/// Follows with a client, restarts the server with updates committed meanwhile, and checks what the client received.
async fn assert_no_update_missed(script: impl FnOnce(&World) -> Script) {
    let world = World::start().await;
    let client = ScriptOutput::of(script(&world));
    follow_through_restart(world, client).await;
}

/// As [`assert_no_update_missed`], for a client that first checks the chains of a heartbeat.
async fn assert_heartbeats_and_no_update_missed(script: impl FnOnce(&World) -> Script) {
    let world = World::start().await;
    let mut client = ScriptOutput::of(script(&world));
    expect_chains_checked(&mut client, &world).await;
    follow_through_restart(world, client).await;
}

async fn follow_through_restart(world: World, mut client: ScriptOutput) {
    let answer = client
        .expect("it is subscribed", |line| line["step"] == "subscribed")
        .await;
    assert_eq!(answer["data"]["success"], true, "{answer}");
    for channel in CHANNELS {
        client
            .expect(&format!("the snapshot of {channel}"), |line| {
                line["data"]["channel"] == channel && line["data"]["snapshot"] == true
            })
            .await;
    }
    world.set_feed("ETH", 4_444).await;
    client.expect_live_updates().await;

    client.skip_past();
    let world = world.restart_after_mining(3).await;
    let answer = client
        .expect("it is subscribed again", |line| {
            line["step"] == "subscribed"
        })
        .await;
    for channel in answer["data"]["channels"].as_array().unwrap() {
        assert_eq!(channel["recovered"], true, "{answer}");
    }
    client.skip_past();
    world.set_feed("ETH", 5_555).await;
    client.expect_live_updates().await;

    let seqs = client.finish().await;
    for channel in CHANNELS {
        let seqs = &seqs[channel];
        let follow = seqs.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0);
        assert!(follow, "{channel}: {seqs:?}");
    }
    world.server.stop().await;
}

fn python_socketio(world: &World, transports: &str) -> Script {
    Script::python(PYTHON_SOCKETIO, &[world.server.url(), transports])
}

#[tokio::test(flavor = "multi_thread")]
async fn python_socketio_over_websocket_misses_nothing() {
    assert_heartbeats_and_no_update_missed(|world| python_socketio(world, "websocket")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_socketio_over_polling_misses_nothing() {
    assert_heartbeats_and_no_update_missed(|world| python_socketio(world, "polling")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_socketio_with_upgrade_misses_nothing() {
    assert_heartbeats_and_no_update_missed(|world| python_socketio(world, "polling,websocket"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_websockets_misses_nothing() {
    assert_heartbeats_and_no_update_missed(|world| {
        Script::python(PYTHON_WEBSOCKETS, &[&world.server.realtime()])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_socketio_client_misses_nothing() {
    assert_no_update_missed(|world| {
        let follow = [world.server.url(), "follow", "--channel"];
        Script::node(
            NODE_SOCKETIO,
            &[&follow[..], &["price:ETH,new-block", "--mode", "all"]].concat(),
        )
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_websocket_misses_nothing() {
    assert_no_update_missed(|world| Script::node(BROWSER, &[world.server.url(), "websocket"]))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_event_source_misses_nothing() {
    assert_no_update_missed(|world| Script::node(BROWSER, &[world.server.url(), "eventsource"]))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_socketio_client_misses_nothing() {
    assert_no_update_missed(|world| Script::node(BROWSER, &[world.server.url(), "socketio"])).await;
}
