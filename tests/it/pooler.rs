//! PgBouncer in front of the database: in transaction mode it is rejected for writers and serves readers.

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::support::{PgBouncer, Server, World, eventually, run_to_end};

/// The world's configuration with other `[database]` keys.
fn with_database(world: &World, keys: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(&world.config).unwrap();
    let mut config: toml::Table = toml::from_str(&text).unwrap();
    let database = config["database"].as_table_mut().unwrap();
    for (key, value) in keys {
        database.insert((*key).to_owned(), (*value).into());
    }
    let file = world.dir.path().join("pooled.toml");
    std::fs::write(&file, config.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The output of `check` and `serve`, which both fail.
async fn rejected_output(config: &str) -> String {
    let (code, output, error) = run_to_end(&["check", "--config", config]).await;
    assert_eq!(code, 1, "{output}{error}");
    let (code, _, error) = run_to_end(&["serve", "--config", config]).await;
    assert_eq!(code, 1, "{error}");
    output + &error
}

fn assert_suggests_fix(output: &str) {
    assert_eq!(
        output
            .matches("database.url leads to a transaction pooler")
            .count(),
        2,
        "{output}"
    );
    assert!(output.contains("database.reader_url"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_transaction_mode_for_writers() {
    let world = World::start().await;
    for sessions in [1, 20] {
        let pooler = PgBouncer::in_front_of(&world.database, "transaction", sessions).await;
        let config = with_database(&world, &[("url", pooler.url())]);
        assert_suggests_fix(&rejected_output(&config).await);
        if sessions == 1 {
            continue;
        }
        // Other clients use server connections in between.
        let busy: Vec<_> = (0..4)
            .map(|_| {
                let url = pooler.url().to_owned();
                tokio::spawn(async move {
                    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
                    let options = options.extra_float_digits(None);
                    let mut client = PgConnection::connect_with(&options).await.unwrap();
                    loop {
                        client.execute("SELECT pg_sleep(0.001)").await.unwrap();
                    }
                })
            })
            .collect();
        assert_suggests_fix(&rejected_output(&config).await);
        busy.into_iter().for_each(|client| client.abort());
    }
    let pooler = PgBouncer::in_front_of(&world.database, "statement", 20).await;
    let config = with_database(&world, &[("url", pooler.url())]);
    assert_suggests_fix(&rejected_output(&config).await);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_reader_url_of_another_database() {
    let (world, other) = tokio::join!(World::start(), World::start());
    let config = with_database(&world, &[("reader_url", &other.database)]);
    let output = rejected_output(&config).await;
    let problem = "database.reader_url leads to a different database than database.url";
    assert_eq!(output.matches(problem).count(), 2, "{output}");
    other.server.stop().await;
    world.server.stop().await;
}

/// The response without the values that differ between requests.
fn without_volatile_values(mut answer: Value) -> Value {
    if let Some(answer) = answer.as_object_mut() {
        for key in ["serverTime", "startedAt"] {
            answer.remove(key);
        }
        if let Some(chains) = answer.get_mut("chains").and_then(Value::as_array_mut) {
            for chain in chains {
                for key in [
                    "nodeSeenAt",
                    "lagSeconds",
                    "writer",
                    "providers",
                    "updatedAt",
                ] {
                    chain.as_object_mut().unwrap().remove(key);
                }
            }
            answer.remove("prices");
        }
    }
    answer
}

async fn fetch(server: &Server, path: &str) -> Value {
    let answer = reqwest::get(format!("{}/api/v1{path}", server.url()))
        .await
        .unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status}: {text}");
    without_volatile_values(serde_json::from_str(&text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_readers_in_transaction_mode() {
    let world = World::start().await;
    let token = world.deployment.feeds[0].token.clone();
    world.transfer("USDC", 5).await;
    world.control.mine(3).await.unwrap();
    world.caught_up().await;
    // Fewer server connections than readers, so each query gets the connection of another.
    let pooler = PgBouncer::in_front_of(&world.database, "transaction", 2).await;
    let config = with_database(&world, &[("reader_url", pooler.url())]);
    let pooled = Server::start(&["serve", "--role", "gateway", "--config", &config]).await;

    let blocks = world.get("/api/v1/blocks?limit=50").await;
    let block = blocks["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|block| block["transactions"].as_u64() > Some(0));
    let hash = block.unwrap()["hash"].as_str().unwrap().to_owned();
    let transactions = world
        .get(&format!("/api/v1/blocks/{hash}/transactions"))
        .await;
    let transaction = transactions["data"][0]["hash"].as_str().unwrap().to_owned();
    let sender = transactions["data"][0]["from"].as_str().unwrap().to_owned();
    let paths = [
        "/status".to_owned(),
        "/blocks?limit=20".to_owned(),
        "/blocks/latest".to_owned(),
        "/blocks/1".to_owned(),
        format!("/blocks/{hash}"),
        format!("/blocks/{hash}/transactions"),
        format!("/transactions/{transaction}"),
        format!("/addresses/{sender}/transactions"),
        format!("/addresses/{sender}/transfers"),
        "/tokens".to_owned(),
        "/prices".to_owned(),
        format!("/prices/{token}"),
        format!("/prices/{token}/history"),
        format!("/prices/{token}/candles?interval=1m"),
        "/channels/new-block/updates?limit=50".to_owned(),
    ];
    // Token names are read concurrently with indexing.
    eventually("every token has its name", async || {
        let transfers = fetch(&world.server, &format!("/addresses/{sender}/transfers")).await;
        let named = |transfer: &Value| transfer["tokenSymbol"].is_string();
        transfers["data"]
            .as_array()?
            .iter()
            .all(named)
            .then_some(())
    })
    .await;
    let mut readers = tokio::task::JoinSet::new();
    let mut expected = Vec::new();
    for path in &paths {
        expected.push((path.clone(), fetch(&world.server, path).await));
    }
    let (expected, pooled) = (std::sync::Arc::new(expected), std::sync::Arc::new(pooled));
    for reader in 0..8 {
        let (expected, pooled) = (expected.clone(), pooled.clone());
        readers.spawn(async move {
            for round in 0..5 {
                for at in 0..expected.len() {
                    let (path, expected) = &expected[(at + reader + round) % expected.len()];
                    let answer = fetch(&pooled, path).await;
                    // Prices are returned with their age.
                    match path.starts_with("/prices") {
                        true => assert_eq!(
                            answer["data"].is_array(),
                            expected["data"].is_array(),
                            "{path}"
                        ),
                        false => assert_eq!(&answer, expected, "{path}"),
                    }
                }
            }
        });
    }
    while let Some(result) = readers.join_next().await {
        result.unwrap();
    }

    // The gateway: stored updates, watches and live updates.
    let mut client = crate::support::WsClient::connect(&pooled.realtime()).await;
    let at = client
        .subscribe(json!({ "channel": "new-block", "since": 0 }))
        .await;
    assert_eq!(at["success"], true, "{at}");
    let first = client.event("new-block").await;
    assert_eq!(first["seq"], 1, "{first}");
    let watched = client
        .subscribe(json!({ "channel": format!("tx:{transaction}") }))
        .await;
    assert_eq!(watched["success"], true, "{watched}");
    let update = client.event("transaction-update").await;
    assert_eq!(update["data"]["hash"], transaction.as_str(), "{update}");
    let (head, _) = world.control.head().await.unwrap();
    world.control.mine(2).await.unwrap();
    client
        .expect("a new block", |message| {
            message["event"] == "new-block" && message["data"]["number"].as_u64() > Some(head + 1)
        })
        .await;
    eventually("it is ready", || async {
        (reqwest::get(format!("{}/readyz", pooled.url()))
            .await
            .ok()?
            .status()
            == 200)
            .then_some(())
    })
    .await;
    drop(client);
    std::sync::Arc::into_inner(pooled).unwrap().stop().await;
    world.server.stop().await;
}

/// Each client has its own server connection, so advisory locks hold.
#[tokio::test(flavor = "multi_thread")]
async fn accepts_session_mode_for_writers() {
    let mut world = World::start().await;
    let pooler = PgBouncer::in_front_of(&world.database, "session", 60).await;
    let config = with_database(&world, &[("url", pooler.url())]);
    let (code, output, error) = run_to_end(&["check", "--config", &config]).await;
    assert_eq!(code, 0, "{output}{error}");
    let server = Server::start(&["serve", "--config", &config]).await;
    std::mem::replace(&mut world.server, server).stop().await;
    world.control.mine(2).await.unwrap();
    world.caught_up().await;
    world.server.stop().await;
}
