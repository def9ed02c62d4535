//! Every metric of `/metrics` is documented and described, and nothing else is.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::support::World;

/// The prefixes of all metric names, one for each part.
const PARTS: [&str; 10] = [
    "auth", "bus", "chain", "contract", "gateway", "http", "price", "rooms", "store", "token",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The sources of all crates of the product, as one text.
fn product() -> String {
    sources(&root().join("src")) + &sources(&root().join("crates"))
}

/// Every `.rs` file below `dir`, as one text.
fn sources(dir: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

/// The metric names in `text` between two `quote`s.
fn metric_names(text: &str, quote: char) -> BTreeSet<String> {
    text.split(quote)
        .filter(|name| {
            PARTS
                .iter()
                .any(|part| name.starts_with(&format!("chaincast_{part}_")))
        })
        .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .map(str::to_owned)
        .collect()
}

/// Name and remaining arguments of each call of `describe_counter!` and the like.
fn descriptions(sources: &str) -> Vec<(String, String, String)> {
    ["counter", "gauge", "histogram"]
        .iter()
        .flat_map(|kind| {
            sources
                .split(&format!("describe_{kind}!("))
                .skip(1)
                .map(move |call| {
                    let call = call.split(");").next().unwrap();
                    let name = call.split('"').nth(1).unwrap_or_default();
                    ((*kind).to_owned(), name.to_owned(), call.to_owned())
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_metric_is_documented_and_described() {
    let sources = product();
    let document = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let emitted = metric_names(&sources, '"');
    assert!(emitted.len() > 20, "{emitted:?}");
    assert_eq!(
        metric_names(&document, '`'),
        emitted,
        "docs/metrics.md and the metrics in the sources"
    );
    let descriptions = descriptions(&sources);
    for name in &emitted {
        let (kind, _, call) = descriptions
            .iter()
            .find(|(_, described, _)| described == name)
            .unwrap_or_else(|| panic!("{name} has no describe_ macro"));
        assert!(!call.contains(".\""), "{name}: {call}");
        let row = format!("| `{name}` | {kind} |");
        assert!(document.contains(&row), "docs/metrics.md lacks {row:?}");
    }
}

#[test]
fn documented_alerts_use_existing_metrics() {
    let emitted = metric_names(&product(), '"');
    let document = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let alerts = document.split("```promql").nth(1).unwrap();
    let alerts = alerts.split("```").next().unwrap();
    let words = alerts.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    let names: Vec<&str> = words
        .filter(|word| word.starts_with("chaincast_"))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let metric = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(emitted.contains(metric), "no metric is called {metric}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_start_at_zero() {
    let world = World::start().await;
    let exposition = reqwest::get(world.url("/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for line in [
        "chaincast_chain_reorgs_total{chain_id=\"31337\"} 0",
        "chaincast_chain_node_errors_total{chain_id=\"31337\",kind=\"bad_answer\"} 0",
        "chaincast_bus_gaps_total 0",
        "chaincast_http_accept_errors_total 0",
        "chaincast_gateway_closed_total{code=\"4008\"} 0",
        "chaincast_gateway_handshakes_refused_total{transport=\"sse\",reason=\"too_many\"} 0",
        "chaincast_gateway_requests_refused_total{code=\"RATE_LIMITED\"} 0",
        "chaincast_gateway_resumes_total{from=\"refused\"} 0",
        "chaincast_gateway_subscriptions{kind=\"price\"} 0",
        "chaincast_gateway_subscriptions{kind=\"contract\"} 0",
        "chaincast_gateway_watches_refused_total{limit=\"address\"} 0",
    ] {
        assert!(exposition.contains(line), "no {line} in {exposition}");
    }
    for line in exposition
        .lines()
        .filter(|line| line.starts_with("# TYPE "))
    {
        let name = line.split(' ').nth(2).unwrap();
        assert!(
            exposition.contains(&format!("# HELP {name} ")),
            "{name} has no HELP"
        );
    }
    world.server.stop().await;
}
