//! Metrics of configured contracts.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use chaincast_evm::contract::Contract;

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

/// Counts decoded events of a contract.
pub(super) fn count_events(contract: &Contract, events: u64) {
    let name = contract.name.to_string();
    counter!("chaincast_contract_events_total", "contract" => name).increment(events);
}

/// Records the progress of a contract: the blocks left to decode, and the addresses found.
pub(super) fn report_progress(contract: &Contract, left: u64, found: usize) {
    let name = || contract.name.to_string();
    gauge!("chaincast_contract_left_blocks", "contract" => name()).set(left as f64);
    gauge!("chaincast_contract_addresses", "contract" => name()).set(found as f64);
}
