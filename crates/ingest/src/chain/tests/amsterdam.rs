//! A chain across Ethereum's Amsterdam fork: scripted blocks with valid hashes on both sides.

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use super::{
    anvil_fixture::{CHAIN, data, eventually},
    scripted_fixture::{ScriptedFixture, config_of},
};
use chaincast_base::Secret;
use chaincast_evm::chain::{BlockTarget, ChainConfig, ChecksConfig, Node, Role};
use chaincast_model::IndexMode;
use chaincast_protocol::Channel;
use chaincast_store::read::TransferRow;
use chaincast_testkit::faulty_node::{BlockTree, Contents, FaultyNode, Payment};

const SENDER: u8 = 3;
const RECEIVER: Address = Address::repeat_byte(0xee);
const INNER: Address = Address::repeat_byte(0xa1);

fn paid(amount: u64) -> Payment {
    Payment {
        value: U256::from(amount),
        ..Payment::new(SENDER)
    }
}

/// Two blocks before the fork and three after it: with refunds, state, and logs of native transfers.
fn across_the_fork() -> BlockTree {
    let tree = BlockTree::new(CHAIN);
    let token = Address::repeat_byte(0x70);
    let failed = Payment {
        success: false,
        ..paid(4)
    };
    tree.mine(&Contents::new(
        vec![paid(5).transfer(token, RECEIVER, 77), failed],
        1,
    ));
    tree.mine(&Contents::new(vec![paid(6)], 2));
    let sender = paid(7).sender();
    let native = paid(7)
        .native(sender, RECEIVER, 7)
        .native(RECEIVER, INNER, 2)
        .transfer(token, RECEIVER, 78);
    let refunded = Contents::new(vec![native], 3)
        .in_slot(100)
        .claiming_gas(30_000);
    tree.mine(&refunded);
    let burning = (0..5).fold(paid(0), |payment, amount| payment.burn(INNER, 1 + amount));
    let with_state = Contents::new(vec![burning.clone(), burning], 4)
        .in_slot(102)
        .claiming_gas(45_000);
    tree.mine(&with_state);
    tree.mine(&Contents::empty(5).in_slot(103));
    tree
}

async fn transfers(fixture: &ScriptedFixture, address: Address) -> Vec<TransferRow> {
    let all = fixture
        .store
        .read_address_transfers(CHAIN, address, None, 100);
    all.await.unwrap()
}

fn as_text(rows: &[TransferRow]) -> Vec<String> {
    rows.iter()
        .map(|row| {
            let source = match row.log_index {
                Some(index) => format!("log {index}"),
                None => "transaction".to_owned(),
            };
            format!(
                "{} {source} {} {}",
                row.block_number,
                row.standard.name(),
                row.amount
            )
        })
        .collect()
}

async fn native_from(fixture: &ScriptedFixture) -> Option<u64> {
    let rows = fixture.store.read_chains(&[CHAIN]).await.unwrap();
    rows[0].native_transfers_from
}

async fn native_rows(fixture: &ScriptedFixture) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT to_jsonb(r)::text FROM transfers r WHERE standard = 0
         UNION ALL SELECT 'from ' || coalesce(native_transfers_from, -1) FROM chains ORDER BY 1",
    )
    .fetch_all(fixture.store.pool())
    .await
    .unwrap()
}

/// Restores the rows of an earlier version: transfers of a token at the system address, and no burned amounts.
async fn forget_native_transfers(fixture: &ScriptedFixture) {
    let system = "'\\xfffffffffffffffffffffffffffffffffffffffe'";
    sqlx::raw_sql(&format!(
        "DELETE FROM transfers WHERE standard = 0 AND to_address = decode(repeat('00', 20), 'hex');
         UPDATE transfers SET standard = 20, token_address = {system} WHERE standard = 0;
         INSERT INTO token_contracts (chain_id, address, standard) VALUES ({CHAIN}, {system}, 20);
         UPDATE chains SET native_transfers_from = NULL"
    ))
    .execute(fixture.store.pool())
    .await
    .unwrap();
}

/// The migration's statements for stored rows.
fn upgrade() -> String {
    let migration = chaincast_store::migration("native transfers");
    let (_, rows) = migration
        .split_once("-- Logs of the system address")
        .unwrap();
    format!("-- Logs of the system address{rows}")
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_chain_across_fork_and_back() {
    let fixture = ScriptedFixture::new().await;
    let tree = across_the_fork();
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let running = fixture
        .ingest(config_of(&[(&node, Role::All)]))
        .await
        .unwrap();
    fixture.caught_up(&tree, "across the fork").await;
    let sender = paid(0).sender();
    assert_eq!(
        as_text(&transfers(&fixture, sender).await),
        [
            "3 log 2 ERC-20 78",
            "3 log 0 native 7",
            "2 transaction native 6",
            "1 log 0 ERC-20 77",
            "1 transaction native 5",
        ]
    );
    let inner = transfers(&fixture, INNER).await;
    assert_eq!(inner.len(), 11);
    assert!(inner.iter().all(|row| row.token.is_none()));
    assert_eq!((inner[0].from, inner[0].to), (INNER, Address::ZERO));
    assert_eq!(as_text(&inner[10..]), ["3 log 1 native 2"]);
    assert_eq!(native_from(&fixture).await, Some(3));
    let slots = "SELECT coalesce(sum(slot_number), 0)::bigint FROM blocks";
    assert_eq!(fixture.count(slots).await, 100 + 102 + 103);
    assert_eq!(fixture.state().await.unwrap().verified_through, Some(5));
    // Token metadata is read for the token, not for the native coin.
    assert_eq!(
        fixture.count("SELECT count(*) FROM token_contracts").await,
        1
    );

    let rows = native_rows(&fixture).await;
    forget_native_transfers(&fixture).await;
    assert_ne!(native_rows(&fixture).await, rows);
    sqlx::raw_sql(&upgrade())
        .execute(fixture.store.pool())
        .await
        .unwrap();
    assert_eq!(native_rows(&fixture).await, rows, "after an upgrade");
    assert_eq!(
        fixture.count("SELECT count(*) FROM token_contracts").await,
        1
    );

    // Another branch enters the fork later.
    let later = Payment::new(SENDER).native(sender, RECEIVER, 1);
    tree.reorg(
        3,
        &[
            Contents::new(vec![paid(8)], 11),
            Contents::empty(12),
            Contents::new(vec![later], 13).in_slot(104),
            Contents::empty(14).in_slot(105),
        ],
    );
    fixture.caught_up(&tree, "the other branch").await;
    assert_eq!(native_from(&fixture).await, Some(5));
    assert_eq!(
        as_text(&transfers(&fixture, sender).await)[..2],
        ["5 log 0 native 1", "3 transaction native 8"]
    );
    // A branch without the fork.
    let salts = 21..=25;
    tree.reorg(4, &salts.map(Contents::empty).collect::<Vec<_>>());
    fixture.caught_up(&tree, "a branch before the fork").await;
    assert_eq!(native_from(&fixture).await, None);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_both_kinds_of_native_transfers() {
    let fixture = ScriptedFixture::new().await;
    let tree = BlockTree::new(CHAIN);
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let running = fixture
        .ingest(config_of(&[(&node, Role::All)]))
        .await
        .unwrap();
    fixture.caught_up(&tree, "block 0").await;
    let channel = Channel::Address(RECEIVER);
    let watched = fixture
        .store
        .watch(std::slice::from_ref(&channel), 3_600, 10, "a gateway");
    watched.await.unwrap()[0].unwrap();
    tree.mine(&Contents::new(vec![paid(5)], 1));
    fixture.caught_up(&tree, "before the fork").await;
    let native = paid(7).native(paid(7).sender(), RECEIVER, 7);
    tree.mine(&Contents::new(vec![native], 2).in_slot(9));
    let updates = eventually("four updates", async || {
        let all = fixture.store.updates_between(&channel, 0, u64::MAX, 100);
        let updates = all.await.unwrap();
        (updates.len() >= 4).then_some(updates)
    })
    .await;
    let sent: Vec<Value> = updates
        .iter()
        .map(|update| {
            let data = data(update);
            json!([
                update.event.as_str(),
                data["source"],
                data["logIndex"],
                data["standard"],
                data["token"],
                data["amount"]
            ])
        })
        .collect();
    assert_eq!(
        sent,
        [
            json!(["address-transaction", null, null, null, null, null]),
            json!(["address-transfer", "transaction", null, "native", null, "5"]),
            json!(["address-transaction", null, null, null, null, null]),
            json!(["address-transfer", "log", 0, "native", null, "7"]),
        ]
    );
    running.stop().await;
}

/// The verdict of full verification on block 2, which follows a valid block 1.
async fn verify(contents: &Contents, index: IndexMode) -> Result<(), String> {
    let tree = BlockTree::new(CHAIN);
    tree.mine(&Contents::empty(1));
    tree.mine(contents);
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let config = ChainConfig {
        index,
        ..ChainConfig::of(CHAIN, Secret::new(node.http_url()))
    };
    let client = Node::new(&config).unwrap();
    let block = client
        .block(BlockTarget::Number(2), &ChecksConfig::default())
        .await;
    block.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn rejects_false_gas_on_both_sides_of_fork() {
    // Two transactions of 21,000 gas, and two that may have created state.
    let plain = || Contents::new(vec![paid(1), paid(2)], 2);
    let busy = (0..10).fold(paid(1), |payment, at| payment.burn(INNER, 1 + at));
    let large = || Contents::new(vec![busy.clone(), busy.clone()], 2);
    for (what, contents, accepted) in [
        ("equal before", plain().claiming_gas(42_000), true),
        ("less before", plain().claiming_gas(41_999), false),
        ("refunds before", plain().claiming_gas(42_001), false),
        ("equal after", plain().in_slot(1).claiming_gas(42_000), true),
        (
            "refunds after",
            plain().in_slot(1).claiming_gas(52_500),
            true,
        ),
        ("less after", plain().in_slot(1).claiming_gas(41_999), false),
        ("nothing after", plain().in_slot(1).claiming_gas(0), false),
        ("state after", large().in_slot(1).claiming_gas(41_000), true),
        (
            "less than half",
            large().in_slot(1).claiming_gas(40_999),
            false,
        ),
        ("state before", large().claiming_gas(41_000), false),
    ] {
        let verify = verify(&contents, IndexMode::Blocks).await;
        assert_eq!(verify.is_ok(), accepted, "{what}: {verify:?}");
        let error = verify.err().unwrap_or_default();
        assert!(
            accepted || error.contains("chains.checks.gas_used"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn hashes_new_header_fields() {
    let contents = Contents::new(vec![paid(1)], 2).in_slot(7);
    for index in [IndexMode::Blocks, IndexMode::Logs, IndexMode::Transfers] {
        verify(&contents, index).await.unwrap();
    }
}
