//! Checks of `[[chains]]`.

use std::collections::BTreeSet;

use super::checks::{Checks, has_scheme};
use crate::source::chain::ChainConfig;

/// Most providers of a chain: more are a mistake.
const MAX_PROVIDERS: usize = 16;

pub(super) fn check(found: &mut Checks, chains: &[ChainConfig]) {
    found.check(
        !chains.is_empty(),
        "chains",
        "is empty; add a [[chains]] section with chain_id and rpc_url",
    );
    let mut ids = BTreeSet::new();
    for (at, chain) in chains.iter().enumerate() {
        let key = |name: &str| format!("chains.{at}.{name}");
        found.check(
            chain.chain_id > 0 && i64::try_from(chain.chain_id).is_ok(),
            &key("chain_id"),
            "must be above 0 and below 2^63",
        );
        found.check(
            ids.insert(chain.chain_id),
            &key("chain_id"),
            "is configured twice",
        );
        found.check(
            (chain.rpc_url.is_empty() && !chain.providers.is_empty())
                || has_scheme(&chain.rpc_url, &["http", "https"]),
            &key("rpc_url"),
            "must begin with http:// or https://",
        );
        found.check(
            chain.ws_url.is_none() || !chain.rpc_url.is_empty(),
            &key("ws_url"),
            "requires rpc_url; providers have their own ws_url",
        );
        found.check(
            chain.headers.is_empty() || !chain.rpc_url.is_empty(),
            &key("headers"),
            "requires rpc_url; providers have their own headers",
        );
        if let Err(reason) = chain.headers.map() {
            found.check(false, &key("headers"), &reason);
        }
        found.check(
            chain.providers.len() <= MAX_PROVIDERS,
            &key("providers"),
            "must be at most 16",
        );
        let mut names = BTreeSet::new();
        for (at, provider) in chain.providers.iter().enumerate() {
            let key = |name: &str| key(&format!("providers.{at}.{name}"));
            found.check(
                has_scheme(&provider.url, &["http", "https"]),
                &key("url"),
                "must begin with http:// or https://",
            );
            found.check(
                provider
                    .ws_url
                    .as_ref()
                    .is_none_or(|url| has_scheme(url, &["ws", "wss"])),
                &key("ws_url"),
                "must begin with ws:// or wss://",
            );
            if let Err(reason) = provider.headers.map() {
                found.check(false, &key("headers"), &reason);
            }
            if let Some(name) = &provider.name {
                found.check(
                    !name.is_empty() && name.len() <= 64 && !name.contains("://"),
                    &key("name"),
                    "must be 1 to 64 bytes and not a URL, because it is published",
                );
                found.check(names.insert(name), &key("name"), "is configured twice");
            }
        }
        found.within(&key("failover_failures"), chain.failover_failures, 1..=100);
        for (name, value) in [
            ("failover_cooldown_ms", chain.failover_cooldown_ms),
            ("provider_poll_ms", chain.provider_poll_ms),
            ("rest_max_ms", chain.rest_max_ms),
        ] {
            found.within(&key(name), value, 50..=3_600_000);
        }
        found.within(&key("prefer_back_ms"), chain.prefer_back_ms, 0..=3_600_000);
        found.within(&key("lag_blocks"), chain.lag_blocks, 1..=100_000);
        found.within(
            &key("down_after_ms"),
            chain.down_after_ms,
            1_000..=86_400_000,
        );
        found.within(&key("lagging_blocks"), chain.lagging_blocks, 1..=1_000_000);
        found.within(&key("head_age_ms"), chain.head_age_ms, 0..=86_400_000);
        if let Some(url) = &chain.ws_url {
            found.check(
                has_scheme(url, &["ws", "wss"]),
                &key("ws_url"),
                "must begin with ws:// or wss://",
            );
        }
        found.within(
            &key("poll_interval_ms"),
            chain.poll_interval_ms,
            50..=600_000,
        );
        found.within(
            &key("request_timeout_ms"),
            chain.request_timeout_ms,
            100..=600_000,
        );
        found.within(&key("concurrency"), chain.concurrency, 1..=256);
        found.within(&key("request_blocks"), chain.request_blocks, 1..=1_000);
        found.within(
            &key("response_bytes"),
            chain.response_bytes,
            1_048_576..=1_073_741_824,
        );
        found.within(
            &key("backfill_memory_bytes"),
            chain.backfill_memory_bytes,
            8_388_608..=68_719_476_736,
        );
        found.within(&key("batch_blocks"), chain.batch_blocks, 1..=1_000);
        found.within(
            &key("token_metadata_per_second"),
            chain.token_metadata_per_second,
            1..=1_000,
        );
        found.within(&key("confirmations"), chain.confirmations, 1..=100_000);
        found.within(&key("watch_polls"), chain.watch_polls, 1..=10_000);
        found.within(
            &key("dropped_after_ms"),
            chain.dropped_after_ms,
            100..=86_400_000,
        );
        found.within(
            &key("log_range_blocks"),
            chain.log_range_blocks,
            1..=100_000,
        );
        found.within(&key("max_reorg_depth"), chain.max_reorg_depth, 1..=100_000);
    }
}
