//! Every scenario in `tests/scripts`; `docs/faulty-node.md` says how to write one.

use std::path::{Path, PathBuf};

use super::{
    lab::{Fold, Lab, config_of},
    stage::{CHAIN, eventually},
};
use crate::{
    dev::faulty_node::{FaultyNode, NodeRole, Scenario},
    source::chain::Role,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_in_tests_scripts_ends_with_the_canonical_chain_in_the_database() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
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
    let lab = Lab::new().await;
    for file in files {
        lab.clear().await;
        run(&lab, &file).await;
    }
}

async fn run(lab: &Lab, file: &Path) {
    let scenario = Scenario::read(file).unwrap();
    let what = format!("{}: {}", file.display(), scenario.about);
    let (tree, nodes) = scenario.start().await.unwrap();
    let roles = scenario.nodes.iter().map(|script| match script.role {
        NodeRole::All => Role::All,
        NodeRole::Live => Role::Live,
        NodeRole::History => Role::History,
    });
    let config = config_of(&nodes.iter().zip(roles).collect::<Vec<_>>());
    let running = lab.ingest(config).await.unwrap();
    let mut fold = Fold::default();
    lab.caught_up(&tree, &what).await;
    let mut dropped = 0;
    for (index, step) in scenario.steps.iter().enumerate() {
        let what = format!("{what}, step {index}: {step:?}");
        scenario.take(step, &tree, &nodes);
        dropped += step.drop;
        if !step.stuck {
            lab.caught_up(&tree, &what).await;
            lab.assert_equals(&tree, 0, &what).await;
            fold.assert_equals(lab, &tree, &what).await;
            settled(lab, &scenario, &nodes, &what).await;
        }
    }
    let really = lab.count("SELECT count(*) FROM dropped_blocks").await;
    assert_eq!(really as u64, dropped, "{what}: blocks dropped");
    for (position, node) in nodes.iter().enumerate() {
        let unspent = node.unspent();
        assert!(
            unspent.is_empty(),
            "{what}: node {position} never did {unspent:?}"
        );
    }
    running.stop().await;
}

/// Waits until the preferred node of the chain is followed again, whatever was wrong with it: the next step's fault
/// must find it.
async fn settled(lab: &Lab, scenario: &Scenario, nodes: &[FaultyNode], what: &str) {
    let position = scenario.nodes.iter().position(|node| node.genesis == 0);
    let position = position.expect("a node of the chain itself");
    let polls = || nodes[position].asked("eth_getBlockByNumber");
    let before = polls();
    eventually(what, async || {
        // What is recorded may be of before the trouble, but not after so many polls.
        let rows = lab.store.read_providers(&[CHAIN]).await.unwrap();
        let (_, row) = rows.get(position)?;
        (polls() > before + 6 && row.active && row.state == "ok").then_some(())
    })
    .await;
}
