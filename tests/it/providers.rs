//! Several providers of a chain, as an operator sees them: `/status`, metrics, log and `chaincast check`.

use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};
use serde_json::{Value, json};

use crate::support::{Server, TempDir, eventually, fresh_database, run_to_end};

const SECRET: &str = "a-secret-key";

#[tokio::test(flavor = "multi_thread")]
async fn failed_provider_is_reported_without_its_key() {
    let tree = BlockTree::new(31_337);
    for salt in 0..5 {
        tree.mine(&Contents::transfers(2, salt));
    }
    let bad = FaultyNode::from_tree(&tree).await.unwrap();
    let lie = Kind::Alter {
        at: "/0/logs".to_owned(),
        to: json!([]),
    };
    bad.add(Fault::new("eth_getBlockReceipts", lie));
    let good = FaultyNode::from_tree(&tree).await.unwrap();
    assert!(bad.http_url().contains(SECRET));

    let (database, dir) = (fresh_database().await, TempDir::new("providers"));
    let file = dir.path().join("chaincast.toml");
    let config = format!(
        "[server]\nport = 0\n[database]\nurl = {database:?}\n\
         [[chains]]\nchain_id = 31337\npoll_interval_ms = 100\nprovider_poll_ms = 100\nfailover_cooldown_ms = 600000\n\
         [[chains.providers]]\nname = \"bad\"\nurl = {:?}\nws_url = {:?}\n\
         [[chains.providers]]\nurl = {:?}\nrole = \"all\"\n",
        bad.http_url(),
        bad.ws_url(),
        good.http_url(),
    );
    std::fs::write(&file, config).unwrap();
    let server = Server::serve(&file).await;

    let status: Value = eventually("the other provider to be active", || async {
        let url = format!("{}/api/v1/status", server.url());
        let status: Value = reqwest::get(url).await.ok()?.json().await.ok()?;
        let chain = &status["chains"][0];
        let there = chain["providers"][1]["active"] == true
            && chain["head"]["number"] == tree.head().number
            && chain["providers"][1]["head"] == tree.head().number;
        there.then_some(status)
    })
    .await;
    let providers = &status["chains"][0]["providers"];
    let host = format!("127.0.0.1:{}", good.port());
    assert_eq!(providers[0]["name"], "bad");
    assert_eq!(providers[0]["state"], "failed");
    assert_eq!(providers[0]["active"], false);
    assert!(
        providers[0]["failures"].as_u64().unwrap() > 0,
        "{providers}"
    );
    let error = providers[0]["lastError"].as_str().unwrap();
    assert!(error.contains("receipts have the root"), "{error}");
    assert_eq!(providers[1]["name"], host.as_str());
    assert_eq!(providers[1]["url"], format!("http://{host}"));
    assert_eq!(
        (&providers[1]["state"], &providers[1]["role"]),
        (&json!("ok"), &json!("all"))
    );
    assert!(providers[1]["latencyMs"].is_u64() && providers[1]["since"].is_i64());

    let lines = [
        "chaincast_chain_provider_up{chain_id=\"31337\",provider=\"bad\"} 0".to_owned(),
        format!("chaincast_chain_provider_up{{chain_id=\"31337\",provider=\"{host}\"}} 1"),
        "chaincast_chain_failovers_total{chain_id=\"31337\"} 1".to_owned(),
        format!(
            "chaincast_chain_provider_disagreements_total{{chain_id=\"31337\",provider=\"{host}\"}} 0"
        ),
    ];
    let metrics = eventually("the metrics report it", async || {
        let metrics = reqwest::get(format!("{}/metrics", server.url())).await;
        let metrics = metrics.ok()?.text().await.ok()?;
        let all = lines.iter().all(|line| metrics.contains(line));
        all.then_some(metrics)
    })
    .await;
    let disagreed =
        "chaincast_chain_provider_disagreements_total{chain_id=\"31337\",provider=\"bad\"} ";
    let count = metrics
        .split(disagreed)
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    assert_ne!(count, "0");
    let output = eventually("the log reports it", async || {
        let output = server.output();
        let failed = "the provider failed; using other providers";
        output.contains(failed).then_some(output)
    })
    .await;
    for text in [&status.to_string(), &metrics, &output] {
        assert!(!text.contains(SECRET), "{text}");
    }
    server.stop().await;

    // Each provider is checked: an unreachable one is a warning while another serves the chain.
    bad.clear_faults();
    bad.add(Fault::new("*", Kind::Cut));
    let (code, output, error) = run_to_end(&["check", "--config", file.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{output}{error}");
    let warned = output
        .lines()
        .find(|line| line.starts_with("warn chain 31337 at bad: "));
    assert!(
        warned.is_some_and(|line| line.ends_with("; other providers serve the chain")),
        "{output}"
    );
    assert!(
        output.contains(&format!("ok   chain 31337 at {host}: ")),
        "{output}"
    );
    assert!(
        !output.contains(SECRET) && !error.contains(SECRET),
        "{output}{error}"
    );
    good.add(Fault::new("*", Kind::Cut));
    let (code, output, error) = run_to_end(&["check", "--config", file.to_str().unwrap()]).await;
    assert_eq!(code, 1, "{output}{error}");
    for name in ["bad", &host] {
        let line = format!("FAIL chain 31337 at {name}: ");
        assert!(output.contains(&line), "{output}");
    }
}
