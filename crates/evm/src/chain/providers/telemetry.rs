//! Metrics of the providers. Labels are names from the configuration, never URLs.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::provider::Provider;
use chaincast_protocol::ChainId;

pub(super) fn describe(chain_id: ChainId, providers: &[Provider]) {
    describe_gauge!(
        "chaincast_chain_provider_up",
        "1 while a provider is in regular use, 0 while it fails, backs off or lags"
    );
    describe_gauge!(
        "chaincast_chain_provider_lag_blocks",
        "Blocks between the highest head of a chain's providers and this one's"
    );
    describe_counter!(
        "chaincast_chain_failovers_total",
        "Switches to the head of another provider"
    );
    describe_counter!(
        "chaincast_chain_provider_disagreements_total",
        "Answers of a provider that failed a check which another provider's answer passed"
    );
    describe_counter!(
        "chaincast_chain_subscriptions_lost_total",
        "Subscriptions to newHeads of a provider that were refused, closed or silent"
    );
    counter!("chaincast_chain_failovers_total", "chain_id" => chain_id.to_string()).increment(0);
    for provider in providers {
        set_up(chain_id, provider, true);
        disagreements(chain_id, provider).increment(0);
        if provider.ws_url.is_some() {
            for reason in ["refused", "closed", "silent"] {
                subscriptions_lost(chain_id, &provider.name, reason).increment(0);
            }
        }
    }
}

pub(super) fn set_up(chain_id: ChainId, provider: &Provider, up: bool) {
    gauge!(
        "chaincast_chain_provider_up",
        "chain_id" => chain_id.to_string(), "provider" => provider.name.clone()
    )
    .set(f64::from(u8::from(up)));
}

pub(super) fn set_lag(chain_id: ChainId, provider: &Provider, blocks: u64) {
    gauge!(
        "chaincast_chain_provider_lag_blocks",
        "chain_id" => chain_id.to_string(), "provider" => provider.name.clone()
    )
    .set(blocks as f64);
}

pub(super) fn count_failover(chain_id: ChainId) {
    counter!("chaincast_chain_failovers_total", "chain_id" => chain_id.to_string()).increment(1);
}

/// Counted once per outage, because the first one opens the circuit.
pub(super) fn count_disagreement(chain_id: ChainId, provider: &Provider) {
    disagreements(chain_id, provider).increment(1);
}

fn disagreements(chain_id: ChainId, provider: &Provider) -> metrics::Counter {
    counter!(
        "chaincast_chain_provider_disagreements_total",
        "chain_id" => chain_id.to_string(), "provider" => provider.name.clone()
    )
}

/// A `newHeads` subscription of a provider ended: `refused`, `closed`, or `silent` while the head moved.
pub(crate) fn subscription_lost(chain_id: ChainId, provider: &str, reason: &'static str) {
    subscriptions_lost(chain_id, provider, reason).increment(1);
}

fn subscriptions_lost(chain_id: ChainId, provider: &str, reason: &'static str) -> metrics::Counter {
    counter!(
        "chaincast_chain_subscriptions_lost_total",
        "chain_id" => chain_id.to_string(), "provider" => provider.to_owned(), "reason" => reason
    )
}
