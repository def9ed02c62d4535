//! Blocks, transactions and transfers.

use alloy::{
    eips::{
        eip2930::{AccessList, AccessListItem},
        eip4895::Withdrawal,
        eip7702::{Authorization, SignedAuthorization},
    },
    primitives::{Address, B256, U256},
    rlp::encode,
};
use axum::http::Method;
use serde_json::{Value, json};

use super::{
    Api,
    fixture::{OTHER_CHAIN, block_hash, transaction_hash},
};

const SENDER: &str = "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa";

fn numbers(items: &[Value], key: &str) -> Vec<u64> {
    items
        .iter()
        .map(|item| item[key].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn pages_of_blocks_are_stable_while_blocks_arrive() {
    let api = Api::start().await;
    api.chain(9, 4).await;
    let first = api.get("/api/v1/blocks?limit=4").await;
    assert_eq!(
        numbers(first["data"].as_array().unwrap(), "number"),
        [9, 8, 7, 6]
    );
    api.blocks(10, 12).await;
    let next = first["next"].as_str().unwrap();
    let second = api
        .get(&format!("/api/v1/blocks?limit=4&cursor={next}"))
        .await;
    assert_eq!(
        numbers(second["data"].as_array().unwrap(), "number"),
        [5, 4, 3, 2]
    );
    let all = api.all("/api/v1/blocks?limit=5").await;
    assert_eq!(numbers(&all, "number"), (0..=12).rev().collect::<Vec<_>>());
    let some = api.all("/api/v1/blocks?limit=2&before=9&after=3").await;
    assert_eq!(numbers(&some, "number"), [8, 7, 6, 5, 4]);
    let exact = api.get("/api/v1/blocks?limit=13").await;
    assert!(exact["next"].is_null(), "a full last page has no next");
}

#[tokio::test]
async fn finds_block_by_number_hash_and_tag() {
    let api = Api::start().await;
    api.chain(9, 4).await;
    let block = api.get("/api/v1/blocks/7").await;
    assert_eq!(block["hash"], block_hash(7).as_str());
    assert_eq!(block["parentHash"], block_hash(6).as_str());
    assert_eq!(block["timestamp"], 1_700_000_007);
    assert_eq!(block["transactions"], 1);
    assert_eq!(block["logs"], 2);
    assert_eq!(block["gasUsed"], "21000");
    assert_eq!(block["baseFeePerGas"], "7");
    assert_eq!(block["miner"], "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB");
    assert_eq!(block["extraData"], "0x");
    assert_eq!(block["finalized"], false);
    for (id, number) in [
        (block_hash(7), 7),
        (block_hash(7).to_uppercase().replace('X', "x"), 7),
        ("latest".into(), 9),
        ("finalized".into(), 4),
        ("safe".into(), 4),
    ] {
        assert_eq!(
            api.get(&format!("/api/v1/blocks/{id}")).await["number"],
            number,
            "{id}"
        );
    }
    api.sql(
        "UPDATE blocks SET miner = NULL, state_root = NULL, transactions_root = NULL, receipts_root = NULL
         WHERE number = 7",
    )
    .await;
    let absent = api.get("/api/v1/blocks/7").await;
    for field in ["miner", "stateRoot", "transactionsRoot", "receiptsRoot"] {
        assert_eq!(absent.get(field), Some(&Value::Null), "{field}");
    }
    let finalized = format!("/api/v1/blocks/{}", block_hash(4));
    let answer = api.send(Method::GET, &finalized).await;
    assert!(
        answer.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    let answer = api.send(Method::GET, "/api/v1/blocks/7").await;
    assert_eq!(answer.headers["cache-control"], "no-store");

    api.expect_problem("/api/v1/blocks/99", 404, "NOT_FOUND")
        .await;
    api.expect_problem("/api/v1/blocks/18446744073709551615", 404, "NOT_FOUND")
        .await;
    assert_eq!(
        api.expect_problem("/api/v1/blocks/0x12", 400, "BAD_REQUEST")
            .await["parameter"],
        "id"
    );
}

#[tokio::test]
async fn separates_dropped_from_unknown_blocks() {
    let api = Api::start().await;
    api.chain(2, 0).await;
    api.sql("INSERT INTO dropped_blocks (chain_id, hash, number, content) VALUES (31337, decode(repeat('dd', 32), 'hex'), 2, '{}')")
        .await;
    let dropped = format!("/api/v1/blocks/0x{}", "dd".repeat(32));
    let problem = api.expect_problem(&dropped, 404, "NOT_FOUND").await;
    assert!(
        problem["detail"].as_str().unwrap().contains("reorg"),
        "{problem}"
    );
}

#[tokio::test]
async fn transaction_has_receipt_logs_and_status() {
    let api = Api::start().await;
    api.chain(9, 4).await;
    let transaction = api
        .get(&format!("/api/v1/transactions/{}", transaction_hash(3)))
        .await;
    assert_eq!(transaction["status"], "success");
    assert_eq!(transaction["blockNumber"], 3);
    assert_eq!(transaction["blockHash"], block_hash(3).as_str());
    assert_eq!(transaction["confirmations"], 7);
    assert_eq!(transaction["finalized"], true);
    assert_eq!(transaction["from"], SENDER);
    assert_eq!(transaction["input"], "0xa9059cbb");
    assert_eq!(transaction["type"], 2);
    let most = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    assert_eq!(transaction["value"], most, "uint256 keeps every digit");
    let logs = transaction["logs"].as_array().unwrap();
    assert_eq!(numbers(logs, "logIndex"), [0, 1]);
    assert_eq!(logs[0]["topics"], json!([block_hash(3)]));
    let failed = api
        .get(&format!("/api/v1/transactions/{}", transaction_hash(8)))
        .await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["finalized"], false);
    api.expect_problem(
        &format!("/api/v1/transactions/{}", transaction_hash(77)),
        404,
        "NOT_FOUND",
    )
    .await;
    let bad = api
        .expect_problem("/api/v1/transactions/0x77", 400, "BAD_REQUEST")
        .await;
    assert_eq!(bad["parameter"], "hash");
}

#[tokio::test]
async fn pages_transactions_of_a_block_by_index() {
    let api = Api::start().await;
    api.chain(5, 0).await;
    api.sql(
        "INSERT INTO transactions SELECT chain_id, block_number, i, decode(lpad(to_hex(i), 64, 'e'), 'hex'), from_address,
             to_address, contract_address, value, nonce, input, type, gas_limit, gas_price, max_fee_per_gas,
             max_priority_fee_per_gas, status, gas_used, cumulative_gas_used, effective_gas_price
         FROM transactions, generate_series(1, 6) i WHERE block_number = 5",
    )
    .await;
    let all = api.all("/api/v1/blocks/latest/transactions?limit=3").await;
    assert_eq!(numbers(&all, "transactionIndex"), [0, 1, 2, 3, 4, 5, 6]);
    let page = api.get("/api/v1/blocks/5/transactions?limit=3").await;
    let cursor = page["next"].as_str().unwrap();
    // A reorg at that height: the cursor's block is another one.
    api.sql("UPDATE blocks SET hash = decode(repeat('cc', 32), 'hex') WHERE number = 5")
        .await;
    let path = format!("/api/v1/blocks/5/transactions?limit=3&cursor={cursor}");
    assert_eq!(
        api.expect_problem(&path, 400, "BAD_REQUEST").await["parameter"],
        "cursor"
    );
    api.expect_problem("/api/v1/blocks/6/transactions", 404, "NOT_FOUND")
        .await;
}

#[tokio::test]
async fn address_lists_each_transaction_once_newest_first() {
    let api = Api::start().await;
    api.chain(9, 4).await;
    for address in [SENDER.to_owned(), SENDER.to_lowercase()] {
        let transactions = api
            .all(&format!("/api/v1/addresses/{address}/transactions?limit=4"))
            .await;
        assert_eq!(
            numbers(&transactions, "blockNumber"),
            (0..=9).rev().collect::<Vec<_>>()
        );
        // It sent the odd ones to itself; their transactions succeeded, so the native value was transferred as well.
        let transfers = api
            .all(&format!("/api/v1/addresses/{address}/transfers?limit=3"))
            .await;
        let positions: Vec<(u64, bool)> = transfers
            .iter()
            .map(|one| {
                (
                    one["blockNumber"].as_u64().unwrap(),
                    one["source"] == "transaction",
                )
            })
            .collect();
        let expected: Vec<_> = (0..=9)
            .rev()
            .flat_map(|number| {
                [(number, false), (number, true)]
                    .into_iter()
                    .take(1 + number as usize % 2)
            })
            .collect();
        assert_eq!(positions, expected);
        let value = &transfers[1];
        assert_eq!(
            (&value["standard"], &value["token"], &value["logIndex"]),
            (&json!("native"), &json!(null), &json!(null))
        );
        assert_eq!(
            value["amount"],
            "115792089237316195423570985008687907853269984665640564039457584007913129639935"
        );
        assert_eq!(
            (&transfers[0]["source"], &transfers[0]["logIndex"]),
            (&json!("log"), &json!(0))
        );
        assert_eq!(transfers[0]["amount"], "9");
        assert_eq!(
            transfers[0]["transactionHash"],
            transaction_hash(9).as_str()
        );
        assert_eq!(transfers[0]["from"], SENDER);
    }
    let nobody = format!("/api/v1/addresses/0x{}/transfers", "11".repeat(20));
    assert_eq!(api.get(&nobody).await["data"], json!([]));
    let bad = api
        .expect_problem("/api/v1/addresses/0x12/transactions", 400, "BAD_REQUEST")
        .await;
    assert_eq!(bad["parameter"], "address");
}

#[tokio::test]
async fn address_pages_are_stable_across_new_blocks_and_reorg() {
    let api = Api::start().await;
    api.chain(9, 4).await;
    // One transfer in each block: values of transactions have their own test.
    let without_values = async || api.sql("UPDATE transactions SET value = 0").await;
    let blocks = async |from, to| {
        api.blocks(from, to).await;
        without_values().await;
    };
    without_values().await;
    for list in ["transactions", "transfers"] {
        let path = format!("/api/v1/addresses/{SENDER}/{list}");
        let first = api.get(&format!("{path}?limit=3")).await;
        assert_eq!(
            numbers(first["data"].as_array().unwrap(), "blockNumber"),
            [9, 8, 7]
        );
        let next = first["next"].as_str().unwrap();
        let rest = async || {
            let page = api.get(&format!("{path}?limit=100&cursor={next}")).await;
            numbers(page["data"].as_array().unwrap(), "blockNumber")
        };
        blocks(10, 12).await;
        assert_eq!(rest().await, (0..=6).rev().collect::<Vec<_>>());
        // A reorg above the cursor changes nothing below it.
        api.drop_above(7).await;
        blocks(8, 10).await;
        assert_eq!(rest().await, (0..=6).rev().collect::<Vec<_>>());
        // A reorg below it: blocks that both branches share, up to block 5, are still listed once.
        api.drop_above(5).await;
        assert_eq!(rest().await, (0..=5).rev().collect::<Vec<_>>());
        blocks(6, 9).await;
        assert_eq!(rest().await, (0..=6).rev().collect::<Vec<_>>());
    }
}

/// Block 1: transaction 0 fails with a value, 1 pays 5 and logs a token transfer twice, 2 creates 0xcc… with 7, 3 pays
/// its own sender, 4 has no value. Block 2 is of the Amsterdam fork, with a native transfer as a log.
async fn mixed_transfers(api: &Api) {
    api.chain(2, 0).await;
    api.sql(
        "DELETE FROM transfers; DELETE FROM logs; DELETE FROM transactions WHERE block_number <> 1;
         DELETE FROM transactions;
         INSERT INTO transactions (chain_id, block_number, transaction_index, hash, from_address, to_address, contract_address,
             value, nonce, input, type, gas_limit, status, gas_used, cumulative_gas_used, effective_gas_price)
         SELECT 31337, block, at, decode(lpad(to_hex(100 * block + at), 64, '0'), 'hex'), decode(repeat('aa', 20), 'hex'),
             CASE WHEN receiver <> 'cc' THEN decode(repeat(receiver, 20), 'hex') END,
             CASE WHEN receiver = 'cc' THEN decode(repeat('cc', 20), 'hex') END,
             value, at, '', 2, 1, status, 1, 1, 1
         FROM (VALUES (1, 0, 'bb', 3, 0), (1, 1, 'bb', 5, 1), (1, 2, 'cc', 7, 1), (1, 3, 'aa', 8, NULL), (1, 4, 'bb', 0, 1),
                      (2, 0, 'bb', 9, 1)) AS t (block, at, receiver, value, status);
         INSERT INTO transfers (chain_id, block_number, log_index, transaction_index, token_address, from_address,
             to_address, amount, position, standard)
         SELECT 31337, block, log, at, CASE WHEN standard <> 0 THEN decode(repeat('70', 20), 'hex') END,
             decode(repeat('aa', 20), 'hex'), decode(repeat('bb', 20), 'hex'), amount, position, standard
         FROM (VALUES (1, 0, 1, 20, 0, 20), (1, 1, 1, 30, 0, 1155), (1, 1, 1, 31, 1, 1155), (1, 2, 4, 40, 0, 20),
                      (2, 0, 0, 9, 0, 0)) AS t (block, log, at, amount, position, standard);
         UPDATE chains SET native_transfers_from = 2;",
    )
    .await;
}

#[tokio::test]
async fn returns_transaction_payloads_and_withdrawals() {
    let api = Api::start().await;
    api.chain(2, 0).await;
    let address = Address::repeat_byte(0x11);
    let access = AccessList(vec![AccessListItem {
        address,
        storage_keys: vec![B256::repeat_byte(0x22)],
    }]);
    let inner = Authorization {
        chain_id: U256::from(31_337),
        address,
        nonce: 5,
    };
    let signed = SignedAuthorization::new_unchecked(inner, 1, U256::from(6), U256::from(7));
    let paid = Withdrawal {
        index: 8,
        validator_index: 9,
        address,
        amount: 10,
    };
    let hex = |bytes: Vec<u8>| alloy::hex::encode(bytes);
    api.sql(&format!(
        "UPDATE transactions SET access_list = decode('{}', 'hex'), authorization_list = decode('{}', 'hex'),
             blob_versioned_hashes = decode(repeat('01', 64), 'hex'), max_fee_per_blob_gas = 12, blob_gas_price = 11
         WHERE block_number = 1;
         UPDATE blocks SET withdrawals = decode('{}', 'hex'), size = 7, size_proved = true WHERE number = 1",
        hex(encode(&access)),
        hex(encode(vec![signed])),
        hex(encode(vec![paid])),
    ))
    .await;
    let path = |number| format!("/api/v1/transactions/{}", transaction_hash(number));
    let sent = api.get(&path(1)).await;
    let returned = address.to_string();
    assert_eq!(
        sent["accessList"],
        json!([{ "address": returned, "storageKeys": [B256::repeat_byte(0x22)] }])
    );
    assert_eq!(
        sent["authorizationList"],
        json!([{ "chainId": "31337", "address": returned, "nonce": "5", "yParity": 1, "r": "6", "s": "7" }])
    );
    assert_eq!(
        sent["blobVersionedHashes"],
        json!([B256::repeat_byte(1), B256::repeat_byte(1)])
    );
    assert_eq!(
        (
            &sent["maxFeePerBlobGas"],
            &sent["blobGasUsed"],
            &sent["blobGasPrice"]
        ),
        (&json!("12"), &json!("262144"), &json!("11"))
    );
    let block = api.get("/api/v1/blocks/1").await;
    assert_eq!(
        block["withdrawals"],
        json!([{ "index": "8", "validatorIndex": "9", "address": returned, "amount": "10" }])
    );
    assert_eq!(
        (&block["size"], &block["sizeProved"]),
        (&json!(7), &json!(true))
    );

    // Rows of an earlier version are returned as before.
    let sent = api.get(&path(2)).await;
    for field in [
        "accessList",
        "authorizationList",
        "blobVersionedHashes",
        "maxFeePerBlobGas",
        "blobGasUsed",
        "blobGasPrice",
    ] {
        assert_eq!(sent.get(field), Some(&json!(null)), "{field}");
    }
    let block = api.get("/api/v1/blocks/2").await;
    for field in [
        "logsBloom",
        "withdrawals",
        "sizeProved",
        "sha3Uncles",
        "requestsHash",
        "slotNumber",
    ] {
        assert_eq!(block.get(field), Some(&json!(null)), "{field}");
    }
    let problem = api
        .expect_problem("/api/v1/blocks/2/header", 404, "NOT_FOUND")
        .await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("earlier version"), "{detail}");
    api.expect_problem("/api/v1/blocks/99/header", 404, "NOT_FOUND")
        .await;
}

#[tokio::test]
async fn merges_native_and_token_transfers_in_order() {
    let api = Api::start().await;
    mixed_transfers(&api).await;
    let returned = |items: &[Value]| -> Vec<String> {
        items
            .iter()
            .map(|one| {
                format!(
                    "{} {}.{} {} {}",
                    one["blockNumber"],
                    one["transactionIndex"],
                    one["logIndex"],
                    one["standard"].as_str().unwrap(),
                    one["amount"].as_str().unwrap()
                )
            })
            .collect()
    };
    let sent = [
        "2 0.0 native 9",
        "1 4.2 ERC-20 40",
        "1 3.null native 8",
        "1 2.null native 7",
        "1 1.1 ERC-1155 31",
        "1 1.1 ERC-1155 30",
        "1 1.0 ERC-20 20",
        "1 1.null native 5",
    ];
    for limit in 1..=9 {
        let path = format!("/api/v1/addresses/{SENDER}/transfers?limit={limit}");
        assert_eq!(returned(&api.all(&path).await), sent, "limit {limit}");
        let path = format!(
            "/api/v1/addresses/0x{}/transfers?limit={limit}",
            "bb".repeat(20)
        );
        let received = [sent[0], sent[1], sent[4], sent[5], sent[6], sent[7]];
        assert_eq!(returned(&api.all(&path).await), received, "limit {limit}");
    }
    let created = api
        .all(&format!(
            "/api/v1/addresses/0x{}/transfers?limit=1",
            "cc".repeat(20)
        ))
        .await;
    assert_eq!(returned(&created), ["1 2.null native 7"]);
    assert_eq!(
        (&created[0]["source"], &created[0]["position"]),
        (&json!("transaction"), &json!(0))
    );
    assert!(created[0]["token"].is_null() && created[0]["tokenSymbol"].is_null());
    let status = api.get("/api/v1/status").await;
    assert_eq!(status["chains"][0]["nativeTransfersCompleteFrom"], 2);

    // Before the fork every value counts as a transfer.
    api.sql("UPDATE chains SET native_transfers_from = NULL")
        .await;
    let path = format!("/api/v1/addresses/{SENDER}/transfers?limit=2");
    assert_eq!(api.all(&path).await.len(), sent.len() + 1);
    let status = api.get("/api/v1/status").await;
    assert!(status["chains"][0]["nativeTransfersCompleteFrom"].is_null());
}

#[tokio::test]
async fn contract_lists_its_creation_transaction() {
    let api = Api::start().await;
    api.chain(4, 0).await;
    let contract = format!("0x{}", "c0".repeat(20));
    api.sql(
        "UPDATE transactions SET to_address = NULL, contract_address = decode(repeat('c0', 20), 'hex')
         WHERE block_number = 2",
    )
    .await;
    let created = api
        .all(&format!(
            "/api/v1/addresses/{contract}/transactions?limit=2"
        ))
        .await;
    assert_eq!(numbers(&created, "blockNumber"), [2]);
    assert_eq!(
        created[0]["contractAddress"]
            .as_str()
            .unwrap()
            .to_lowercase(),
        contract
    );
}

#[tokio::test]
async fn selects_chain_by_id() {
    let api = Api::start().await;
    api.chain(3, 0).await;
    assert_eq!(
        api.get("/api/v1/blocks?chain=31337").await["data"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    let other = api
        .get(&format!("/api/v1/blocks?chain={OTHER_CHAIN}"))
        .await;
    assert_eq!(other["data"].as_array().unwrap().len(), 0);
    let problem = api
        .expect_problem("/api/v1/blocks?chain=5", 404, "UNKNOWN_CHAIN")
        .await;
    assert_eq!(problem["parameter"], "chain");
    let page = api.get("/api/v1/blocks?limit=1").await;
    let cursor = page["next"].as_str().unwrap();
    api.expect_problem(
        &format!("/api/v1/blocks?limit=1&chain={OTHER_CHAIN}&cursor={cursor}"),
        400,
        "BAD_REQUEST",
    )
    .await;
}

#[tokio::test]
async fn status_reports_position_of_every_chain() {
    let api = Api::start().await;
    let status = api.get("/api/v1/status").await;
    assert!(
        status["chains"][0]["head"].is_null() && status["chains"][0]["verified_through"].is_null()
    );
    api.chain(9, 4).await;
    api.sql("UPDATE chains SET verified_through = 8, unproved = '{gas_price}', node_head = 11")
        .await;
    api.sql("INSERT INTO chain_providers VALUES
             (31337, 1, 'b', 'https://b', 'history', 'resting', false, NULL, NULL, 'too much', 2, to_timestamp(7)),
             (31337, 0, 'a', 'https://a', 'all', 'ok', true, 11, 3, NULL, 0, to_timestamp(1.5))")
        .await;
    let status = api.get("/api/v1/status").await;
    assert_eq!(
        status["chains"][0]["providers"],
        json!([
            { "name": "a", "url": "https://a", "role": "all", "state": "ok", "active": true, "head": 11,
              "latencyMs": 3, "lastError": null, "failures": 0, "since": 1_500 },
            { "name": "b", "url": "https://b", "role": "history", "state": "resting", "active": false, "head": null,
              "latencyMs": null, "lastError": "too much", "failures": 2, "since": 7_000 },
        ])
    );
    assert_eq!(status["chains"][1]["providers"], json!([]));
    assert_eq!(status["epoch"], api.store.epoch());
    assert!(status["version"].is_string() && status["serverTime"].is_i64());
    let chain = &status["chains"][0];
    assert_eq!(chain["chainId"], 31_337);
    assert_eq!(chain["head"]["number"], 9);
    assert_eq!(chain["head"]["hash"], block_hash(9).as_str());
    assert_eq!(chain["head"]["timestamp"], 1_700_000_009);
    assert_eq!(chain["finalized"]["number"], 4);
    assert_eq!(chain["verified_through"], 8);
    assert_eq!(chain["verifiedThrough"], 8);
    assert_eq!(
        (&chain["proof"], &chain["unproved"]),
        (&json!("full"), &json!(["gas_price"]))
    );
    assert_eq!(chain["lagBlocks"], 2);
    assert_eq!(status["chains"].as_array().unwrap().len(), 2);
}
