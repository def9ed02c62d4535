//! What is refused, and how it is told.

use crate::{
    config::{Config, Sources},
    source::price::PriceConfig,
};

fn load(text: &str) -> Result<Config, String> {
    let file =
        std::env::temp_dir().join(format!("chaincast-config-{}.toml", rand::random::<u64>()));
    std::fs::write(&file, text).unwrap();
    let loaded = Config::load(&Sources {
        file: Some(file.clone()),
        environment: vec![],
    });
    std::fs::remove_file(&file).unwrap();
    loaded.map_err(|error| error.to_string().replace(file.to_str().unwrap(), "FILE"))
}

const GOOD: &str = "[database]\nurl = \"postgres://localhost/x\"\n\n[[chains]]\nchain_id = 1\nrpc_url = \"http://a\"\n";

fn shipped(name: &str, environment: &[(&str, &str)]) -> Config {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let environment = environment.iter();
    Config::load(&Sources {
        file: Some(file.join(name)),
        environment: environment
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    })
    .unwrap_or_else(|error| panic!("config/{name}: {error}"))
}

const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://localhost/x");

#[test]
fn the_examples_are_accepted() {
    for name in ["anvil.toml", "mainnet.toml"] {
        let config = shipped(name, &[DATABASE]);
        assert!(!config.chains.is_empty(), "{name}");
    }
}

#[test]
fn what_the_default_file_says_are_the_defaults() {
    let chain = [
        DATABASE,
        ("CHAINCAST__CHAINS__0__CHAIN_ID", "1"),
        ("CHAINCAST__CHAINS__0__RPC_URL", "http://a"),
    ];
    let mut said = shipped("default.toml", &chain);
    let mut meant = load(GOOD).unwrap();
    // One is set by a variable.
    meant.database.url_name.clone_from(&said.database.url_name);
    // What may be left out is shown as what is done then.
    let [said_prices, meant_prices] = [&mut said, &mut meant].map(|config| {
        let prices = &mut config.prices;
        let token = toml::from_str("symbol = 'ETH'").unwrap();
        let done = format!(
            "{:?} {:?} {:?} {} {}",
            prices.aggregate_rules(&token),
            prices.publish_rules(&token),
            prices.candle_rules(),
            prices.tick_queue(),
            prices.follow_interval_ms(),
        );
        let exchanges = std::mem::take(&mut prices.exchanges);
        *prices = PriceConfig {
            exchanges,
            ..PriceConfig::default()
        };
        done
    });
    assert_eq!(said_prices, meant_prices);
    assert_eq!(format!("{said:#?}"), format!("{meant:#?}"));
}

#[test]
fn a_small_file_is_enough() {
    assert_eq!(load(GOOD).unwrap().chains[0].chain_id, 1);
}

#[test]
fn a_bad_value_names_file_line_and_key() {
    let error = load(&GOOD.replace("http://a", "ftp://a")).unwrap_err();
    assert!(
        error.contains("FILE:6: chains.0.rpc_url: must begin with http://"),
        "{error}"
    );
}

#[test]
fn an_unknown_key_names_file_line_and_key() {
    let error = load(&format!("{GOOD}[server]\nprot = 1\n")).unwrap_err();
    assert!(
        error.contains("FILE:8: ") && error.contains("prot"),
        "{error}"
    );
}

#[test]
fn a_contract_on_a_chain_without_logs_is_refused() {
    let abi = concat!(env!("CARGO_MANIFEST_DIR"), "/abi/erc20.json");
    let contract = format!(
        "\n[[contracts]]\nname = \"usdc\"\nabi = {abi:?}\naddress = \"0x{:040x}\"\n",
        1
    );
    let logs = format!("{GOOD}index = \"logs\"\n{contract}");
    assert_eq!(load(&logs).unwrap().contracts.len(), 1);
    let transfers = logs.replace("\"logs\"", "\"transfers\"");
    let error = load(&transfers).unwrap_err();
    assert!(
        error.contains("contracts.0.chain_id") && error.contains("no logs to decode"),
        "{error}"
    );
}

#[test]
fn a_bad_value_of_prices_names_file_line_and_key() {
    for (keys, expected) in [
        (
            "[prices.exchanges]\nfirst_tick_ms = 1\n",
            "FILE:8: prices.exchanges.first_tick_ms: must be 100 to",
        ),
        (
            "[prices]\ntick_queue = 1\n",
            "FILE:8: prices.tick_queue: must be 16 to",
        ),
    ] {
        let error = load(&format!("{GOOD}{keys}")).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_is_wrong_in_an_entry_of_prices_names_its_own_line_entry_and_key() {
    let good = "[[prices.tokens]]\nsymbol = \"ETH\"\n\
                [[prices.sources]]\nkind = \"coinbase\"\ntoken = \"ETH\"\nsymbol = \"ETH-USD\"\nquote = \"USD\"\n";
    let kraken = "[[prices.sources]]\nkind = \"kraken\"\ntoken = \"ETH\"\nsymbol = \"ETH/USD\"\nquote = \"USD\"\n";
    // `good` begins at line 7, and what follows it at line 14.
    for (entry, expected) in [
        (
            format!("{kraken}max_age_ms = \"10s\"\n"),
            "FILE:19: prices.sources.1.max_age_ms: prices.sources entry 2 (\"kraken\" of ETH): invalid type",
        ),
        (
            format!("{kraken}max_age = 1\n"),
            "FILE:19: prices.sources.1.max_age: prices.sources entry 2 (\"kraken\" of ETH): unknown field `max_age`",
        ),
        (
            format!("{kraken}max_age = 1\n"),
            "every source may have `kind`, `token`, `name`, `max_age_ms`, `scale`, `invert` too",
        ),
        (
            kraken.replace("kind = \"kraken\"\n", ""),
            "FILE:14: prices.sources.1.kind: prices.sources entry 2 (of ETH): is missing",
        ),
        (
            kraken.replace("token = \"ETH\"\n", ""),
            "FILE:14: prices.sources.1.token: prices.sources entry 2 (\"kraken\"): is missing",
        ),
        (
            kraken.replace("\"ETH/USD\"", "5"),
            "FILE:17: prices.sources.1.symbol: ",
        ),
        (
            kraken.replace(
                "kind = \"kraken\"",
                "kind = \"binance\"\nstream = \"ticker\"",
            ),
            "FILE:16: prices.sources.1.stream: prices.sources entry 2 (\"binance\" of ETH): ",
        ),
        (
            "[[prices.sources]]\nkind = \"chainlink\"\ntoken = \"ETH\"\naddress = \"0xDc64\"\n"
                .to_owned(),
            "FILE:17: prices.sources.1.address: prices.sources entry 2 (\"chainlink\" of ETH): \
             invalid string length; an address is 0x and 40 hexadecimal digits",
        ),
        (
            "[[prices.sources]]\nkind = \"chainlink\"\ntoken = \"ETH\"\n".to_owned(),
            "FILE:14: prices.sources.1: prices.sources entry 2 (\"chainlink\" of ETH): missing field `address`",
        ),
        (
            "[[prices.tokens]]\nsymbol = \"BTC\"\nmin_sources = -1\n".to_owned(),
            "FILE:16: prices.tokens.1.min_sources: prices.tokens entry 2 (BTC): ",
        ),
        // What is read, and cannot be used, is told in the same way.
        (
            format!("{kraken}max_age_ms = 0\n"),
            "FILE:19: prices.sources.1.max_age_ms: prices.sources entry 2 (\"kraken\" of ETH): max_age_ms must",
        ),
    ] {
        let error = load(&format!("{GOOD}{good}{entry}")).unwrap_err();
        assert!(error.contains(expected), "{error}\nnot {expected}");
    }
}

#[test]
fn a_list_that_is_written_as_one_section_is_told_how_it_is_written() {
    let token = "[[prices.tokens]]\nsymbol = \"ETH\"\n";
    let source = "[prices.sources]\nkind = \"kraken\"\ntoken = \"ETH\"\n";
    // What is added begins at line 7.
    for (text, expected) in [
        (
            format!("{token}{source}"),
            "FILE:9: prices.sources: is a list: write [[prices.sources]] above each",
        ),
        (
            "[contracts]\nname = \"usdc\"\n".to_owned(),
            "FILE:7: contracts is a list: write [[contracts]] above each",
        ),
        (
            format!("{token}{source}{source}"),
            "prices.sources is a list: write [[prices.sources]] above each",
        ),
        (
            "[prices]\nsources = [\n  7,\n]\n".to_owned(),
            "FILE:9: prices.sources.0: prices.sources entry 1: must be a table, not of type integer",
        ),
        (
            "[prices]\ntokens = [\"ETH\"]\n".to_owned(),
            "FILE:8: prices.tokens.0: prices.tokens entry 1: must be a table, not of type string",
        ),
    ] {
        let error = load(&format!("{GOOD}{text}")).unwrap_err();
        assert!(error.contains(expected), "{error}\nnot {expected}");
    }
}

#[test]
fn every_entry_that_cannot_be_read_is_shown_and_no_secret() {
    let page =
        "[[prices.sources]]\nkind = \"http\"\ntoken = \"ETH\"\npointer = \"\"\nquote = \"USD\"\n";
    let headers = format!("{page}url = \"http://a\"\nheaders = \"a-secret\"\n");
    let url = format!("{page}url = [\"http://a/a-secret\"]\n");
    let error = load(&format!("{GOOD}{headers}{url}")).unwrap_err();
    for key in ["prices.sources.0.headers: ", "prices.sources.1.url: "] {
        assert!(error.contains(key), "{error}");
    }
    assert!(!error.contains("a-secret"), "{error}");
}

#[test]
fn every_problem_is_shown_at_once() {
    let error = load("").unwrap_err();
    assert!(
        error.contains("database.url") && error.contains("chains"),
        "{error}"
    );
}
