//! Rejected configurations, and their error messages.

use crate::config::{Config, Sources};
use chaincast_base::settings::{Setting, Shape};
use chaincast_prices::{PriceConfig, SourceConfig};

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

const ERC20: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/abi/erc20.json");

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

/// Run by `scripts/generate`, which sets the variable to write the file.
#[test]
fn default_file_is_generated() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/default.toml");
    let text = Config::documentation();
    if std::env::var_os("CHAINCAST_GENERATE").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    let current = std::fs::read_to_string(file).unwrap();
    assert!(
        current == text,
        "config/default.toml is not current: run `make generate`"
    );
    for line in text.lines() {
        assert!(line.chars().count() <= 120, "{line}");
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
            prices.tick_queue,
            prices.follow_interval_ms,
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
    let contract = format!(
        "\n[[contracts]]\nname = \"usdc\"\nabi = {ERC20:?}\naddress = \"0x{:040x}\"\n",
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
            "FILE:19: prices.sources.1.max_age_ms: prices.sources entry 2 (\"kraken\" of ETH): must be a number from 1 to 31536000000, not a string",
        ),
        (
            format!("{kraken}max_age = 1\n"),
            "FILE:19: prices.sources.1.max_age: prices.sources entry 2 (\"kraken\" of ETH): unknown key; did you mean prices.sources.max_age_ms?",
        ),
        (
            format!("{kraken}colour = 1\n"),
            "the keys of this section are kind, token, name, max_age_ms, scale, invert, symbol, quote, url",
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
             must be an address: 0x and 40 hexadecimal digits",
        ),
        (
            "[[prices.sources]]\nkind = \"chainlink\"\ntoken = \"ETH\"\n".to_owned(),
            "FILE:14: prices.sources.1.address: prices.sources entry 2 (\"chainlink\" of ETH): is missing",
        ),
        (
            "[[prices.tokens]]\nsymbol = \"BTC\"\nmin_sources = -1\n".to_owned(),
            "FILE:16: prices.tokens.1.min_sources: prices.tokens entry 2 (BTC): ",
        ),
        // A parsed but invalid value is reported in the same way.
        (
            format!("{kraken}max_age_ms = 0\n"),
            "FILE:19: prices.sources.1.max_age_ms: prices.sources entry 2 (\"kraken\" of ETH): must be 1 to 31536000000, not 0",
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
            "FILE:7: contracts: is a list: write [[contracts]] above each",
        ),
        (
            format!("{token}{source}{source}"),
            "prices.sources is a list: write [[prices.sources]] above each",
        ),
        (
            "[prices]\nsources = [\n  7,\n]\n".to_owned(),
            "FILE:9: prices.sources.0: must be a section, not a whole number: write [[prices.sources]]",
        ),
        (
            "[prices]\ntokens = [\"ETH\"]\n".to_owned(),
            "FILE:8: prices.tokens.0: must be a section, not a string: write [[prices.tokens]]",
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
fn prefers_nearest_key_of_same_section() {
    let suggestion = |key: &str| {
        let (section, name) = key.rsplit_once('.').unwrap();
        let header = match section {
            "chains" => "[[chains]]".to_owned(),
            "prices.sources" => "[[prices.sources]]\nkind = \"kraken\"".to_owned(),
            section => format!("[{section}]"),
        };
        let error = load(&format!("{header}\n{name} = 1\n")).unwrap_err();
        let line = error.lines().find(|line| line.contains("unknown key"));
        let (_, found) = line?.split_once("did you mean ")?;
        Some(found.trim_end_matches('?').to_owned())
    };
    for (written, expected) in [
        ("server.prot", "server.port"),
        ("server.hots", "server.host"),
        ("database.max_connection", "database.max_connections"),
        ("chains.rpcurl", "chains.rpc_url"),
        ("chains.max_reorg_deph", "chains.max_reorg_depth"),
        ("server.rpc_url", "chains.rpc_url"),
        ("database.allowed_origins", "gateway.allowed_origins"),
        ("prices.sources.max_age", "prices.sources.max_age_ms"),
    ] {
        assert_eq!(suggestion(written).as_deref(), Some(expected), "{written}");
    }
    for far in ["server.colour", "server.x", "chains.zzzzzz"] {
        assert_eq!(suggestion(far), None, "{far}");
    }
}

#[test]
fn ten_mistakes_give_ten_lines() {
    let text = "[server]
prot = 3000
accept_backlog = 1
[database]
url = \"postgres://localhost/x\"
auto_migrate = \"yes\"
[[chains]]
chain_id = 1
rpc_url = \"ftp://a-secret\"
concurrency = true
[[prices.tokens]]
symbol = \"ETH\"
[[prices.tokens]]
symbol = \"eth\"
[[prices.sources]]
kind = \"kraken\"
token = \"ETH\"
symbol = \"ETH/USD\"
quote = \"EUR\"
max_age_ms = \"10s\"
[bus]
kind = \"rediss\"
redis_key = 8901234567
[gateway.limits]
backlog_bytes = 1
[telemetry]
log_fromat = \"json\"
";
    let error = load(text).unwrap_err();
    let expected = [
        "FILE:2: server.prot: unknown key; did you mean server.port?",
        "FILE:3: server.accept_backlog: must be 16 to 65535, not 1",
        "FILE:6: database.auto_migrate: must be true or false, not a string",
        "FILE:9: chains.0.rpc_url: must begin with http:// or https://",
        "FILE:10: chains.0.concurrency: must be a number from 1 to 256, not true or false",
        "FILE:14: prices.tokens.1.symbol: prices.tokens lists ETH twice",
        "FILE:19: prices.sources.0.quote: prices.sources entry 1 (\"kraken\" of ETH): quote \"EUR\" is neither USD nor in prices.tokens",
        "FILE:20: prices.sources.0.max_age_ms: prices.sources entry 1 (\"kraken\" of ETH): must be a number from 1 to 31536000000, not a string",
        "FILE:22: bus.kind: must be one of \"memory\", \"redis\"; did you mean \"redis\"?",
        "FILE:23: bus.redis_key: must be a string in quotes, not a whole number",
        "FILE:25: gateway.limits.backlog_bytes: must be at least 16384, not 1",
        "FILE:27: telemetry.log_fromat: unknown key; did you mean telemetry.log_format?",
    ];
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines, expected);
}

#[test]
fn unreadable_entry_causes_no_further_errors() {
    let chains = "[[chains]]\nchain_id = \"1\"\nrpc_url = \"http://a\"\n[[chains]]\nrpc_url = \"http://b\"\n";
    let prices = "[[prices.tokens]]\nsymbol = \"ETH\"\n[[prices.tokens]]\nsymbol = \"UNI\"\n\
                  [[prices.sources]]\nkind = \"krakn\"\ntoken = \"ETH\"\nquote = \"USD\"\n\
                  [[prices.sources]]\nkind = \"coinbase\"\ntoken = \"UNI\"\nsymbol = \"UNI-ETH\"\nquote = \"ETH\"\n";
    let error = load(&format!("{GOOD}{chains}{prices}")).unwrap_err();
    let Shape::Kinds { kinds, .. } = SourceConfig::SHAPE else {
        panic!("sources have kinds");
    };
    let kinds: Vec<&str> = kinds().iter().map(|kind| kind.name).collect();
    assert!(
        kinds.contains(&"chainlink") && kinds.contains(&"kraken"),
        "{kinds:?}"
    );
    let unknown = format!(
        "FILE:17: prices.sources.0.kind: prices.sources entry 1 (\"krakn\" of ETH): unknown kind \"krakn\"; use one of {}",
        kinds.join(", ")
    );
    let expected = [
        "FILE:8: chains.1.chain_id: must be a number from 0 to 9223372036854775807, not a string",
        "FILE:10: chains.2.chain_id: is missing",
        &unknown,
    ];
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines, expected);
}

#[test]
fn variable_and_file_problems_are_reported_together() {
    let file = std::env::temp_dir().join(format!("chaincast-both-{}.toml", rand::random::<u64>()));
    std::fs::write(&file, format!("{GOOD}[server]\nport = \"x\"\nhost = 1\n")).unwrap();
    let loaded = Config::load(&Sources {
        file: Some(file.clone()),
        environment: vec![
            ("PORT".to_owned(), "3000".to_owned()),
            ("CHAINCAST__BUS__CAPACITY".to_owned(), "many".to_owned()),
            ("CHAINCAST__API__MAX_LIMIT".to_owned(), "0".to_owned()),
        ],
    });
    std::fs::remove_file(&file).unwrap();
    let error = loaded.unwrap_err().to_string();
    assert_eq!(error.lines().count(), 3, "{error}");
    for expected in [
        ":9: server.host: must be a string in quotes, not a whole number",
        "environment variable CHAINCAST__BUS__CAPACITY: bus.capacity: must be a number from 16 to 1048576, not a string",
        "environment variable CHAINCAST__API__MAX_LIMIT: api.max_limit: must be 1 to 1000, not 0",
    ] {
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn reports_all_problems_at_once() {
    let error = load("").unwrap_err();
    assert!(
        error.contains("database.url") && error.contains("chains"),
        "{error}"
    );
}

/// A default replaces each of these values; nothing is compared with the default.
#[test]
fn reported_value_causes_no_false_problem() {
    let pool = "kind = \"uniswap-v2\"\ntoken = \"UNI\"\nquote = \"ETH\"\n";
    let (first, second) = (
        "0x0000000000000000000000000000000000000001",
        "0x0000000000000000000000000000000000000002",
    );
    // The added text begins at line 7.
    for (text, expected) in [
        (
            "[prices.exchanges]\nbackoff_ms = 50000\nbackoff_max_ms = 9999999\n".to_owned(),
            "FILE:9: prices.exchanges.backoff_max_ms: must be",
        ),
        (
            "[api.alerts]\nhysteresis_bps = 1\nmin_hysteresis_bps = 0\n".to_owned(),
            "FILE:9: api.alerts.min_hysteresis_bps: must be",
        ),
        (
            "[bus]\nredis_ca = \"ca.pem\"\nredis_url = 1\n".to_owned(),
            "FILE:9: bus.redis_url: must be",
        ),
        (
            "[gateway.auth]\nmode = \"required\"\nsecret = 1\n".to_owned(),
            "FILE:9: gateway.auth.secret: must be",
        ),
        (
            "[gateway.auth]\nmode = \"required\"\njwks_fiel = \"jwks.json\"\n".to_owned(),
            "FILE:9: gateway.auth.jwks_fiel: unknown key; did you mean gateway.auth.jwks_file?",
        ),
        (
            "[[chains]]\nchain_id = 2\nrpc_url = 1\nws_url = \"ws://a\"\n".to_owned(),
            "FILE:9: chains.1.rpc_url: must be",
        ),
        (
            "[[chains]]\nchain_id = 2\nproviders = \"http://b\"\n".to_owned(),
            "FILE:9: chains.1.providers: ",
        ),
        (
            "[[chains]]\nchain_id = 2\nrpcurl = \"http://b\"\n".to_owned(),
            "FILE:9: chains.1.rpcurl: unknown key; did you mean chains.rpc_url?",
        ),
        (
            format!(
                "[[prices.tokens]]\nsymbol = 1\n[[prices.tokens]]\nsymbol = \"UNI\"\n\
                 [[prices.sources]]\nkind = \"kraken\"\ntoken = \"ETH\"\nsymbol = \"ETH/USD\"\nquote = \"USD\"\n\
                 [[prices.sources]]\n{pool}address = \"{first}\"\nbase = 0\n"
            ),
            "FILE:8: prices.tokens.0.symbol: ",
        ),
        (
            format!(
                "[[prices.tokens]]\nsymbol = \"UNI\"\naddress = 1\n\
                 [[prices.sources]]\nkind = \"uniswap-v2\"\ntoken = \"UNI\"\nquote = \"USD\"\naddress = \"{first}\"\n"
            ),
            "FILE:9: prices.tokens.0.address: ",
        ),
        (
            format!(
                "[[prices.tokens]]\nsymbol = \"ETH\"\n[[prices.tokens]]\nsymbol = \"UNI\"\n\
                 [[prices.sources]]\nkind = \"kraken\"\ntoken = \"ETH\"\nsymbol = \"ETH/USD\"\nquote = 1\n\
                 [[prices.sources]]\n{pool}address = \"{first}\"\nbase = 0\n"
            ),
            "FILE:15: prices.sources.0.quote: ",
        ),
        (
            format!(
                "[[prices.tokens]]\nsymbol = \"UNI\"\n\
                 [[prices.sources]]\nkind = \"chainlink\"\ntoken = \"UNI\"\naddress = \"{first}\"\nname = 1\n\
                 [[prices.sources]]\nkind = \"chainlink\"\ntoken = \"UNI\"\naddress = \"{second}\"\n"
            ),
            "FILE:13: prices.sources.0.name: ",
        ),
        (
            format!(
                "[[prices.tokens]]\nsymbol = \"UNI\"\n\
                 [[prices.sources]]\nkind = \"uniswap-v2\"\ntoken = \"UNI\"\naddress = \"{first}\"\nquote = \"USD\"\nbase = 0\n\
                 [[prices.sources]]\nkind = \"uniswap-v2\"\ntoken = \"UNI\"\naddress = \"{first}\"\nquote = \"USD\"\nbase = 0\n\
                 price = \"twpa\"\ntwap_seconds = 300\n"
            ),
            "FILE:21: prices.sources.1.price: ",
        ),
        (
            "[[prices.tokens]]\nsymbol = \"ETH\"\n\
             [[prices.sources]]\nkind = \"kraken\"\ntoken = \"ETH\"\nsymbol = \"ETH/USD\"\nquote = \"USD\"\nname = \"a\"\nurl = 1\n\
             [[prices.sources]]\nkind = \"kraken\"\ntoken = \"ETH\"\nsymbol = \"ETH/USD\"\nquote = \"USD\"\n"
                .to_owned(),
            "FILE:15: prices.sources.0.url: ",
        ),
        (
            format!("[[contracts]]\nname = \"usdc\"\nabi = {ERC20:?}\nfactory = \"{first}\"\n"),
            "FILE:10: contracts.0.factory: ",
        ),
    ] {
        let error = load(&format!("{GOOD}{text}")).unwrap_err();
        let lines: Vec<&str> = error.lines().collect();
        assert!(lines.len() == 1 && lines[0].starts_with(expected), "{error}\nnot only {expected}");
    }
}

#[test]
fn unknown_chain_hides_only_what_depends_on_it() {
    let address = "0x0000000000000000000000000000000000000002";
    let contract = format!(
        "[[contracts]]\nname = \"us dc\"\nabi = {ERC20:?}\naddress = \"{address}\"\nchain_id = 7\n"
    );
    let source = "[[prices.tokens]]\nsymbol = \"ETH\"\n\
                  [[prices.sources]]\nkind = \"chainlink\"\ntoken = \"ETH\"\nchain_id = 7\n\
                  address = \"0x0000000000000000000000000000000000000001\"\n";
    let outcome = |chain: &str| load(&format!("{GOOD}{chain}{contract}{source}")).unwrap_err();
    // The chain of the source may be the one that cannot be read.
    let error = outcome("[[chains]]\nchain_id = \"7\"\nrpc_url = \"http://b\"\n");
    assert!(
        error.contains("chains.1.chain_id") && error.contains("contracts.0.name"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 2, "{error}");
    let error = outcome("concurrency = true\n");
    for expected in [
        "prices.sources.0.chain_id: is not configured",
        "contracts.0.name: ",
        "contracts.0.chain_id: chain 7 is not among",
    ] {
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(error.lines().count(), 4, "{error}");
}

/// A value that is refused causes no second line.
#[test]
fn refused_value_causes_no_false_problem() {
    let contract = format!(
        "[[contracts]]\nname = \"usdc\"\nabi = {ERC20:?}\nchain_id = 7\naddress = \"0x{:040x}\"\n",
        1
    );
    let price = |token: &str, quote: &str| {
        format!(
            "[[prices.tokens]]\nsymbol = \"{token}\"\n[[prices.sources]]\nkind = \"kraken\"\ntoken = \"{token}\"\n\
             symbol = \"{token}/{quote}\"\nquote = \"{quote}\"\n"
        )
    };
    let redis = "[bus]\nkind = \"redis\"\nredis_ca = \"ca.pem\"\n";
    // The added text begins at line 7.
    for (text, expected) in [
        (
            format!("[[chains]]\nchain_id = 0\nrpc_url = \"http://b\"\n{contract}"),
            "FILE:8: chains.1.chain_id: must be above 0",
        ),
        (redis.to_owned(), "FILE:7: bus.redis_url: is required"),
        (
            format!("{redis}redis_url = \"http://a\"\n"),
            "FILE:10: bus.redis_url: is required",
        ),
        (
            price("ETH", "EUR") + &price("UNI", "ETH") + &price("BTC", "UNI"),
            "FILE:13: prices.sources.0.quote: ",
        ),
        (
            price("ETH", "ETH") + &price("UNI", "ETH"),
            "FILE:13: prices.sources.0.quote: ",
        ),
    ] {
        let error = load(&format!("{GOOD}{text}")).unwrap_err();
        let lines: Vec<&str> = error.lines().collect();
        assert!(
            lines.len() == 1 && lines[0].starts_with(expected),
            "{error}\nnot only {expected}"
        );
    }
    let error = load(&format!("{GOOD}[bus]\nredis_ca = \"ca.pem\"\n")).unwrap_err();
    assert!(error.contains("bus.redis_ca: requires"), "{error}");
}

#[test]
fn duplicate_instrument_names_entry_and_hides_nothing() {
    let source = "[[prices.sources]]\nkind = \"kraken\"\ntoken = \"ETH\"\nsymbol = \"ETH/USD\"\n";
    let text = format!(
        "{GOOD}[[prices.tokens]]\nsymbol = \"ETH\"\n{source}quote = \"USD\"\n{source}quote = \"EUR\"\nname = \"b\"\n"
    );
    let error = load(&text).unwrap_err();
    let entry = "prices.sources entry 2 (\"b\" of ETH)";
    let expected = [
        format!(
            "FILE:14: prices.sources.1: {entry}: reads the same symbol of a venue as \
             prices.sources entry 1 (\"kraken\" of ETH), which would count twice"
        ),
        format!(
            "FILE:18: prices.sources.1.quote: {entry}: quote \"EUR\" is neither USD nor in prices.tokens"
        ),
    ];
    assert_eq!(error.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn lists_fifty_of_many_problems() {
    let keys: String = (0..100_000).map(|at| format!("colour{at} = 1\n")).collect();
    let error = load(&format!("{GOOD}[server]\n{keys}")).unwrap_err();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 51, "{error}");
    assert!(
        lines[0].starts_with("FILE:8: server.colour0: unknown key"),
        "{error}"
    );
    assert_eq!(lines[50], "and 99950 more");
}

#[test]
fn syntax_error_shows_no_text_of_file() {
    for (text, expected) in [
        // The line of the error is part of a value.
        (
            "[gateway.auth]\nsecret = \"\"\"\ns3cret=s3cret\"\"\" x\n",
            "FILE:9:18: ",
        ),
        ("[gateway.auth]\nsecret = s3cret\n", "FILE:8:10: secret: "),
        ("s3cret = s3cret\n", "FILE:7:10: "),
        ("[s3cret\n", "FILE:7:8: "),
    ] {
        let error = load(&format!("{GOOD}{text}")).unwrap_err();
        assert!(error.starts_with(expected), "{error}\nnot {expected}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
