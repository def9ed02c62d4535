//! What the types alone cannot refuse.

mod chain;
mod checks;
mod gateway;

use self::checks::{Checks, has_scheme};
use super::{Config, ConfigError, error::Problem};
use crate::{
    bus::BusKind,
    gateway::{auth::Authenticator, origin::OriginPolicy},
    model::{ChainId, IndexMode},
    source::{chain::ChainConfig, price::PriceConfigError},
};

const MS_PER_DAY: u64 = 24 * 3_600_000;
/// A hundred years.
const MOST_DAYS: u32 = 36_500;

/// Whether the logs of a chain are indexed, if it is configured at all.
fn has_logs(chains: &[ChainConfig], chain: ChainId) -> bool {
    !chains
        .iter()
        .any(|of| of.chain_id == chain && of.index == IndexMode::Transfers)
}

/// Every problem at once, so that one run shows all.
pub fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Checks::default();

    let server = &config.server;
    found.within("server.accept_backlog", server.accept_backlog, 16..=65_535);
    found.within(
        "server.header_bytes",
        server.header_bytes,
        8_192..=16_777_216,
    );
    found.within(
        "server.send_buffer_bytes",
        server.send_buffer_bytes,
        4_096..=16_777_216,
    );
    for (key, value) in [
        ("server.header_timeout_ms", server.header_timeout_ms),
        ("server.drain_timeout_ms", server.drain_timeout_ms),
        (
            "gateway.auth.jwks_reload_ms",
            config.gateway.auth.jwks_reload_ms,
        ),
        (
            "database.acquire_timeout_ms",
            config.database.acquire_timeout_ms,
        ),
    ] {
        found.within(key, value, 100..=600_000);
    }

    let url = &config.database.url;
    found.check(
        !url.is_empty(),
        "database.url",
        "is missing; set it, or DATABASE_URL, to postgres://user:password@host:port/name",
    );
    found.check(
        url.is_empty() || has_scheme(url, &["postgres", "postgresql"]),
        "database.url",
        "is not a Postgres URL; use postgres://user:password@host:port/name",
    );
    found.within(
        "database.max_connections",
        config.database.max_connections,
        1..=10_000,
    );

    found.within(
        "database.statement_timeout_ms",
        config.database.statement_timeout_ms,
        100..=600_000,
    );
    let longest_ms = config.prices.sources.iter().map(|source| source.max_age_ms);
    let ticks_days = config.database.ticks_retention_days;
    found.check(
        ticks_days == 0
            || (ticks_days <= MOST_DAYS
                && u64::from(ticks_days) * MS_PER_DAY >= longest_ms.max().unwrap_or(0)),
        "database.ticks_retention_days",
        "must be 0, or 1 to 36500 and no less than the longest max_age_ms of prices.sources: older ticks are still used",
    );
    let prices_days = config.database.prices_retention_days;
    found.check(
        prices_days <= MOST_DAYS,
        "database.prices_retention_days",
        "must be 0 to 36500",
    );
    let candles_days = config.database.candles_retention_days;
    found.check(
        candles_days == 0 || (2..=MOST_DAYS).contains(&candles_days),
        "database.candles_retention_days",
        "must be 0, or 2 to 36500",
    );
    found.within(
        "database.updates_per_channel",
        config.database.updates_per_channel,
        1_000..=1_000_000_000,
    );
    found.within(
        "database.alert_history",
        config.database.alert_history,
        1..=100_000,
    );
    found.within(
        "database.index_memory_bytes",
        config.database.index_memory_bytes,
        1 << 20..=64 << 30,
    );
    found.within(
        "database.defer_stalled_ms",
        config.database.defer_stalled_ms,
        1_000..=86_400_000,
    );
    found.within(
        "database.index_watch_ms",
        config.database.index_watch_ms,
        100..=600_000,
    );

    chain::check(&mut found, &config.chains);

    let bus = &config.bus;
    found.check(
        bus.kind == BusKind::Memory || has_scheme(&bus.redis_url, &["redis", "rediss", "unix"]),
        "bus.redis_url",
        "is needed when bus.kind is \"redis\"; use redis://host:6379",
    );
    found.within("bus.capacity", bus.capacity, 16..=1_048_576);
    found.within("bus.poll_interval_ms", bus.poll_interval_ms, 20..=60_000);

    gateway::check(&mut found, &config.gateway);

    for (key, refused) in [
        (
            "gateway.allowed_origins",
            OriginPolicy::new(&config.gateway.allowed_origins)
                .err()
                .map(text),
        ),
        (
            "api.allowed_origins",
            OriginPolicy::new(&config.api.allowed_origins)
                .err()
                .map(text),
        ),
        (
            "gateway.auth",
            Authenticator::new(&config.gateway.auth).err().map(text),
        ),
        ("telemetry.log", config.telemetry.filter().err().map(text)),
    ] {
        if let Some(refused) = refused {
            let (key, message) = apart(key, &refused);
            found.check(false, key, message);
        }
    }
    if let Err(error) = config.prices.validate() {
        let (key, error) = (price_key(&error), text(error));
        found.check(false, &key, apart(&key, &error).1);
    }
    for (at, source) in config.prices.sources.iter().enumerate() {
        let Some((chain, _)) = source.kind.contract() else {
            continue;
        };
        let chain = chain.unwrap_or(config.first_chain());
        found.check(
            config.chains.iter().any(|of| of.chain_id == chain),
            &format!("prices.sources.{at}.chain_id"),
            "is not among [[chains]]",
        );
        found.check(
            has_logs(&config.chains, chain),
            &format!("prices.sources.{at}.chain_id"),
            "is a chain with index = \"transfers\", which has no logs to read prices from; use index = \"logs\"",
        );
    }
    for (at, contract) in config.contracts.iter().enumerate() {
        found.check(
            has_logs(
                &config.chains,
                contract.chain_id.unwrap_or(config.first_chain()),
            ),
            &format!("contracts.{at}.chain_id"),
            "is a chain with index = \"transfers\", which has no logs to decode events from; use index = \"logs\"",
        );
    }

    found.check(
        (1..=config.api.max_limit).contains(&config.api.default_limit),
        "api.default_limit",
        "must be 1 to api.max_limit",
    );
    found.within("api.max_limit", config.api.max_limit, 1..=1_000);
    found.within(
        "api.request_timeout_ms",
        config.api.request_timeout_ms,
        100..=600_000,
    );
    found.within(
        "api.ready_silence_ms",
        config.api.ready_silence_ms,
        5_000..=86_400_000,
    );
    found.check(
        config
            .chains
            .iter()
            .all(|chain| chain.poll_interval_ms < config.api.ready_silence_ms),
        "api.ready_silence_ms",
        "must be more than every chain's poll_interval_ms, or a node that has nothing new seems silent",
    );
    let alerts = &config.api.alerts;
    for (key, value, limits) in [
        ("per_user", alerts.per_user, 1..=100_000),
        ("total", alerts.total, 1..=1_000_000),
        ("creations", alerts.creations, 1..=100_000),
        ("rate_window_ms", alerts.rate_window_ms, 1_000..=3_600_000),
        ("min_hysteresis_bps", alerts.min_hysteresis_bps, 1..=5_000),
        ("hysteresis_bps", alerts.hysteresis_bps, 1..=5_000),
    ] {
        found.within(&format!("api.alerts.{key}"), value, limits);
    }
    found.check(
        alerts.hysteresis_bps >= alerts.min_hysteresis_bps,
        "api.alerts.hysteresis_bps",
        "must be at least api.alerts.min_hysteresis_bps",
    );
    found.within("api.alerts.note_bytes", alerts.note_bytes, 0..=4_096);
    found.within(
        "api.alerts.acknowledged_ids",
        alerts.acknowledged_ids,
        1..=10_000,
    );
    if let Err(ConfigError::Invalid(problems)) = config.contracts() {
        found.0.extend(problems);
    }
    found.0
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// An error's key and its message: its own key when it begins with one inside `key`.
fn apart<'a>(key: &'a str, error: &'a str) -> (&'a str, &'a str) {
    match error.split_once(": ") {
        Some((own, message)) if own.starts_with(key) => (own, message),
        Some((own, message)) if !own.contains(' ') => (key, message),
        _ => (key, error),
    }
}

/// The entry of `[prices]` that an error is about.
fn price_key(error: &PriceConfigError) -> String {
    use PriceConfigError::{DuplicateToken, Exchanges, OutOfRange, TokenIsQuote};
    match (error, error.place()) {
        (_, Some(place)) => {
            let entry = format!("prices.sources.{}", place.position - 1);
            let key = error.key().map(|key| format!("{entry}.{key}"));
            key.unwrap_or(entry)
        }
        (OutOfRange { key, .. }, _) => key.clone(),
        (Exchanges(error), _) => format!("prices.exchanges.{}", error.key),
        (DuplicateToken(_) | TokenIsQuote, _) => "prices.tokens".to_owned(),
        _ => "prices".to_owned(),
    }
}

#[cfg(test)]
mod tests {
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
                "every source may have `kind`, `token`, `name`, `max_age_ms` too",
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
        let page = "[[prices.sources]]\nkind = \"http\"\ntoken = \"ETH\"\npointer = \"\"\nquote = \"USD\"\n";
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
}
