//! Checks of `[[chains]]` that no key shows by itself.

use std::collections::BTreeSet;

use super::ChainConfig;
use chaincast_base::settings::Problems;

/// Most providers of a chain: more are a mistake.
const MAX_PROVIDERS: usize = 16;

/// Checks the chains and their providers.
pub fn check(chains: &[ChainConfig], found: &mut Problems) {
    found.check(
        !chains.is_empty(),
        "chains",
        "is empty; add a [[chains]] section with chain_id and rpc_url",
    );
    let mut ids = BTreeSet::new();
    for (at, chain) in chains.iter().enumerate() {
        let key = |name: &str| format!("chains.{at}.{name}");
        if chain.chain_id == 0 || i64::try_from(chain.chain_id).is_err() {
            found.refuse(&key("chain_id"), "must be above 0 and below 2^63");
        }
        found.check(
            found.is_reported(&key("chain_id")) || ids.insert(chain.chain_id),
            &key("chain_id"),
            "is configured twice",
        );
        let has_providers = !chain.providers.is_empty() || found.is_reported(&key("providers"));
        found.check(
            (chain.rpc_url.is_empty() && has_providers)
                || Problems::has_scheme(&chain.rpc_url, &["http", "https"]),
            &key("rpc_url"),
            "must begin with http:// or https://",
        );
        let has_rpc_url = !chain.rpc_url.is_empty() || found.is_reported(&key("rpc_url"));
        found.check(
            chain.ws_url.is_none() || has_rpc_url,
            &key("ws_url"),
            "requires rpc_url; providers have their own ws_url",
        );
        found.check(
            chain.headers.is_empty() || has_rpc_url,
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
                Problems::has_scheme(&provider.url, &["http", "https"]),
                &key("url"),
                "must begin with http:// or https://",
            );
            found.check(
                provider
                    .ws_url
                    .as_ref()
                    .is_none_or(|url| Problems::has_scheme(url, &["ws", "wss"])),
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
        if let Some(url) = &chain.ws_url {
            found.check(
                Problems::has_scheme(url, &["ws", "wss"]),
                &key("ws_url"),
                "must begin with ws:// or wss://",
            );
        }
    }
}
