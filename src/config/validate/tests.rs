//! Rejected configurations, and their error messages.

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
fn shipped_examples_are_valid() {
    for name in ["anvil.toml", "mainnet.toml"] {
        let config = shipped(name, &[DATABASE]);
        assert!(!config.chains.is_empty(), "{name}");
    }
}

#[test]
fn default_file_matches_code_defaults() {
    let chain = [
        DATABASE,
        ("CHAINCAST__CHAINS__0__CHAIN_ID", "1"),
        ("CHAINCAST__CHAINS__0__RPC_URL", "http://a"),
    ];
    let mut documented = shipped("default.toml", &chain);
    let mut actual = load(GOOD).unwrap();
    // The URL is set by an environment variable.
    actual
        .database
        .url_name
        .clone_from(&documented.database.url_name);
    // Optional settings are compared by their effective values.
    let [documented_prices, actual_prices] = [&mut documented, &mut actual].map(|config| {
        let prices = &mut config.prices;
        let token = toml::from_str("symbol = 'ETH'").unwrap();
        let effective = format!(
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
        effective
    });
    assert_eq!(documented_prices, actual_prices);
    assert_eq!(format!("{documented:#?}"), format!("{actual:#?}"));
}

#[test]
fn minimal_file_is_valid() {
    assert_eq!(load(GOOD).unwrap().chains[0].chain_id, 1);
}

#[test]
fn invalid_value_names_file_line_and_key() {
    let error = load(&GOOD.replace("http://a", "ftp://a")).unwrap_err();
    assert!(
        error.contains("FILE:6: chains.0.rpc_url: must begin with http://"),
        "{error}"
    );
}

#[test]
fn unknown_key_names_file_line_and_key() {
    let error = load(&format!("{GOOD}[server]\nprot = 1\n")).unwrap_err();
    assert!(
        error.contains("FILE:8: ") && error.contains("prot"),
        "{error}"
    );
}

#[test]
fn rejects_contract_on_chain_without_logs() {
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
fn price_value_error_names_file_line_and_key() {
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
fn price_entry_error_names_line_entry_and_key() {
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
            "all sources also accept `kind`, `token`, `name`, `max_age_ms`, `scale`, `invert`",
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
             invalid string length; use 0x and 40 hexadecimal digits",
        ),
        (
            "[[prices.sources]]\nkind = \"chainlink\"\ntoken = \"ETH\"\n".to_owned(),
            "FILE:14: prices.sources.1: prices.sources entry 2 (\"chainlink\" of ETH): missing field `address`",
        ),
        (
            "[[prices.tokens]]\nsymbol = \"BTC\"\nmin_sources = -1\n".to_owned(),
            "FILE:16: prices.tokens.1.min_sources: prices.tokens entry 2 (BTC): ",
        ),
        // A parsed but invalid value is reported in the same way.
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
fn section_instead_of_list_explains_syntax() {
    let token = "[[prices.tokens]]\nsymbol = \"ETH\"\n";
    let source = "[prices.sources]\nkind = \"kraken\"\ntoken = \"ETH\"\n";
    // The added text begins at line 7.
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
fn entry_errors_are_complete_without_secrets() {
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
fn reports_all_problems_at_once() {
    let error = load("").unwrap_err();
    assert!(
        error.contains("database.url") && error.contains("chains"),
        "{error}"
    );
}
