//! A chain with only logs indexed, as it is served.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{World, eventually, run_to_end};

/// The same chain in another database, with another line in its configuration.
async fn restart_in_new_database(world: World, line: &str) -> World {
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut world.database().await)
        .await
        .unwrap();
    let other = format!("{name}_other");
    sqlx::query(&format!("CREATE DATABASE \"{other}\""))
        .execute(&mut world.database().await)
        .await
        .unwrap();
    let config = std::fs::read_to_string(&world.config).unwrap();
    let changed = config
        .replace(&format!("/{name}"), &format!("/{other}"))
        .replace("[[chains]]\n", &format!("[[chains]]\n{line}\n"));
    assert!(
        changed.contains(&other) && changed.contains(line),
        "{config}"
    );
    std::fs::write(&world.config, changed).unwrap();
    world.restart().await
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_only_chain_serves_logs_and_explains_the_rest() {
    let world = restart_in_new_database(World::start().await, "index = \"logs\"").await;
    world.transfer("LINK", 7).await;
    world.caught_up().await;
    let (block, transfer) = eventually("the transfer is served", || async {
        let block = world.get("/api/v1/blocks/latest").await;
        let holder = format!("{:?}", world.market.holders()[0]);
        let page = world
            .get(&format!("/api/v1/addresses/{holder}/transfers"))
            .await;
        let newest = page["data"].as_array()?.first()?.clone();
        (newest["amount"] == "7" && block["number"] == newest["blockNumber"])
            .then_some((block, newest))
    })
    .await;
    assert_eq!(block["transactions"], 1);
    assert_eq!(
        world.get("/api/v1/status").await["chains"][0]["index"],
        "logs"
    );
    let hash = transfer["transactionHash"]
        .as_str()
        .expect("a hash")
        .to_owned();
    let number = &block["number"];
    let in_block = world
        .get(&format!("/api/v1/blocks/{number}/transactions"))
        .await;
    assert_eq!(in_block["data"], json!([]));
    let answer = reqwest::get(world.url(&format!("/api/v1/transactions/{hash}")))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let problem: Value = answer.json().await.unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("its index mode is \"logs\""), "{detail}");
    let mut ws = world.ws().await;
    let refused = ws
        .request("subscribe", json!({ "channel": format!("tx:{hash}") }))
        .await;
    assert_eq!(refused["data"]["code"], "UNKNOWN_CHANNEL", "{refused}");
    let message = refused["data"]["message"].as_str().unwrap();
    assert!(message.contains("chains.index = \"blocks\""), "{message}");

    world.caught_up().await;
    let config = world.config.to_str().unwrap();
    let (code, output, error) = run_to_end(&["verify", "--config", config]).await;
    assert_eq!(code, 0, "{output}{error}");
    assert!(
        output.contains(" 0 transactions, ") && output.contains("; no difference"),
        "{output}"
    );
    let text = std::fs::read_to_string(config).unwrap();
    let full_config = text.replace("index = \"logs\"", "index = \"blocks\"");
    std::fs::write(config, full_config).unwrap();
    let (code, output, error) = run_to_end(&["verify", "--config", config]).await;
    assert_eq!(code, 1, "{output}{error}");
    assert!(error.contains("indexed with index = \"logs\""), "{error}");
}
