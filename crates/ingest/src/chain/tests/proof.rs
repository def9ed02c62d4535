//! Which blocks count as proven when a check that no root covers is disabled.

use serde_json::json;

use super::{
    anvil_fixture::eventually,
    scripted_fixture::{ScriptedFixture, config_of},
};
use chaincast_evm::chain::{ChainConfig, ChecksConfig, Role, Senders};
use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind, Payment};

const RECEIPTS: &str = "eth_getBlockReceipts";

fn alter(at: &str, to: serde_json::Value) -> Fault {
    let at = at.to_owned();
    Fault::new(RECEIPTS, Kind::Alter { at, to })
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_check_leaves_others_enabled() {
    let fixture = ScriptedFixture::new().await;
    let tree = BlockTree::new(super::anvil_fixture::CHAIN);
    let creation = Payment {
        to: None,
        ..Payment::new(0)
    };
    tree.mine(&Contents {
        payments: vec![creation],
        salt: 1,
        ..Contents::default()
    });
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    // As on Arbitrum, where receipts contain the base fee as the price.
    node.add(alter("/0/effectiveGasPrice", json!("0x7")));
    let config = |checks| ChainConfig {
        checks,
        ..config_of(&[(&node, Role::All)])
    };
    let no_price = ChecksConfig {
        gas_price: false,
        ..ChecksConfig::default()
    };
    let running = fixture.ingest(config(no_price)).await.unwrap();
    fixture.caught_up(&tree, "without the price").await;
    running.stop().await;
    let state = fixture.state().await.unwrap();
    assert_eq!(
        (state.verified_through, state.unproved),
        (Some(1), vec!["gas_price".to_owned()])
    );

    // False gas and a false contract are still rejected.
    for (at, to, key) in [
        ("/0/gasUsed", json!("0x1"), "gas_used"),
        ("/0/contractAddress", json!(null), "contract_address"),
    ] {
        node.clear_faults();
        node.add(alter(at, to));
        let creation = Payment {
            to: None,
            ..Payment::new(1)
        };
        let before = fixture.state().await.unwrap().head;
        tree.mine(&Contents {
            payments: vec![creation],
            salt: 2,
            ..Contents::default()
        });
        let running = fixture.ingest(config(no_price)).await.unwrap();
        eventually("the refusal", async || {
            let rows = fixture
                .store
                .read_providers(&[super::anvil_fixture::CHAIN])
                .await
                .unwrap();
            let error = rows.first()?.1.last_error.clone()?;
            error
                .contains(&format!("chains.checks.{key} = false"))
                .then_some(())
        })
        .await;
        assert_eq!(fixture.state().await.unwrap().head, before, "{key}");
        node.clear_faults();
        fixture.caught_up(&tree, "the truth").await;
        running.stop().await;
    }
    let head = tree.head().number;
    assert_eq!(fixture.state().await.unwrap().verified_through, Some(head));

    // `derived = false` is short for all three, and a load adds the senders of history.
    let none = ChecksConfig {
        derived: false,
        senders: Senders::Live,
        ..ChecksConfig::default()
    };
    for salt in 10..18 {
        tree.mine(&Contents::transfers(1, salt));
    }
    let running = fixture.ingest(config(none)).await.unwrap();
    fixture.caught_up(&tree, "without any of the rules").await;
    running.stop().await;
    let state = fixture.state().await.unwrap();
    assert_eq!(state.verified_through, Some(tree.head().number));
    assert_eq!(
        state.unproved,
        ["contract_address", "gas_price", "gas_used", "senders"]
    );
}
