//! Configured contracts on a running chaincast: over REST and on their channels.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{World, eventually};

/// Adds the demo quote token, and all pairs as one contract, to the configuration, and restarts.
pub async fn with_contracts(world: World) -> World {
    let abi = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("abi").join(name);
    let token = &world.deployment.tokens.last().unwrap().address;
    let pairs: Vec<_> = world
        .deployment
        .pairs
        .iter()
        .map(|pair| pair.address.to_string())
        .collect();
    let more = format!(
        "\n[[contracts]]\nname = \"Cash\"\naddress = \"{token}\"\nabi = {:?}\nevents = [\"Transfer\"]\n
         \n[[contracts]]\nname = \"pairs\"\naddress = {pairs:?}\nabi = {:?}\n",
        abi("erc20.json"),
        abi("uniswap_v2_pair.json"),
    );
    let text = std::fs::read_to_string(&world.config).unwrap();
    std::fs::write(&world.config, text + &more).unwrap();
    let world = world.restart().await;
    eventually("the backfill of every contract is complete", async || {
        let list = world.get("/api/v1/contracts").await;
        let list = list["data"].as_array()?;
        let done = list.iter().all(|contract| contract["leftBlocks"] == 0);
        (list.len() == 2 && done).then_some(())
    })
    .await;
    world
}

/// All events of a contract, page by page.
async fn all_events(world: &World, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("{path}limit=3{cursor}")).await;
        items.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_events_match_on_rest_and_channels_after_reorg() {
    let world = World::start().await;
    let quote = world.deployment.tokens.last().unwrap().symbol.clone();
    world.transfer(&quote, 1_234).await;
    world.caught_up().await;
    let world = with_contracts(world).await;

    // Backfilled events from stored logs: newest first, in pages.
    let past = all_events(&world, "/api/v1/contracts/cash/events?event=transfer&").await;
    assert_eq!(past[0]["args"]["value"], "1234");
    assert_eq!(past[0]["contract"], "Cash");
    let transfers: i64 =
        sqlx::query_scalar("SELECT count(*) FROM transfers WHERE token_address = $1")
            .bind(world.deployment.tokens.last().unwrap().address.to_vec())
            .fetch_one(&mut world.database().await)
            .await
            .unwrap();
    assert_eq!(past.len() as i64, transfers);
    let position = |event: &Value| (event["blockNumber"].as_u64(), event["logIndex"].as_u64());
    assert!(
        past.windows(2)
            .all(|pair| position(&pair[0]) > position(&pair[1]))
    );

    // Live events: both channels and REST agree.
    let mut ws = world.ws().await;
    let at = ws
        .subscribe(
            json!({ "channels": ["contract:CASH", "contract:cash:transfer"], "snapshot": false }),
        )
        .await;
    assert_eq!(at["success"], true, "{at}");
    world.transfer(&quote, 77).await;
    let (mut received, mut channels) = (Value::Null, Vec::new());
    for _ in 0..2 {
        let message = ws.event("contract-event").await;
        channels.push(message["channel"].clone());
        received = message["data"].clone();
    }
    channels.sort_by_key(Value::to_string);
    assert_eq!(channels, ["contract:cash", "contract:cash:transfer"]);
    let newest = world.get("/api/v1/contracts/Cash/events?limit=1").await["data"][0].clone();
    for key in [
        "contract",
        "event",
        "address",
        "args",
        "blockNumber",
        "blockHash",
        "transactionHash",
        "logIndex",
        "chainId",
    ] {
        assert_eq!(received[key], newest[key], "{key}");
    }
    assert_eq!(received["args"]["value"], "77");
    let updates = world.get("/api/v1/channels/contract:cash/updates").await;
    assert_eq!(updates["data"][0]["data"], received);

    // A new subscriber gets the newest event until a reorg removes it.
    let mut second = world.ws().await;
    second
        .subscribe(json!({ "channel": "contract:cash" }))
        .await;
    let snapshot = second.event("contract-event").await;
    assert_eq!(
        (&snapshot["snapshot"], &snapshot["data"]),
        (&json!(true), &received)
    );
    world.control.reorg(1).await.unwrap();
    world.control.mine(1).await.unwrap();
    let reorg = ws.event("contract-reorg").await;
    assert_eq!(
        reorg["data"]["dropped"][0]["number"],
        received["blockNumber"]
    );
    assert_eq!(reorg["data"]["dropped"][0]["hash"], received["blockHash"]);
    let left = all_events(&world, "/api/v1/contracts/cash/events?").await;
    assert_eq!(left, past);

    // Filtered lists.
    let block = past[0]["blockNumber"].as_u64().unwrap();
    let only = all_events(
        &world,
        &format!("/api/v1/contracts/cash/events?from_block={block}&to_block={block}&"),
    )
    .await;
    assert_eq!(only, past[..1]);
    let below = all_events(
        &world,
        &format!("/api/v1/contracts/cash/events?to_block={}&", block - 1),
    )
    .await;
    assert_eq!(below, past[1..]);
    let pair = &world.deployment.pairs[1].address;
    let of_pair = all_events(
        &world,
        &format!("/api/v1/contracts/pairs/events?address={pair:#x}&"),
    )
    .await;
    assert!(!of_pair.is_empty());
    assert!(
        of_pair
            .iter()
            .all(|event| event["address"] == pair.to_string())
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_contract_or_event_lists_the_known_ones() {
    let world = with_contracts(World::start().await).await;
    let mut ws = world.ws().await;
    for (channel, words) in [
        ("contract:nope", "configured: cash, pairs"),
        ("contract:cash:approval", "configured: transfer"),
    ] {
        let refused = ws.request("subscribe", json!({ "channel": channel })).await;
        let error = &refused["data"];
        assert_eq!(error["code"], "UNKNOWN_CHANNEL", "{refused}");
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{refused}"
        );
    }
    for (path, status, words) in [
        ("/api/v1/contracts/nope/events", 404, "/api/v1/contracts"),
        ("/api/v1/contracts/%00/events", 404, "/api/v1/contracts"),
        (
            "/api/v1/contracts/cash/events?event=Nope",
            400,
            "Transfer(address,address,uint256)",
        ),
        (
            "/api/v1/contracts/cash/events?address=0x1",
            400,
            "40 hex digits",
        ),
        (
            "/api/v1/contracts/cash/events?chain=5",
            404,
            "UNKNOWN_CHAIN",
        ),
        ("/api/v1/contracts?chain=5", 404, "UNKNOWN_CHAIN"),
        ("/api/v1/contracts?chain=31337", 200, "contract:cash"),
        ("/api/v1/contracts/cash/events?chain=31337", 200, "\"data\""),
        (
            "/api/v1/channels/contract:cash:nope/updates",
            404,
            "/api/v1/contracts",
        ),
    ] {
        let answer = reqwest::get(world.url(path)).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(words), "{path}: {text}");
    }
    let empty = world.get("/api/v1/channels/contract:cash/updates").await;
    assert_eq!(empty["seq"], 0);
    world.server.stop().await;
}
