//! Every scenario in `tests/scripts`; see `docs/faulty-node.md` for their format.

use std::path::{Path, PathBuf};

use super::{
    anvil_fixture::{CHAIN, eventually},
    scripted_fixture::{ReplayedChain, ScriptedFixture, config_of},
};
use chaincast_evm::chain::Role;
use chaincast_testkit::faulty_node::{FaultyNode, NodeRole, Scenario};

#[tokio::test(flavor = "multi_thread")]
async fn scripted_scenarios_store_canonical_chain() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scripts");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    let fixture = ScriptedFixture::new().await;
    for file in files {
        fixture.clear().await;
        run(&fixture, &file).await;
    }
}

async fn run(fixture: &ScriptedFixture, file: &Path) {
    let scenario = Scenario::read(file).unwrap();
    let what = format!("{}: {}", file.display(), scenario.about);
    let (tree, nodes) = scenario.start().await.unwrap();
    let roles = scenario.nodes.iter().map(|script| match script.role {
        NodeRole::All => Role::All,
        NodeRole::Live => Role::Live,
        NodeRole::History => Role::History,
    });
    let config = config_of(&nodes.iter().zip(roles).collect::<Vec<_>>());
    let running = fixture.ingest(config).await.unwrap();
    let mut replayed = ReplayedChain::default();
    fixture.caught_up(&tree, &what).await;
    let mut dropped = 0;
    for (index, step) in scenario.steps.iter().enumerate() {
        let what = format!("{what}, step {index}: {step:?}");
        scenario.take(step, &tree, &nodes);
        dropped += step.drop;
        if !step.stuck {
            fixture.caught_up(&tree, &what).await;
            fixture.assert_equals(&tree, 0, &what).await;
            replayed.assert_equals(fixture, &tree, &what).await;
            settled(fixture, &scenario, &nodes, &what).await;
        }
    }
    let really = fixture.count("SELECT count(*) FROM dropped_blocks").await;
    assert_eq!(really as u64, dropped, "{what}: blocks dropped");
    for (position, node) in nodes.iter().enumerate() {
        let unused_faults = node.unused_faults();
        assert!(
            unused_faults.is_empty(),
            "{what}: node {position} never did {unused_faults:?}"
        );
    }
    running.stop().await;
}

/// Waits until the preferred node is followed again: the fault of the next step
/// must find it.
async fn settled(fixture: &ScriptedFixture, scenario: &Scenario, nodes: &[FaultyNode], what: &str) {
    let position = scenario.nodes.iter().position(|node| node.genesis == 0);
    let position = position.expect("a node of the chain itself");
    let polls = || nodes[position].requests("eth_getBlockByNumber");
    let before = polls();
    eventually(what, async || {
        // The recorded state may predate the fault, but not after this many polls.
        let rows = fixture.store.read_providers(&[CHAIN]).await.unwrap();
        let (_, row) = rows.get(position)?;
        (polls() > before + 6 && row.active && row.state == "ok").then_some(())
    })
    .await;
}
