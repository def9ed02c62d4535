//! Checks of values beyond their types.

mod chain;
mod checks;
mod gateway;

use self::checks::{Checks, has_scheme};
use super::{Config, ConfigError, error::Problem};
use crate::{
    bus::BusKind,
    client::{OriginPolicy, Site},
    gateway::auth::Authenticator,
    model::{ChainId, IndexMode},
    source::{chain::ChainConfig, price::PriceConfigError},
};

/// Least bytes of a key for HMAC-SHA-256 (RFC 2104 section 3).
const MIN_KEY_BYTES: usize = 32;
const MS_PER_DAY: u64 = 24 * 3_600_000;
/// 100 years.
const MAX_DAYS: u32 = 36_500;

/// Whether the logs of a chain are indexed; true for a chain that is not configured.
fn has_logs(chains: &[ChainConfig], chain: ChainId) -> bool {
    !chains
        .iter()
        .any(|of| of.chain_id == chain && of.index == IndexMode::Transfers)
}

/// All problems at once, so that one run shows all of them.
pub fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Checks::default();

    let server = &config.server;
    found.within(
        "server.reserved_connections",
        server.reserved_connections,
        8..=65_536,
    );
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
    let reader_url = &config.database.reader_url;
    found.check(
        reader_url.is_empty() || has_scheme(reader_url, &["postgres", "postgresql"]),
        "database.reader_url",
        "is not a Postgres URL; use postgres://user:password@host:port/name, or leave it out",
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
    found.within(
        "database.lease_ms",
        config.database.lease_ms,
        2_000..=600_000,
    );
    let longest_ms = config.prices.sources.iter().map(|source| source.max_age_ms);
    let ticks_days = config.database.ticks_retention_days;
    found.check(
        ticks_days == 0
            || (ticks_days <= MAX_DAYS
                && u64::from(ticks_days) * MS_PER_DAY >= longest_ms.max().unwrap_or(0)),
        "database.ticks_retention_days",
        "must be 0, or 1 to 36500 and at least the longest max_age_ms of prices.sources, because ticks of that age are still used",
    );
    let prices_days = config.database.prices_retention_days;
    found.check(
        prices_days <= MAX_DAYS,
        "database.prices_retention_days",
        "must be 0 to 36500",
    );
    let candles_days = config.database.candles_retention_days;
    found.check(
        candles_days == 0 || (2..=MAX_DAYS).contains(&candles_days),
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
        "is required when bus.kind is \"redis\"; use redis://host:6379",
    );
    found.check(
        bus.redis_ca.is_none() || has_scheme(&bus.redis_url, &["rediss"]),
        "bus.redis_ca",
        "requires a bus.redis_url that begins with rediss://",
    );
    found.check(
        bus.redis_key.is_empty() || bus.redis_key.expose().len() >= MIN_KEY_BYTES,
        "bus.redis_key",
        "is too short; use at least 32 bytes, such as the output of `openssl rand -hex 32`",
    );
    found.within("bus.capacity", bus.capacity, 16..=1_048_576);
    found.within("bus.poll_interval_ms", bus.poll_interval_ms, 20..=60_000);

    gateway::check(&mut found, &config.gateway);

    for (key, refused) in [
        (
            "gateway.allowed_origins",
            OriginPolicy::new(&config.gateway.allowed_origins, Site::default())
                .err()
                .map(text),
        ),
        (
            "api.allowed_origins",
            OriginPolicy::new(&config.api.allowed_origins, Site::default())
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
            let (key, message) = split_key(key, &refused);
            found.check(false, key, message);
        }
    }
    if let Err(error) = config.prices.validate() {
        let (key, error) = (price_key(&error), text(error));
        found.check(false, &key, split_key(&key, &error).1);
    }
    for (at, source) in config.prices.sources.iter().enumerate() {
        let Some((chain, _)) = source.kind.contract() else {
            continue;
        };
        let chain = chain.unwrap_or(config.first_chain());
        found.check(
            config.chains.iter().any(|of| of.chain_id == chain),
            &format!("prices.sources.{at}.chain_id"),
            "is not configured in [[chains]]",
        );
        found.check(
            has_logs(&config.chains, chain),
            &format!("prices.sources.{at}.chain_id"),
            "is a chain with index = \"transfers\", which has no logs to read prices from; set index = \"logs\"",
        );
    }
    for (at, contract) in config.contracts.iter().enumerate() {
        found.check(
            has_logs(
                &config.chains,
                contract.chain_id.unwrap_or(config.first_chain()),
            ),
            &format!("contracts.{at}.chain_id"),
            "is a chain with index = \"transfers\", which has no logs to decode events from; set index = \"logs\"",
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
        "must be more than poll_interval_ms of every chain; otherwise an idle node is reported as silent",
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

/// Splits an error into key and message. The key is the error's own if it begins with one inside `key`.
fn split_key<'a>(key: &'a str, error: &'a str) -> (&'a str, &'a str) {
    match error.split_once(": ") {
        Some((own, message)) if own.starts_with(key) => (own, message),
        Some((own, message)) if !own.contains(' ') => (key, message),
        _ => (key, error),
    }
}

/// The key of the `[prices]` entry that an error concerns.
fn price_key(error: &PriceConfigError) -> String {
    use PriceConfigError::{DuplicateToken, Exchanges, OutOfRange, TokenIsQuote};
    match (error, error.entry()) {
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
mod tests;
