//! The query plans of readers.

use std::{collections::BTreeSet, fs, path::Path};

use super::{blocks::Shape, connect, known::known, load, plans, store};
use chaincast_store::read;

/// Fifty thousand logs: enough that a full table scan is never the cheaper plan.
const BLOCKS: u64 = 25_000;
const SHAPE: Shape = Shape {
    transactions: 1,
    logs: 2,
    transfers: 2,
};

/// For the longest page a full scan of tables this small may be the right plan.
const PAGE: u32 = 20;

// One thread, as plans are captured on the thread that runs the query.
#[tokio::test]
async fn no_reader_query_scans_a_whole_table() {
    let (filled, url) = store().await;
    load::blocks(&filled, BLOCKS, SHAPE, 1).await.unwrap();
    load::other_tables(&filled, 20_000).await.unwrap();
    plans::enable_auto_explain(&url).await.unwrap();
    let store = connect(&url).await;
    let known = known(BLOCKS, PAGE);
    let plans = plans::explain(&store, &known).await.unwrap();
    assert!(plans.len() > 25, "{} queries", plans.len());
    let faults: Vec<_> = plans
        .iter()
        .flat_map(|plan| plan.faults.iter().map(move |fault| (plan.query, fault)))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // A full scan would be detected.
    let everything = "SELECT count(*) FROM logs WHERE data = '\\x00'";
    let seen = plans::explain_one(&store, everything).await.unwrap();
    assert_eq!(seen.faults.len(), 2, "{:?}", seen.faults);
}

#[tokio::test]
async fn every_reader_query_is_explained() {
    let (store, _) = store().await;
    let known = known(1, PAGE);
    let explained: BTreeSet<_> = read::explained(&store, &known)
        .into_iter()
        .filter_map(|query| query.name.split([' ', ',']).next())
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/store/src");
    let mut files: Vec<_> = fs::read_dir(root.join("read"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.push(root.join("updates.rs"));
    let mut functions = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for function in text.split("    pub async fn ").skip(1) {
            let (name, signature) = function.split_once('(').unwrap();
            // Functions that delete are not readers.
            if name.starts_with("prune") || !signature.trim_start().starts_with("&self") {
                continue;
            }
            functions += 1;
            assert!(
                explained.contains(name),
                "{name} of {} is not among its `explained` queries",
                file.display()
            );
        }
    }
    assert!(
        functions > 20,
        "only {functions} were found: this test no longer parses them"
    );
}
