//! `chaincast check` of price sources: contracts of a chain, a venue and a page.

use chaincast::dev::{
    price_web::PricePage,
    venue::{Speaks, Venue},
};
use toml::{Table, Value};

use crate::support::{World, run_to_end};

/// `check` with the world's configuration, its sources changed, and more of them. Its exit code, and what it printed.
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
    let (code, said, error) = run_to_end(&["check", "--config", file.to_str().unwrap()]).await;
    for text in [&said, &error] {
        assert!(!text.contains("a-secret-key"), "{text}");
    }
    (code, said)
}

fn lines<'a>(said: &'a str, token: &str) -> Vec<&'a str> {
    let named = format!(" price {token} from ");
    let lines = said.lines();
    lines.filter(|line| line.contains(&named)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tries_every_price_source_and_tells_those_that_are_away_from_those_that_are_refused()
{
    let world = World::start().await;
    let venue = Venue::start(Speaks::Kraken).await.unwrap();
    venue.tell("NEW/USD", "12.50");
    let page = PricePage::start(r#"{"p":{}}"#).await.unwrap();
    let source = |kind: &str, keys: &str| {
        format!("[[sources]]\nkind = \"{kind}\"\ntoken = \"NEW\"\nquote = \"USD\"\n{keys}\n")
    };
    let kraken = source(
        "kraken",
        &format!("symbol = \"NEW/USD\"\nurl = {:?}", venue.url()),
    );
    let token = "[[tokens]]\nsymbol = \"NEW\"\n";

    // All there: one line each.
    let (code, said) = check(&world, |_| {}, &format!("{token}{kraken}")).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        lines(&said, "NEW"),
        ["ok   price NEW from kraken: 12.5 USD"]
    );
    for feed in &world.deployment.feeds {
        let line = format!("ok   price {} from chainlink: ", feed.token);
        assert!(said.contains(&line), "{line} in {said}");
    }
    let warns = said.lines().any(|line| line.starts_with("warn"));
    assert!(!warns, "{said}");

    // Away: told, and no failure.
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
    let (code, said) = check(&world, nowhere, &format!("{token}{away}{kraken}")).await;
    assert_eq!(code, 0, "{said}");
    let told = lines(&said, "NEW");
    assert_eq!(told.len(), 2, "{said}");
    assert!(told[0].starts_with("warn price NEW from http: "), "{said}");
    assert!(
        told[1].starts_with("ok   price NEW from kraken: "),
        "{said}"
    );
    let line = format!("warn price {feed} from chainlink: ");
    assert!(said.contains(&line), "{line} in {said}");

    // Refused, by the contract and by what the page has.
    let refused = source(
        "http",
        &format!("pointer = \"/none\"\nurl = {:?}", page.url()),
    );
    let contradicts = |sources: &mut Vec<Value>| {
        let first = sources[0].as_table_mut().unwrap();
        first.insert("decimals".into(), Value::Integer(7));
    };
    let (code, said) = check(&world, contradicts, &format!("{token}{refused}")).await;
    assert_eq!(code, 1, "{said}");
    for (token, source) in [(feed.as_str(), "chainlink"), ("NEW", "http")] {
        let line = format!("FAIL price {token} from {source}: ");
        assert!(said.contains(&line), "{line} in {said}");
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_what_is_hardly_meant_and_does_not_fail_for_it() {
    let world = World::start().await;
    let more = "[[tokens]]\nsymbol = \"LONELY\"\n[[tokens]]\nsymbol = \"FAR\"\nchain_id = 999\n";
    let (code, said) = check(&world, |_| {}, more).await;
    assert_eq!(code, 0, "{said}");
    for told in ["LONELY has no source", "FAR lives on chain 999"] {
        let line = said.lines().find(|line| line.contains(told));
        let line = line.unwrap_or_else(|| panic!("{told} in {said}"));
        assert!(
            line.starts_with("warn configuration: ") && line.contains("check.toml:"),
            "{line}"
        );
    }
    world.server.stop().await;
}
