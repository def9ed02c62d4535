//! Configured contracts: live, through reorgs, and of before they were configured.

use alloy::{
    primitives::{Bytes, keccak256},
    sol_types::SolValue,
};
use serde_json::json;

use super::stage::{CHAIN, PATIENCE, Stage, anvil_again, data, eventually};
use crate::{
    model::{Address, B256, U256, Update},
    source::{
        chain::ChainConfig,
        contract::{ContractConfig, compile},
    },
};

/// Creates a contract that logs what it is called with: two topics, then the data.
const LOGGER: &str = "601680600b6000396000f360403603806040600037602035906000359060 00a200";

const ABI: &str = r#"[
    {"type":"event","name":"Made","inputs":[{"name":"pair","type":"address","indexed":true}],"anonymous":false},
    {"type":"event","name":"Said","inputs":[{"name":"who","type":"address","indexed":true},
        {"name":"value","type":"uint256","indexed":false}],"anonymous":false}]"#;

impl Stage {
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

    /// Has a logger log, in a block of its own, unless mining is off.
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

    async fn say(&self, logger: Address, value: u64) {
        let data = U256::from(value).abi_encode();
        self.log(logger, "Said(address,uint256)", Address::ZERO, data)
            .await;
    }

    /// What the next writer follows, in TOML; `ABI` stands for the file.
    fn configure(&mut self, text: &str) {
        let abi = self.dir.path().join("abi.json");
        std::fs::write(&abi, ABI).unwrap();
        let text = text.replace("ABI", &format!("{abi:?}"));
        let mut table: toml::Table = toml::from_str(&text).unwrap();
        let configs: Vec<ContractConfig> = table.remove("contracts").unwrap().try_into().unwrap();
        self.contracts = compile(&configs, &[CHAIN]).unwrap().into();
    }

    /// The values said, in the order of the chain, of a contract in force.
    async fn said(&self, contract: &str) -> Vec<u64> {
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

    async fn says(&self, contract: &str, values: &[u64]) {
        eventually(&format!("{contract} says {values:?}"), async || {
            (self.said(contract).await == values).then_some(())
        })
        .await;
    }

    /// The next update of that kind on the contract's channel and on its event's; channels have no order among them.
    async fn both_channels(&mut self, event: &str) -> Vec<Update> {
        let mut both = Vec::new();
        while both.len() < 2 {
            let update = self.contract_news().await;
            if &*update.event == event {
                both.push(update);
            }
        }
        both.sort_by_key(|update| update.channel.to_string());
        let channels: Vec<_> = both.iter().map(|one| one.channel.to_string()).collect();
        assert_eq!(channels, ["contract:many", "contract:many:said"]);
        both
    }

    /// The next update of any contract's channel.
    async fn contract_news(&mut self) -> Update {
        loop {
            if let Some(at) = self
                .contract_updates
                .iter()
                .position(|update| update.event.starts_with("contract-"))
            {
                return self.contract_updates.drain(..=at).next_back().unwrap();
            }
            let commit = tokio::time::timeout(PATIENCE, self.feed.next()).await;
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
async fn a_contract_added_later_is_decoded_from_stored_logs_without_the_node_and_without_a_gap() {
    let mut stage = Stage::new().await;
    let logger = stage.logger().await;
    for value in 0..5 {
        stage.say(logger, value).await;
    }
    stage
        .log(logger, "Made(address)", Address::repeat_byte(7), vec![])
        .await;
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.caught_up().await;
    running.stop().await;
    stage.anvil.take().unwrap().stop().await.unwrap();

    stage.configure(&fixed(logger, "Said"));
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.says("one", &[0, 1, 2, 3, 4]).await;
    stage.anvil = Some(anvil_again(&stage.anvil_options).await);
    stage.say(logger, 5).await;
    stage.says("one", &[0, 1, 2, 3, 4, 5]).await;
    running.stop().await;

    // The same definition is not decoded again; another is, and the old one's rows go.
    stage.say(logger, 6).await;
    let id = stage.count("SELECT id FROM contracts").await;
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.says("one", &[0, 1, 2, 3, 4, 5, 6]).await;
    assert_eq!(stage.count("SELECT id FROM contracts").await, id);
    running.stop().await;
    let start = stage.state().await.head.unwrap().number;
    stage.configure(&format!("{}start_block = {start}\n", fixed(logger, "Said")));
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.says("one", &[6]).await;
    eventually("the old definition is gone", async || {
        let all = stage.count("SELECT count(*) FROM contracts").await;
        (all == 1 && stage.count("SELECT count(*) FROM contract_events").await == 1).then_some(())
    })
    .await;
    running.stop().await;

    // Blocks that were indexed without it are no hole.
    stage.contracts = Default::default();
    stage.configure(&fixed(logger, "Made"));
    let running = stage.ingest(stage.config()).await.unwrap();
    eventually("the other event", async || {
        let made = "SELECT count(*) FROM contract_events WHERE event = 'Made'";
        (stage.count(made).await == 1).then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_takes_back_what_only_rest_had_of_blocks_that_were_never_announced_too() {
    let mut stage = Stage::new().await;
    let logger = stage.logger().await;
    for value in 1..=5 {
        stage.say(logger, value).await;
    }
    let config = ChainConfig {
        announce_blocks: 1,
        ..stage.config()
    };
    stage.configure(&fixed(logger, "Said").replace("One", "Many"));
    let running = stage.ingest(config).await.unwrap();
    stage.says("many", &[1, 2, 3, 4, 5]).await;
    for event in stage.both_channels("contract-event").await {
        assert_eq!(event.seq, 1);
        assert_eq!(data(&event)["args"]["value"], "5");
    }
    stage.control.reorg(3).await.unwrap();
    stage.control.mine(1).await.unwrap();
    stage.says("many", &[1, 2]).await;
    for reorg in stage.both_channels("contract-reorg").await {
        assert_eq!(reorg.seq, 2);
        assert_eq!(data(&reorg)["dropped"].as_array().unwrap().len(), 3);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_of_a_factory_count_from_their_announcement_and_a_reorg_takes_them_back() {
    let mut stage = Stage::new().await;
    let (factory, pair, other) = (
        stage.logger().await,
        stage.logger().await,
        stage.logger().await,
    );
    let made = "Made(address)";
    // Of before it is configured: other is announced early and found by the factory's own logs.
    stage.say(other, 1).await;
    stage.log(factory, made, other, vec![]).await;
    stage.say(other, 2).await;
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.caught_up().await;
    running.stop().await;

    stage.configure(&format!(
        "[[contracts]]\nname = \"Many\"\nabi = ABI\nevents = [\"Said\"]\n
         factory = {{ address = \"{factory}\", event = \"Made\", parameter = \"pair\" }}\n"
    ));
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.says("many", &[2]).await;
    stage.contract_updates.clear();

    // In one block: said before the announcement, and after it.
    stage.control.set_automine(false).await.unwrap();
    stage.say(pair, 10).await;
    stage.log(factory, made, pair, vec![]).await;
    stage.say(pair, 11).await;
    stage.control.mine(1).await.unwrap();
    stage.control.set_automine(true).await.unwrap();
    stage.says("many", &[2, 11]).await;
    for update in stage.both_channels("contract-event").await {
        let said = data(&update);
        assert_eq!(said["contract"], "Many");
        assert_eq!(said["event"], "Said");
        assert_eq!(said["args"]["value"], "11");
        assert_eq!(said["address"], pair.to_string());
        assert_eq!(said["chainId"], CHAIN);
        assert!(said["transactionHash"].is_string() && said["blockHash"].is_string());
    }
    stage.say(other, 3).await;
    stage.says("many", &[2, 11, 3]).await;

    // The announcement goes with its block, and what the pair says then is nobody's.
    stage.control.reorg(2).await.unwrap();
    stage.control.mine(1).await.unwrap();
    stage.says("many", &[2]).await;
    for reorg in stage.both_channels("contract-reorg").await {
        assert_eq!(data(&reorg)["dropped"].as_array().unwrap().len(), 2);
    }
    let kept =
        "SELECT count(*) FROM dropped_blocks, jsonb_array_elements(content->'contractEvents') e
                WHERE e->>'contract' = 'many'";
    assert_eq!(stage.count(kept).await, 2);
    assert_eq!(
        stage.count("SELECT count(*) FROM contract_addresses").await,
        1
    );
    stage.say(pair, 12).await;
    stage.say(other, 4).await;
    stage.says("many", &[2, 4]).await;
    running.stop().await;
    assert_eq!(stage.said("many").await, [2, 4]);

    // As when history was put below: an announcement that was not known brings all that its contract said since.
    sqlx::raw_sql(
        "UPDATE contracts SET found_from = (SELECT min(block_number) + 1 FROM contract_addresses);
         DELETE FROM contract_addresses; DELETE FROM contract_events",
    )
    .execute(&mut *stage.connection().await)
    .await
    .unwrap();
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.says("many", &[2, 4]).await;
    running.stop().await;
}
