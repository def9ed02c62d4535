//! What the types alone cannot refuse.

use std::collections::BTreeSet;

use super::{Config, ConfigError, error::Problem};
use crate::{
    bus::BusKind,
    gateway::{auth::Authenticator, origin::OriginPolicy},
    model::{ChainId, IndexMode, Secret},
    source::{chain::ChainConfig, price::PriceConfigError},
};

/// Providers of a chain beyond which nobody means it.
const MAX_PROVIDERS: usize = 16;

/// Whether the logs of a chain are indexed, if it is configured at all.
fn has_logs(chains: &[ChainConfig], chain: ChainId) -> bool {
    !chains
        .iter()
        .any(|of| of.chain_id == chain && of.index == IndexMode::Transfers)
}

/// Every problem at once, so that one run shows all.
pub fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut check = |good: bool, key: &str, message: &str| {
        if !good {
            found.push(Problem::new(key, message));
        }
    };

    let server = &config.server;
    check(
        (16..=65_535).contains(&server.accept_backlog),
        "server.accept_backlog",
        "must be 16 to 65535",
    );
    check(
        (8_192..=16_777_216).contains(&server.header_bytes),
        "server.header_bytes",
        "must be 8192 to 16777216",
    );
    check(
        (4_096..=16_777_216).contains(&server.send_buffer_bytes),
        "server.send_buffer_bytes",
        "must be 4096 to 16777216",
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
        check(
            (100..=600_000).contains(&value),
            key,
            "must be 100 to 600000",
        );
    }

    let url = &config.database.url;
    check(
        !url.is_empty(),
        "database.url",
        "is missing; set it, or DATABASE_URL, to postgres://user:password@host:port/name",
    );
    check(
        url.is_empty() || has_scheme(url, &["postgres", "postgresql"]),
        "database.url",
        "is not a Postgres URL; use postgres://user:password@host:port/name",
    );
    check(
        (1..=10_000).contains(&config.database.max_connections),
        "database.max_connections",
        "must be 1 to 10000",
    );

    check(
        (100..=600_000).contains(&config.database.statement_timeout_ms),
        "database.statement_timeout_ms",
        "must be 100 to 600000",
    );
    check(
        (1 << 20..=64 << 30).contains(&config.database.index_memory_bytes),
        "database.index_memory_bytes",
        "must be 1048576 to 68719476736",
    );

    check(
        !config.chains.is_empty(),
        "chains",
        "is empty; add a [[chains]] section with chain_id and rpc_url",
    );
    let mut ids = BTreeSet::new();
    for (at, chain) in config.chains.iter().enumerate() {
        let key = |name: &str| format!("chains.{at}.{name}");
        check(
            chain.chain_id > 0 && i64::try_from(chain.chain_id).is_ok(),
            &key("chain_id"),
            "must be above 0 and below 2^63",
        );
        check(
            ids.insert(chain.chain_id),
            &key("chain_id"),
            "is configured twice",
        );
        check(
            (chain.rpc_url.is_empty() && !chain.providers.is_empty())
                || has_scheme(&chain.rpc_url, &["http", "https"]),
            &key("rpc_url"),
            "must begin with http:// or https://",
        );
        check(
            chain.ws_url.is_none() || !chain.rpc_url.is_empty(),
            &key("ws_url"),
            "belongs to rpc_url, which is not set; a provider has a ws_url of its own",
        );
        check(
            chain.providers.len() <= MAX_PROVIDERS,
            &key("providers"),
            "must be at most 16",
        );
        let mut names = BTreeSet::new();
        for (at, provider) in chain.providers.iter().enumerate() {
            let key = |name: &str| key(&format!("providers.{at}.{name}"));
            check(
                has_scheme(&provider.url, &["http", "https"]),
                &key("url"),
                "must begin with http:// or https://",
            );
            check(
                provider
                    .ws_url
                    .as_ref()
                    .is_none_or(|url| has_scheme(url, &["ws", "wss"])),
                &key("ws_url"),
                "must begin with ws:// or wss://",
            );
            if let Some(name) = &provider.name {
                check(
                    !name.is_empty() && name.len() <= 64 && !name.contains("://"),
                    &key("name"),
                    "must be 1 to 64 bytes, and no URL: it is shown",
                );
                check(names.insert(name), &key("name"), "is configured twice");
            }
        }
        check(
            (1..=100).contains(&chain.failover_failures),
            &key("failover_failures"),
            "must be 1 to 100",
        );
        for (name, value) in [
            ("failover_cooldown_ms", chain.failover_cooldown_ms),
            ("provider_poll_ms", chain.provider_poll_ms),
            ("rest_max_ms", chain.rest_max_ms),
        ] {
            check(
                (50..=3_600_000).contains(&value),
                &key(name),
                "must be 50 to 3600000",
            );
        }
        check(
            chain.prefer_back_ms <= 3_600_000,
            &key("prefer_back_ms"),
            "must be 0 to 3600000",
        );
        check(
            (1..=100_000).contains(&chain.lag_blocks),
            &key("lag_blocks"),
            "must be 1 to 100000",
        );
        if let Some(url) = &chain.ws_url {
            check(
                has_scheme(url, &["ws", "wss"]),
                &key("ws_url"),
                "must begin with ws:// or wss://",
            );
        }
        check(
            (50..=600_000).contains(&chain.poll_interval_ms),
            &key("poll_interval_ms"),
            "must be 50 to 600000",
        );
        check(
            (100..=600_000).contains(&chain.request_timeout_ms),
            &key("request_timeout_ms"),
            "must be 100 to 600000",
        );
        check(
            (1..=256).contains(&chain.concurrency),
            &key("concurrency"),
            "must be 1 to 256",
        );
        check(
            (1..=1_000).contains(&chain.request_blocks),
            &key("request_blocks"),
            "must be 1 to 1000",
        );
        check(
            (1_048_576..=1_073_741_824).contains(&chain.response_bytes),
            &key("response_bytes"),
            "must be 1048576 to 1073741824",
        );
        check(
            (8_388_608..=68_719_476_736).contains(&chain.backfill_memory_bytes),
            &key("backfill_memory_bytes"),
            "must be 8388608 to 68719476736",
        );
        check(
            (1..=1_000).contains(&chain.batch_blocks),
            &key("batch_blocks"),
            "must be 1 to 1000",
        );
        check(
            (1..=1_000).contains(&chain.token_metadata_per_second),
            &key("token_metadata_per_second"),
            "must be 1 to 1000",
        );
        check(
            (1..=100_000).contains(&chain.confirmations),
            &key("confirmations"),
            "must be 1 to 100000",
        );
        check(
            (1..=10_000).contains(&chain.watch_polls),
            &key("watch_polls"),
            "must be 1 to 10000",
        );
        check(
            (100..=86_400_000).contains(&chain.dropped_after_ms),
            &key("dropped_after_ms"),
            "must be 100 to 86400000",
        );
        check(
            (1..=100_000).contains(&chain.log_range_blocks),
            &key("log_range_blocks"),
            "must be 1 to 100000",
        );
        check(
            (1..=100_000).contains(&chain.max_reorg_depth),
            &key("max_reorg_depth"),
            "must be 1 to 100000",
        );
    }

    let bus = &config.bus;
    check(
        bus.kind == BusKind::Memory || has_scheme(&bus.redis_url, &["redis", "rediss", "unix"]),
        "bus.redis_url",
        "is needed when bus.kind is \"redis\"; use redis://host:6379",
    );
    check(
        (16..=1_048_576).contains(&bus.capacity),
        "bus.capacity",
        "must be 16 to 1048576",
    );
    check(
        (20..=60_000).contains(&bus.poll_interval_ms),
        "bus.poll_interval_ms",
        "must be 20 to 60000",
    );

    let gateway = &config.gateway;
    check(
        (100..=600_000).contains(&gateway.ping_interval_ms),
        "gateway.ping_interval_ms",
        "must be 100 to 600000",
    );
    check(
        (100..=600_000).contains(&gateway.ping_timeout_ms),
        "gateway.ping_timeout_ms",
        "must be 100 to 600000",
    );
    check(
        (1..=1_048_576).contains(&gateway.ring_updates),
        "gateway.ring_updates",
        "must be 1 to 1048576",
    );
    check(
        gateway.linger_ms <= 100,
        "gateway.linger_ms",
        "must be at most 100",
    );
    check(
        (1..=64).contains(&gateway.flushers),
        "gateway.flushers",
        "must be 1 to 64",
    );
    check(
        (16..=1_048_576).contains(&gateway.channels_in_memory),
        "gateway.channels_in_memory",
        "must be 16 to 1048576",
    );
    check(
        (10..=2_592_000).contains(&gateway.watch_retention_secs),
        "gateway.watch_retention_secs",
        "must be 10 to 2592000",
    );
    check(
        (1..=10_000_000).contains(&gateway.watches),
        "gateway.watches",
        "must be 1 to 10000000",
    );
    check(
        (4_096..=16_777_216).contains(&gateway.send_buffer_bytes),
        "gateway.send_buffer_bytes",
        "must be 4096 to 16777216",
    );
    check(
        gateway.deflate_min_bytes <= 1_048_576,
        "gateway.deflate_min_bytes",
        "must be at most 1048576",
    );
    let limits = &gateway.limits;
    check(
        limits.connections > 0,
        "gateway.limits.connections",
        "must be above 0",
    );
    check(
        limits.requests > 0,
        "gateway.limits.requests",
        "must be above 0",
    );
    check(
        (1_000..=3_600_000).contains(&limits.rate_window_ms),
        "gateway.limits.rate_window_ms",
        "must be 1000 to 3600000",
    );
    check(
        (20..=1_000_000).contains(&limits.control_frames),
        "gateway.limits.control_frames",
        "must be 20 to 1000000",
    );
    check(
        (128..=16_777_216).contains(&limits.message_bytes),
        "gateway.limits.message_bytes",
        "must be 128 to 16777216",
    );
    check(
        limits.subscriptions > 0,
        "gateway.limits.subscriptions",
        "must be above 0",
    );
    check(
        limits.channels_per_request > 0,
        "gateway.limits.channels_per_request",
        "must be above 0",
    );
    check(
        limits.connections_per_address > 0,
        "gateway.limits.connections_per_address",
        "must be above 0",
    );
    check(
        limits.backlog_bytes >= 16_384,
        "gateway.limits.backlog_bytes",
        "must be at least 16384",
    );
    check(
        (100..=600_000).contains(&limits.handshake_timeout_ms),
        "gateway.limits.handshake_timeout_ms",
        "must be 100 to 600000",
    );
    check(
        (1..=100_000).contains(&limits.log_lines),
        "gateway.limits.log_lines",
        "must be 1 to 100000",
    );

    for (key, refused) in [
        (
            "gateway.allowed_origins",
            OriginPolicy::new(&gateway.allowed_origins).err().map(text),
        ),
        (
            "api.allowed_origins",
            OriginPolicy::new(&config.api.allowed_origins)
                .err()
                .map(text),
        ),
        (
            "gateway.auth",
            Authenticator::new(&gateway.auth).err().map(text),
        ),
        ("telemetry.log", config.telemetry.filter().err().map(text)),
    ] {
        if let Some(refused) = refused {
            let (key, message) = apart(key, &refused);
            check(false, key, message);
        }
    }
    if let Err(error) = config.prices.validate() {
        let (key, error) = (price_key(&error), text(error));
        check(false, &key, apart(&key, &error).1);
    }
    for (at, source) in config.prices.sources.iter().enumerate() {
        let Some((chain, _)) = source.kind.contract() else {
            continue;
        };
        let chain = chain.unwrap_or(config.first_chain());
        check(
            ids.contains(&chain),
            &format!("prices.sources.{at}.chain_id"),
            "is not among [[chains]]",
        );
        check(
            has_logs(&config.chains, chain),
            &format!("prices.sources.{at}.chain_id"),
            "is a chain with index = \"transfers\", which has no logs to read prices from; use index = \"logs\"",
        );
    }
    for (at, contract) in config.contracts.iter().enumerate() {
        check(
            has_logs(
                &config.chains,
                contract.chain_id.unwrap_or(config.first_chain()),
            ),
            &format!("contracts.{at}.chain_id"),
            "is a chain with index = \"transfers\", which has no logs to decode events from; use index = \"logs\"",
        );
    }

    check(
        (1..=config.api.max_limit).contains(&config.api.default_limit),
        "api.default_limit",
        "must be 1 to api.max_limit",
    );
    check(
        (1..=1_000).contains(&config.api.max_limit),
        "api.max_limit",
        "must be 1 to 1000",
    );
    check(
        (100..=600_000).contains(&config.api.request_timeout_ms),
        "api.request_timeout_ms",
        "must be 100 to 600000",
    );
    check(
        (5_000..=86_400_000).contains(&config.api.ready_silence_ms),
        "api.ready_silence_ms",
        "must be 5000 to 86400000",
    );
    check(
        config
            .chains
            .iter()
            .all(|chain| chain.poll_interval_ms < config.api.ready_silence_ms),
        "api.ready_silence_ms",
        "must be more than every chain's poll_interval_ms, or a node that has nothing new seems silent",
    );
    if let Err(ConfigError::Invalid(problems)) = config.contracts() {
        found.extend(problems);
    }
    found
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
    use PriceConfigError::{DuplicateToken, FollowInterval, MinSources, TokenIsQuote};
    match (error, error.place()) {
        (_, Some(place)) => format!("prices.sources.{}", place.position - 1),
        (MinSources, _) => "prices.min_sources".to_owned(),
        (FollowInterval { .. }, _) => "prices.follow_interval_ms".to_owned(),
        (DuplicateToken(_) | TokenIsQuote, _) => "prices.tokens".to_owned(),
        _ => "prices".to_owned(),
    }
}

fn has_scheme(url: &Secret, schemes: &[&str]) -> bool {
    url.expose()
        .split_once("://")
        .is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Sources};

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
    fn every_problem_is_shown_at_once() {
        let error = load("").unwrap_err();
        assert!(
            error.contains("database.url") && error.contains("chains"),
            "{error}"
        );
    }
}
