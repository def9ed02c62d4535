//! Checks of the whole configuration, beyond what each key accepts. Each module checks its own section; here is what
//! concerns several.

use super::{Config, ConfigError};
use chaincast_base::settings::Problems;
use chaincast_evm::chain::{ChainConfig, check_chains};
use chaincast_model::IndexMode;
use chaincast_protocol::ChainId;

/// Whether the logs of a chain are indexed; true for a chain that is not configured.
fn has_logs(chains: &[ChainConfig], chain: ChainId) -> bool {
    !chains
        .iter()
        .any(|of| of.chain_id == chain && of.index == IndexMode::Transfers)
}

/// Adds what is not valid to the problems of reading.
pub(super) fn check(config: &Config, found: &mut Problems) {
    let ages_ms = config.prices.sources.iter().map(|source| source.max_age_ms);
    config.database.check(ages_ms.max().unwrap_or(0), found);
    check_chains(&config.chains, found);
    for problem in config.prices.problems(found) {
        let (key, text) = (problem.path(), problem.to_string());
        let message = text.strip_prefix(&format!("{key}: ")).unwrap_or(&text);
        found.add(key, message);
    }
    check_sources(config, found);
    config.bus.check(found);
    config.gateway.check(found);
    config.gateway.auth.check(found);
    let chains = config.chains.iter().enumerate();
    let chains = chains.filter(|(at, _)| {
        let key = format!("chains.{at}.poll_interval_ms");
        !found.is_reported(&key)
    });
    let intervals: Vec<u64> = chains.map(|(_, chain)| chain.poll_interval_ms).collect();
    config.api.check(intervals.into_iter(), found);
    config.telemetry.check(found);
    check_contracts(config, found);
}

/// Whether the ids of all chains are those of the file, so that others can be compared with them.
fn has_chain_ids(config: &Config, found: &Problems) -> bool {
    !config.chains.is_empty() && !found.is_reported_in_list("chains", "chain_id")
}

/// Keys of a contract whose check depends on another key, which may be wrong.
const CONTRACT_DEPENDENCIES: [(&str, &str); 3] = [
    ("address", "factory"),
    ("factory.event", "factory.abi"),
    ("factory.parameter", "factory.abi"),
];

/// Compiles the contracts.
fn check_contracts(config: &Config, found: &mut Problems) {
    let Err(ConfigError::Invalid(problems)) = config.contracts() else {
        return;
    };
    let has_chain_ids = has_chain_ids(config, found);
    for problem in problems {
        let mut parts = problem.key.splitn(3, '.').skip(1);
        let (entry, key) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let mut dependencies = CONTRACT_DEPENDENCIES.iter();
        let is_consequence = dependencies.any(|(dependent, other)| {
            *dependent == key && found.is_reported(&format!("contracts.{entry}.{other}"))
        });
        if !is_consequence && (has_chain_ids || key != "chain_id") {
            found.add(problem.key, problem.message);
        }
    }
}

/// Checks that the chains of price sources and contracts are configured and have logs.
fn check_sources(config: &Config, found: &mut Problems) {
    let has_modes = !found.is_reported_in_list("chains", "index");
    if !has_chain_ids(config, found) {
        return;
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
            !has_modes || has_logs(&config.chains, chain),
            &format!("prices.sources.{at}.chain_id"),
            "is a chain with index = \"transfers\", which has no logs to read prices from; set index = \"logs\"",
        );
    }
    for (at, contract) in config.contracts.iter().enumerate() {
        found.check(
            !has_modes
                || has_logs(
                    &config.chains,
                    contract.chain_id.unwrap_or(config.first_chain()),
                ),
            &format!("contracts.{at}.chain_id"),
            "is a chain with index = \"transfers\", which has no logs to decode events from; set index = \"logs\"",
        );
    }
}

#[cfg(test)]
mod tests;
