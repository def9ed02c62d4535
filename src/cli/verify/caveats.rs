//! Caveats of a comparison without differences: checks that are off, and index modes whose data no root covers. Pure.

use chaincast_evm::chain::{ChainConfig, ChecksConfig};
use chaincast_model::IndexMode;

/// The data that was accepted without proof, given the checks that were made; `None` when everything indexed was
/// proven.
pub(super) fn caveat(config: &ChainConfig, checks: &ChecksConfig) -> Option<String> {
    let roots = checks.roots_off().into_iter();
    let (mode_caveat, off): (_, Vec<_>) = match config.index {
        IndexMode::Blocks => (None, roots.chain(checks.unproved()).collect()),
        IndexMode::Logs => (
            Some(
                "only logs are indexed: the header's bloom covers their addresses and topics, but not their data or their \
                 number, which were trusted as the node returned them",
            ),
            roots.filter(|key| applies_to_logs(key)).collect(),
        ),
        IndexMode::Transfers => (
            Some(
                "only transfers are indexed: no header proves that the node returned all of them; the node was \
                 trusted",
            ),
            roots.filter(|key| applies_to_logs(key)).collect(),
        ),
    };
    let off = (!off.is_empty()).then(|| {
        format!(
            "{} of [chains.checks] {} off: the node was trusted",
            off.join(", "),
            if off.len() == 1 { "is" } else { "are" }
        )
    });
    match (mode_caveat, off) {
        (Some(mode_caveat), Some(off)) => Some(format!("{mode_caveat}; {off}")),
        (mode_caveat, off) => off.or(mode_caveat.map(str::to_owned)),
    }
}

/// Whether a check applies when only logs are indexed.
fn applies_to_logs(key: &str) -> bool {
    matches!(key, "block_hash" | "logs_bloom")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaincast_base::Secret;
    use chaincast_evm::chain::Senders;

    fn caveat_for(index: IndexMode, change: impl FnOnce(&mut ChecksConfig)) -> Option<String> {
        let mut config = ChainConfig::of(1, Secret::new("http://127.0.0.1:1"));
        config.index = index;
        config.checks.senders = Senders::Always;
        change(&mut config.checks);
        caveat(&config, &config.checks)
    }

    #[test]
    fn caveat_names_disabled_checks() {
        assert_eq!(caveat_for(IndexMode::Blocks, |_| {}), None);
        type Change = fn(&mut ChecksConfig);
        let cases: [(Change, &str); 9] = [
            (|c| c.block_hash = false, "block_hash of "),
            (|c| c.receipts_root = false, "receipts_root of "),
            (|c| c.gas_used = false, "gas_used of "),
            (|c| c.gas_price = false, "gas_price of "),
            (|c| c.contract_address = false, "contract_address of "),
            (|c| c.state_sync = false, "state_sync of "),
            (|c| c.senders = Senders::Off, "senders of "),
            (
                |c| c.derived = false,
                "contract_address, gas_price, gas_used of ",
            ),
            (
                |c| (c.logs_bloom, c.state_sync) = (false, false),
                "logs_bloom, state_sync of [chains.checks] are off",
            ),
        ];
        for (change, start) in cases {
            let text = caveat_for(IndexMode::Blocks, change).unwrap();
            assert!(text.starts_with(start), "{text}");
        }
    }

    #[test]
    fn caveat_names_unproven_log_data() {
        let logs = caveat_for(IndexMode::Logs, |checks| checks.gas_price = false).unwrap();
        assert!(logs.contains("the header's bloom") && !logs.contains("[chains.checks]"));
        let unchecked = caveat_for(IndexMode::Logs, |checks| checks.logs_bloom = false).unwrap();
        assert!(unchecked.ends_with("logs_bloom of [chains.checks] is off: the node was trusted"));
        assert!(
            caveat_for(IndexMode::Transfers, |_| {})
                .unwrap()
                .contains("only transfers")
        );
    }
}
