//! Metrics of configured contracts.

use std::collections::HashMap;

use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::Contracts;
use chaincast_evm::contract::Contract;
use chaincast_model::DecodedEvent;

/// Describes the metrics, and initializes the counters with zero.
pub(in crate::chain) fn describe(contracts: &[Contract]) {
    describe_counter!(
        "chaincast_contract_events_total",
        "Events of configured contracts decoded"
    );
    describe_counter!(
        "chaincast_contract_undecoded_total",
        "Logs of configured contracts that do not match the ABI's event of their signature"
    );
    describe_counter!(
        "chaincast_contract_addresses_refused_total",
        "Addresses created by a factory and rejected because they exceed max_addresses"
    );
    describe_gauge!(
        "chaincast_contract_addresses",
        "Followed addresses that a factory created"
    );
    describe_gauge!(
        "chaincast_contract_left_blocks",
        "Blocks whose stored logs are still to be decoded"
    );
    for contract in contracts {
        let name = || contract.name.to_string();
        counter!("chaincast_contract_events_total", "contract" => name()).increment(0);
        counter!("chaincast_contract_undecoded_total", "contract" => name()).increment(0);
        counter!("chaincast_contract_addresses_refused_total", "contract" => name()).increment(0);
    }
}

impl Contracts {
    pub(super) fn count(&self, events: &[DecodedEvent]) {
        let mut counts = HashMap::<_, u64>::new();
        for event in events {
            *counts.entry(event.contract).or_default() += 1;
        }
        for (at, count) in counts {
            let name = self.following.contracts()[at].name.to_string();
            counter!("chaincast_contract_events_total", "contract" => name).increment(count);
        }
    }

    /// Records the progress of each contract.
    pub(super) fn report_progress(&self) {
        for (at, contract) in self.following.contracts().iter().enumerate() {
            let left = self.backfills[at]
                .decoded_from
                .saturating_sub(self.goal(at));
            let name = || contract.name.to_string();
            gauge!("chaincast_contract_left_blocks", "contract" => name()).set(left as f64);
            let found = self.following.found_count(at);
            gauge!("chaincast_contract_addresses", "contract" => name()).set(found as f64);
        }
    }
}
