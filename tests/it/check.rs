//! `chaincast check` of price sources: contracts of a chain, a venue and an HTTP document.

use chaincast_testkit::{
    price_servers::PricePage,
    venue::{Venue, VenueProtocol},
};
use toml::{Table, Value};

use crate::support::{World, run_to_end};

/// Runs `check` with the world's configuration, its sources changed and `more` appended. Returns exit code and output.
async fn check(world: &World, change: impl FnOnce(&mut Vec<Value>), more: &str) -> (i32, String) {
    let text = std::fs::read_to_string(&world.config).unwrap();
    let mut config: Table = toml::from_str(&text).unwrap();
    let mut more: Table = toml::from_str(more).unwrap();
    let prices = config["prices"].as_table_mut().unwrap();
    for list in ["tokens", "sources"] {
        let Some(Value::Array(added)) = more.remove(list) else {
            continue;
        };
        prices[list].as_array_mut().unwrap().extend(added);
    }
    change(prices["sources"].as_array_mut().unwrap());
    let file = world.dir.path().join("check.toml");
    std::fs::write(&file, config.to_string()).unwrap();
    let (code, output, error) = run_to_end(&["check", "--config", file.to_str().unwrap()]).await;
    for text in [&output, &error] {
        assert!(!text.contains("a-secret-key"), "{text}");
    }
    (code, output)
}

fn lines<'a>(output: &'a str, token: &str) -> Vec<&'a str> {
    let named = format!(" price {token} from ");
    let lines = output.lines();
    lines.filter(|line| line.contains(&named)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_separates_unreachable_from_rejected_sources() {
    let world = World::start().await;
    let venue = Venue::start(VenueProtocol::Kraken).await.unwrap();
    venue.send_price("NEW/USD", "12.50");
    let page = PricePage::start(r#"{"p":{}}"#).await.unwrap();
    let source = |kind: &str, keys: &str| {
        format!("[[sources]]\nkind = \"{kind}\"\ntoken = \"NEW\"\nquote = \"USD\"\n{keys}\n")
    };
    let kraken = source(
        "kraken",
        &format!("symbol = \"NEW/USD\"\nurl = {:?}", venue.url()),
    );
    let token = "[[tokens]]\nsymbol = \"NEW\"\n";

    // All reachable: one line each.
    let (code, output) = check(&world, |_| {}, &format!("{token}{kraken}")).await;
    assert_eq!(code, 0, "{output}");
    assert_eq!(
        lines(&output, "NEW"),
        ["ok   price NEW from kraken: 12.5 USD"]
    );
    for feed in &world.deployment.feeds {
        let line = format!("ok   price {} from chainlink: ", feed.token);
        assert!(output.contains(&line), "{line} in {output}");
    }
    let warns = output.lines().any(|line| line.starts_with("warn"));
    assert!(!warns, "{output}");

    // Unreachable: a warning, not a failure.
    let away = source(
        "http",
        "pointer = \"\"\nurl = \"http://127.0.0.1:1/a-secret-key\"",
    );
    let feed = world.deployment.feeds[0].token.clone();
    let nowhere = |sources: &mut Vec<Value>| {
        let first = sources[0].as_table_mut().unwrap();
        first.remove("decimals");
        first.insert("address".into(), format!("0x{:040x}", 0xdead).into());
    };
    let (code, output) = check(&world, nowhere, &format!("{token}{away}{kraken}")).await;
    assert_eq!(code, 0, "{output}");
    let warning = lines(&output, "NEW");
    assert_eq!(warning.len(), 2, "{output}");
    assert!(
        warning[0].starts_with("warn price NEW from http: "),
        "{output}"
    );
    assert!(
        warning[1].starts_with("ok   price NEW from kraken: "),
        "{output}"
    );
    let line = format!("warn price {feed} from chainlink: ");
    assert!(output.contains(&line), "{line} in {output}");

    // Rejected, by the contract and because of the document's content.
    let refused = source(
        "http",
        &format!("pointer = \"/none\"\nurl = {:?}", page.url()),
    );
    let contradicts = |sources: &mut Vec<Value>| {
        let first = sources[0].as_table_mut().unwrap();
        first.insert("decimals".into(), Value::Integer(7));
    };
    let (code, output) = check(&world, contradicts, &format!("{token}{refused}")).await;
    assert_eq!(code, 1, "{output}");
    for (token, source) in [(feed.as_str(), "chainlink"), ("NEW", "http")] {
        let line = format!("FAIL price {token} from {source}: ");
        assert!(output.contains(&line), "{line} in {output}");
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_warns_of_suspicious_settings() {
    let world = World::start().await;
    let more = "[[tokens]]\nsymbol = \"LONELY\"\n[[tokens]]\nsymbol = \"FAR\"\nchain_id = 999\n";
    let (code, output) = check(&world, |_| {}, more).await;
    assert_eq!(code, 0, "{output}");
    for warning in ["LONELY has no source", "FAR is on chain 999"] {
        let line = output.lines().find(|line| line.contains(warning));
        let line = line.unwrap_or_else(|| panic!("{warning} in {output}"));
        assert!(
            line.starts_with("warn configuration: ") && line.contains("check.toml:"),
            "{line}"
        );
    }
    world.server.stop().await;
}
