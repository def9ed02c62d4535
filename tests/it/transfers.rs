//! Transfers of every token standard, and the metadata of token contracts.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolValue,
};
use serde_json::{Value, json};

use crate::support::{World, eventually};

/// Init code that emits one log.
fn logging(topics: &[B256], data: &[u8]) -> Bytes {
    let mut code = Vec::new();
    for (at, word) in data.chunks(32).enumerate() {
        let mut padded = [0; 32];
        padded[..word.len()].copy_from_slice(word);
        code.push(0x7f); // PUSH32
        code.extend(padded);
        code.push(0x61); // PUSH2
        code.extend((at as u16 * 32).to_be_bytes());
        code.push(0x52); // MSTORE
    }
    for topic in topics.iter().rev() {
        code.push(0x7f);
        code.extend(topic);
    }
    code.push(0x61);
    code.extend((data.len() as u16).to_be_bytes());
    code.extend([0x60, 0, 0xa0 + topics.len() as u8, 0]); // PUSH1 0, LOGn, STOP
    code.into()
}

fn word(value: u64) -> B256 {
    U256::from(value).into()
}

/// Creates a block for each of these logs, all from `from` to `to`: ERC-721 transfers with three topics and with the
/// signature only, an ERC-1155 transfer and a batch.
async fn move_tokens(world: &World, from: Address, to: Address) {
    let (sender, receiver) = (from.into_word(), to.into_word());
    let transfer = keccak256("Transfer(address,address,uint256)");
    let single = keccak256("TransferSingle(address,address,address,uint256,uint256)");
    let batch = keccak256("TransferBatch(address,address,address,uint256[],uint256[])");
    let two = |a: U256, b: U256| vec![a, b];
    let (ids, amounts) = (
        two(U256::from(8), U256::MAX),
        two(U256::from(80), U256::from(90)),
    );
    let uneven = (two(U256::ZERO, U256::ZERO), vec![U256::ZERO]).abi_encode_params();
    for (topics, data) in [
        (
            vec![transfer, sender, receiver, B256::repeat_byte(0xff)],
            vec![],
        ),
        (vec![transfer], (from, to, U256::MAX).abi_encode()),
        // An invalid address is not stored as a party.
        (vec![transfer], (U256::MAX, to, U256::from(3)).abi_encode()),
        (
            vec![single, word(1), sender, receiver],
            (U256::from(7), U256::from(70)).abi_encode(),
        ),
        (
            vec![batch, word(1), sender, receiver],
            (ids, amounts).abi_encode_params(),
        ),
        (vec![batch, word(1), sender, receiver], uneven),
        (vec![batch, word(1), sender, receiver], vec![0xff; 96]),
    ] {
        let creation = json!({ "from": world.market.holders()[0], "data": logging(&topics, &data), "gas": "0x200000" });
        let sent: B256 = world
            .node()
            .request("eth_sendTransaction", (creation,))
            .await
            .unwrap();
        world.node().mined(&[sent]).await.unwrap();
    }
    world.caught_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decodes_every_standard_live_and_from_stored_logs() {
    let world = World::start().await;
    let (from, to) = (Address::repeat_byte(0x51), Address::repeat_byte(0x52));
    move_tokens(&world, from, to).await;
    let path = format!("/api/v1/addresses/{to:#x}/transfers?limit=1");
    let (mut read, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("{path}{cursor}")).await;
        read.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let listed: Vec<_> = read
        .iter()
        .map(|one| {
            json!([
                one["standard"],
                one["tokenId"],
                one["amount"],
                one["position"]
            ])
        })
        .collect();
    let largest = U256::MAX.to_string();
    assert_eq!(
        listed,
        [
            json!(["ERC-1155", largest, "90", 1]),
            json!(["ERC-1155", "8", "80", 0]),
            json!(["ERC-1155", "7", "70", 0]),
            json!(["ERC-721", largest, "1", 0]),
            json!(["ERC-721", largest, "1", 0]),
        ]
    );
    assert!(
        read.iter()
            .all(|one| one["from"] == from.to_string() && one["transactionHash"].is_string())
    );

    // As an earlier version stored them: ERC-20 transfers only.
    let all =
        "SELECT jsonb_agg(to_jsonb(t) ORDER BY block_number, log_index, position) FROM transfers t";
    let tokens = "SELECT jsonb_agg(jsonb_build_array(address, standard) ORDER BY address) FROM token_contracts";
    let mut database = world.database().await;
    let live: Value = sqlx::query_scalar(all)
        .fetch_one(&mut database)
        .await
        .unwrap();
    let live_tokens: Value = sqlx::query_scalar(tokens)
        .fetch_one(&mut database)
        .await
        .unwrap();
    for table in ["transfers", "token_contracts"] {
        sqlx::query(&format!("DELETE FROM {table} WHERE standard <> 20"))
            .execute(&mut database)
            .await
            .unwrap();
    }
    let migration = include_str!("../../migrations/0006_contracts.sql");
    let (_, upgrade) = migration
        .split_once("CREATE FUNCTION chaincast_word")
        .unwrap();
    let upgrade = format!("CREATE FUNCTION chaincast_word{upgrade}");
    let in_data = include_str!("../../migrations/0028_transfers_in_data.sql");
    for upgrade in [upgrade.as_str(), in_data] {
        sqlx::raw_sql(upgrade).execute(&mut database).await.unwrap();
    }
    let upgraded: Value = sqlx::query_scalar(all)
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(upgraded, live);
    let upgraded_tokens: Value = sqlx::query_scalar(tokens)
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(upgraded_tokens, live_tokens);
    world.server.stop().await;
}

/// Block headers are compared with the node's own JSON.
#[tokio::test(flavor = "multi_thread")]
async fn served_headers_hash_to_their_blocks() {
    let world = World::start().await;
    let (head, _) = world.caught_up().await;
    for number in 0..=head {
        let header = world.get(&format!("/api/v1/blocks/{number}/header")).await;
        let rlp: Bytes = header["rlp"].as_str().unwrap().parse().unwrap();
        let node_block: Value = world
            .node()
            .request("eth_getBlockByNumber", (format!("{number:#x}"), false))
            .await
            .unwrap();
        assert_eq!(json!(keccak256(&rlp)), node_block["hash"], "block {number}");
        assert_eq!(header["hash"], node_block["hash"]);
        let block = world.get(&format!("/api/v1/blocks/{number}")).await;
        for field in [
            "logsBloom",
            "sha3Uncles",
            "withdrawalsRoot",
            "parentBeaconBlockRoot",
            "requestsHash",
        ] {
            assert_eq!(block[field], node_block[field], "{field} of block {number}");
        }
        // anvil does not count the empty list of withdrawals, which is one byte.
        let size = format!("{:#x}", block["size"].as_u64().unwrap() - 1);
        assert_eq!(
            (&json!(size), &block["sizeProved"]),
            (&node_block["size"], &json!(true))
        );
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn token_metadata_is_read_once_even_if_missing() {
    let world = World::with("").await;
    let token = world.deployment.tokens.last().unwrap();
    world.transfer(&token.symbol, 5).await;
    let to = world.market.holders()[1];
    let path = format!("/api/v1/addresses/{to:#x}/transfers?limit=1");
    let newest = eventually("the token's symbol", async || {
        let page = world.get(&path).await;
        let newest = page["data"][0].clone();
        newest["tokenSymbol"].is_string().then_some(newest)
    })
    .await;
    assert_eq!(newest["amount"], "5");
    assert_eq!(newest["standard"], "ERC-20");
    assert_eq!(newest["tokenId"], Value::Null);
    assert_eq!(newest["tokenSymbol"], token.symbol.as_str());
    assert_eq!(newest["tokenDecimals"], token.decimals);

    move_tokens(&world, Address::repeat_byte(0x51), to).await;
    let silent = eventually("the tokens without code are recorded", async || {
        let silent: Vec<(bool, i16)> = sqlx::query_as(
            "SELECT failed, attempts FROM token_contracts WHERE standard <> 20 AND attempts > 0",
        )
        .fetch_all(&mut world.database().await)
        .await
        .unwrap();
        (silent.len() == 3).then_some(silent)
    })
    .await;
    assert!(silent.iter().all(|one| *one == (true, 1)), "{silent:?}");
    eventually("every token of the demo was read once", async || {
        let read: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM token_contracts WHERE read_at IS NOT NULL AND attempts = 1",
        )
        .fetch_one(&mut world.database().await)
        .await
        .unwrap();
        (read as usize == world.deployment.tokens.len()).then_some(())
    })
    .await;
    let page = world.get(&path).await;
    assert_eq!(page["data"][0]["tokenSymbol"], Value::Null);
    world.server.stop().await;
}
