//! The maximum that the node serves.

use std::time::Instant;

use serde_json::json;

use crate::{bench::Bench, process, reader, section::Section, stats};

const BATCH: u64 = 10;

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "node",
        "Maximum rate of the node",
        "A client reads every block and its receipts, in batches of 10 blocks per request over keep-alive \
         connections, and discards them. No indexer can be faster than this; the node does not limit an indexer that \
         is much slower.",
        &[
            "connections",
            "blocks a second",
            "MB a second",
            "node CPU ms a block",
        ],
    );
    let blocks = bench.blocks();
    let node = bench.node(blocks);
    let mut kept = Vec::new();
    for connections in [1, 4] {
        let mut rounds = Vec::new();
        for _ in 0..bench.rounds {
            let cpu = process::cpu_seconds(node.pid());
            let start = Instant::now();
            let bytes = reader::read(&node.http_url, blocks, connections, BATCH);
            let seconds = start.elapsed().as_secs_f64();
            let cpu = process::cpu_seconds(node.pid()) - cpu;
            rounds.push([
                blocks as f64 / seconds,
                bytes as f64 / seconds / 1e6,
                cpu * 1e3 / blocks as f64,
            ]);
        }
        let of = |index: usize| -> f64 {
            let values: Vec<f64> = rounds.iter().map(|round| round[index]).collect();
            stats::median(&values)
        };
        section.row([
            connections.to_string(),
            format!("{:.0}", of(0)),
            format!("{:.0}", of(1)),
            format!("{:.3}", of(2)),
        ]);
        kept.push(json!({ "connections": connections, "blocks_mb_and_cpu": rounds }));
    }
    section.notes.push(format!(
        "{blocks} blocks and their receipts are {} MB of JSON.",
        node.megabytes
    ));
    section.rounds = json!(kept);
    section
}
