//! The clients of the field, unmodified: each follows a price and the blocks, through a restart of the server, and
//! gets every update once and in order.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Script, World};

const PYTHON_SOCKETIO: &str = "tests/clients/python_socketio.py";
const PYTHON_WEBSOCKETS: &str = "tests/clients/python_websockets.py";
const NODE_SOCKETIO: &str = "tests/clients/socketio.mjs";
const BROWSER: &str = "tests/browser/clients.mjs";
const CHANNELS: [&str; 2] = ["new-block", "price:ETH"];

/// What a script said from one moment on, as the JSON objects that its lines are.
struct Story {
    script: Script,
    from: usize,
}

impl Story {
    fn of(script: Script) -> Self {
        Self { script, from: 0 }
    }

    /// What was said before is of no interest from now on.
    fn turn_page(&mut self) {
        self.from = self.script.said.len();
    }

    fn lines(&self) -> impl Iterator<Item = Value> {
        let said = self.script.said[self.from..].iter();
        said.filter_map(|line| serde_json::from_str(line).ok())
    }

    /// Waits until a line that `wanted` takes was said since the page was turned, and returns it.
    async fn tells(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let found = self.lines().find(&wanted);
            if let Some(found) = found {
                return found;
            }
            self.script.line(what, |_| true).await;
        }
    }

    /// Waits for a live update of each channel.
    async fn goes_on(&mut self) {
        for channel in CHANNELS {
            self.tells(&format!("a live {channel}"), |line| {
                line["data"]["channel"] == channel
                    && line["data"]["seq"].is_u64()
                    && line["data"]["snapshot"].is_null()
            })
            .await;
        }
    }

    /// Ends the script, which must be content, and returns the seqs of each channel with the events they came as.
    async fn ends(self) -> BTreeMap<String, Vec<(u64, String)>> {
        let said = self.script.finish().await;
        let mut seqs: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        for line in said {
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
async fn it_checked_the_chains(client: &mut Story, world: &World) {
    let line = client
        .tells("the chains of a heartbeat", |line| line["step"] == "chains")
        .await;
    let chain = &line["data"][0];
    assert_eq!(chain["chainId"], 31_337, "{line}");
    assert_eq!(chain["status"], "ok", "{line}");
    let (head, _) = world.control.head().await.unwrap();
    assert!(chain["head"].as_u64().unwrap() <= head, "{line}");
}

/// Lets a client follow, takes the server away, makes news meanwhile, and looks at what the client got.
async fn it_misses_nothing(script: impl FnOnce(&World) -> Script) {
    let world = World::start().await;
    let client = Story::of(script(&world));
    follows_through_a_restart(world, client).await;
}

/// As [`it_misses_nothing`], by a client that looks at the chains of a heartbeat first.
async fn it_reads_heartbeats_and_misses_nothing(script: impl FnOnce(&World) -> Script) {
    let world = World::start().await;
    let mut client = Story::of(script(&world));
    it_checked_the_chains(&mut client, &world).await;
    follows_through_a_restart(world, client).await;
}

async fn follows_through_a_restart(world: World, mut client: Story) {
    let answer = client
        .tells("it is subscribed", |line| line["step"] == "subscribed")
        .await;
    assert_eq!(answer["data"]["success"], true, "{answer}");
    for channel in CHANNELS {
        client
            .tells(&format!("the snapshot of {channel}"), |line| {
                line["data"]["channel"] == channel && line["data"]["snapshot"] == true
            })
            .await;
    }
    world.set_feed("ETH", 4_444).await;
    client.goes_on().await;

    client.turn_page();
    let world = world.restart_after_mining(3).await;
    let answer = client
        .tells("it is subscribed again", |line| {
            line["step"] == "subscribed"
        })
        .await;
    for channel in answer["data"]["channels"].as_array().unwrap() {
        assert_eq!(channel["recovered"], true, "{answer}");
    }
    client.turn_page();
    world.set_feed("ETH", 5_555).await;
    client.goes_on().await;

    let seqs = client.ends().await;
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
async fn python_socketio_over_a_websocket_misses_nothing() {
    it_reads_heartbeats_and_misses_nothing(|world| python_socketio(world, "websocket")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_socketio_by_polling_misses_nothing() {
    it_reads_heartbeats_and_misses_nothing(|world| python_socketio(world, "polling")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_socketio_that_upgrades_misses_nothing() {
    it_reads_heartbeats_and_misses_nothing(|world| python_socketio(world, "polling,websocket"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_websockets_misses_nothing() {
    it_reads_heartbeats_and_misses_nothing(|world| {
        Script::python(PYTHON_WEBSOCKETS, &[&world.server.realtime()])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_io_client_of_node_misses_nothing() {
    it_misses_nothing(|world| {
        let follow = [world.server.url(), "follow", "--channel"];
        Script::node(
            NODE_SOCKETIO,
            &[&follow[..], &["price:ETH,new-block", "--mode", "all"]].concat(),
        )
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_websocket_misses_nothing() {
    it_misses_nothing(|world| Script::node(BROWSER, &[world.server.url(), "websocket"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_event_source_misses_nothing() {
    it_misses_nothing(|world| Script::node(BROWSER, &[world.server.url(), "eventsource"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_socket_io_client_misses_nothing() {
    it_misses_nothing(|world| Script::node(BROWSER, &[world.server.url(), "socketio"])).await;
}
