//! Configured contracts: live, through reorgs, and backfilled.

use alloy::{
    primitives::{Bytes, keccak256},
    sol_types::SolValue,
};
use serde_json::json;

use super::anvil_fixture::{AnvilFixture, CHAIN, TEST_TIMEOUT, data, eventually, restart_anvil};
use chaincast_evm::{
    chain::ChainConfig,
    contract::{ContractConfig, compile},
};
use chaincast_protocol::{Address, B256, U256, Update};

/// Creates a contract that logs its call data: two topics, then the data.
const LOGGER: &str = "601680600b6000396000f360403603806040600037602035906000359060 00a200";

const ABI: &str = r#"[
    {"type":"event","name":"Made","inputs":[{"name":"pair","type":"address","indexed":true}],"anonymous":false},
    {"type":"event","name":"Said","inputs":[{"name":"who","type":"address","indexed":true},
        {"name":"value","type":"uint256","indexed":false}],"anonymous":false}]"#;

impl AnvilFixture {
    async fn send(&self, transaction: serde_json::Value) -> B256 {
        let hash = self
            .node
            .request("eth_sendTransaction", (transaction,))
            .await;
        hash.unwrap()
    }

    async fn from(&self) -> Address {
        self.node.accounts(1).await.unwrap()[0]
    }

    async fn logger(&self) -> Address {
        let code: Bytes = LOGGER.replace(' ', "").parse().unwrap();
        let from = self.from().await;
        let hash = self
            .send(json!({ "from": from, "data": code, "gas": "0x100000" }))
            .await;
        self.node.mined(&[hash]).await.unwrap();
        let receipt: serde_json::Value = self
            .node
            .request("eth_getTransactionReceipt", (hash,))
            .await
            .unwrap();
        serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
    }

    /// Emits a log, in a block of its own unless mining is off.
    async fn log(&self, logger: Address, event: &str, indexed: Address, data: Vec<u8>) {
        let call = [
            keccak256(event).to_vec(),
            indexed.into_word().to_vec(),
            data,
        ]
        .concat();
        let from = self.from().await;
        let call =
            json!({ "from": from, "to": logger, "data": Bytes::from(call), "gas": "0x100000" });
        let sent = self.send(call).await;
        let mines: bool = self.node.request("anvil_getAutomine", ()).await.unwrap();
        if mines {
            self.node.mined(&[sent]).await.unwrap();
        }
    }

    async fn emit_value(&self, logger: Address, value: u64) {
        let data = U256::from(value).abi_encode();
        self.log(logger, "Said(address,uint256)", Address::ZERO, data)
            .await;
    }

    /// Sets the contracts of the next writer, in TOML; `ABI` is replaced by the file.
    fn configure(&mut self, text: &str) {
        let abi = self.dir.path().join("abi.json");
        std::fs::write(&abi, ABI).unwrap();
        let text = text.replace("ABI", &format!("{abi:?}"));
        let mut table: toml::Table = toml::from_str(&text).unwrap();
        let configs: Vec<ContractConfig> = table.remove("contracts").unwrap().try_into().unwrap();
        self.contracts = compile(&configs, &[CHAIN]).unwrap().into();
    }

    /// The stored values of an active contract, in chain order.
    async fn stored_values(&self, contract: &str) -> Vec<u64> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT e.args->>'value' FROM contract_events e JOIN contracts c ON c.id = e.contract_id
             WHERE c.name = $1 AND c.retired_at IS NULL ORDER BY block_number, log_index",
        )
        .bind(contract)
        .fetch_all(&mut *self.connection().await)
        .await
        .unwrap();
        rows.iter().map(|value| value.parse().unwrap()).collect()
    }

    async fn expect_values(&self, contract: &str, values: &[u64]) {
        eventually(&format!("events of {contract}: {values:?}"), async || {
            (self.stored_values(contract).await == values).then_some(())
        })
        .await;
    }

    /// The next update of this kind on the contract's channel and on the event's; their order is undefined.
    async fn both_channels(&mut self, event: &str) -> Vec<Update> {
        let mut both = Vec::new();
        while both.len() < 2 {
            let update = self.next_contract_update().await;
            if update.event == event {
                both.push(update);
            }
        }
        both.sort_by_key(|update| update.channel.to_string());
        let channels: Vec<_> = both.iter().map(|one| one.channel.to_string()).collect();
        assert_eq!(channels, ["contract:many", "contract:many:said"]);
        both
    }

    /// The next update of any contract's channel.
    async fn next_contract_update(&mut self) -> Update {
        loop {
            if let Some(at) = self
                .contract_updates
                .iter()
                .position(|update| update.event.as_str().starts_with("contract-"))
            {
                return self.contract_updates.drain(..=at).next_back().unwrap();
            }
            let commit = tokio::time::timeout(TEST_TIMEOUT, self.commits.next()).await;
            let commit = commit.expect("a contract's update").unwrap();
            self.contract_updates.extend(commit.iter().cloned());
        }
    }
}

fn fixed(address: Address, events: &str) -> String {
    format!(
        "[[contracts]]\nname = \"One\"\nabi = ABI\naddress = \"{address}\"\nevents = [{events:?}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn added_contract_is_backfilled_from_stored_logs() {
    let mut fixture = AnvilFixture::new().await;
    let logger = fixture.logger().await;
    for value in 0..5 {
        fixture.emit_value(logger, value).await;
    }
    fixture
        .log(logger, "Made(address)", Address::repeat_byte(7), vec![])
        .await;
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.caught_up().await;
    running.stop().await;
    fixture.anvil.take().unwrap().stop().await.unwrap();

    fixture.configure(&fixed(logger, "Said"));
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.expect_values("one", &[0, 1, 2, 3, 4]).await;
    fixture.anvil = Some(restart_anvil(&fixture.anvil_options).await);
    fixture.emit_value(logger, 5).await;
    fixture.expect_values("one", &[0, 1, 2, 3, 4, 5]).await;
    running.stop().await;

    // The same definition is not decoded again; a changed one is, and the old rows are deleted.
    fixture.emit_value(logger, 6).await;
    let id = fixture.count("SELECT id FROM contracts").await;
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.expect_values("one", &[0, 1, 2, 3, 4, 5, 6]).await;
    assert_eq!(fixture.count("SELECT id FROM contracts").await, id);
    running.stop().await;
    let start = fixture.state().await.head.unwrap().number;
    fixture.configure(&format!("{}start_block = {start}\n", fixed(logger, "Said")));
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.expect_values("one", &[6]).await;
    eventually("the old definition is deleted", async || {
        let all = fixture.count("SELECT count(*) FROM contracts").await;
        (all == 1 && fixture.count("SELECT count(*) FROM contract_events").await == 1).then_some(())
    })
    .await;
    running.stop().await;

    // Blocks that were indexed without it leave no gap.
    fixture.contracts = Default::default();
    fixture.configure(&fixed(logger, "Made"));
    let running = fixture.ingest(fixture.config()).await.unwrap();
    eventually("the other event", async || {
        let made = "SELECT count(*) FROM contract_events WHERE event = 'Made'";
        (fixture.count(made).await == 1).then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reorg_reverts_contract_events_of_unannounced_blocks() {
    let mut fixture = AnvilFixture::new().await;
    let logger = fixture.logger().await;
    for value in 1..=5 {
        fixture.emit_value(logger, value).await;
    }
    let config = ChainConfig {
        announce_blocks: 1,
        ..fixture.config()
    };
    fixture.configure(&fixed(logger, "Said").replace("One", "Many"));
    let running = fixture.ingest(config).await.unwrap();
    fixture.expect_values("many", &[1, 2, 3, 4, 5]).await;
    for event in fixture.both_channels("contract-event").await {
        assert_eq!(event.seq, 1);
        assert_eq!(data(&event)["args"]["value"], "5");
    }
    fixture.control.reorg(3).await.unwrap();
    fixture.control.mine(1).await.unwrap();
    fixture.expect_values("many", &[1, 2]).await;
    for reorg in fixture.both_channels("contract-reorg").await {
        assert_eq!(reorg.seq, 2);
        assert_eq!(data(&reorg)["dropped"].as_array().unwrap().len(), 3);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn factory_contracts_count_from_creation_until_reorg() {
    let mut fixture = AnvilFixture::new().await;
    let (factory, pair, other) = (
        fixture.logger().await,
        fixture.logger().await,
        fixture.logger().await,
    );
    let made = "Made(address)";
    // Before the configuration: `other` is created early and discovered through the factory's logs.
    fixture.emit_value(other, 1).await;
    fixture.log(factory, made, other, vec![]).await;
    fixture.emit_value(other, 2).await;
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.caught_up().await;
    running.stop().await;

    fixture.configure(&format!(
        "[[contracts]]\nname = \"Many\"\nabi = ABI\nevents = [\"Said\"]\n
         factory = {{ address = \"{factory}\", event = \"Made\", parameter = \"pair\" }}\n"
    ));
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.expect_values("many", &[2]).await;
    fixture.contract_updates.clear();

    // In one block: events before and after the creation.
    fixture.control.set_automine(false).await.unwrap();
    fixture.emit_value(pair, 10).await;
    fixture.log(factory, made, pair, vec![]).await;
    fixture.emit_value(pair, 11).await;
    fixture.control.mine(1).await.unwrap();
    fixture.control.set_automine(true).await.unwrap();
    fixture.expect_values("many", &[2, 11]).await;
    for update in fixture.both_channels("contract-event").await {
        let event = data(&update);
        assert_eq!(event["contract"], "Many");
        assert_eq!(event["event"], "Said");
        assert_eq!(event["args"]["value"], "11");
        assert_eq!(event["address"], pair.to_string());
        assert_eq!(event["chainId"], CHAIN);
        assert!(event["transactionHash"].is_string() && event["blockHash"].is_string());
    }
    fixture.emit_value(other, 3).await;
    fixture.expect_values("many", &[2, 11, 3]).await;

    // The creation is dropped with its block, and later events of the pair are ignored.
    fixture.control.reorg(2).await.unwrap();
    fixture.control.mine(1).await.unwrap();
    fixture.expect_values("many", &[2]).await;
    for reorg in fixture.both_channels("contract-reorg").await {
        assert_eq!(data(&reorg)["dropped"].as_array().unwrap().len(), 2);
    }
    let kept =
        "SELECT count(*) FROM dropped_blocks, jsonb_array_elements(content->'contractEvents') e
                WHERE e->>'contract' = 'many'";
    assert_eq!(fixture.count(kept).await, 2);
    assert_eq!(
        fixture
            .count("SELECT count(*) FROM contract_addresses")
            .await,
        1
    );
    fixture.emit_value(pair, 12).await;
    fixture.emit_value(other, 4).await;
    fixture.expect_values("many", &[2, 4]).await;
    running.stop().await;
    assert_eq!(fixture.stored_values("many").await, [2, 4]);

    // As after a downward backfill: a newly discovered creation includes all later events of its contract.
    sqlx::raw_sql(
        "UPDATE contracts SET found_from = (SELECT min(block_number) + 1 FROM contract_addresses);
         DELETE FROM contract_addresses; DELETE FROM contract_events",
    )
    .execute(&mut *fixture.connection().await)
    .await
    .unwrap();
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.expect_values("many", &[2, 4]).await;
    running.stop().await;
}
