//! What a comparison without differences does not show: checks that are off, and modes in which no root is over what is
//! indexed. Pure.

use crate::{
    model::IndexMode,
    source::chain::{ChainConfig, ChecksConfig},
};

/// What was taken on the node's word, as `checks` were made; `None` when everything indexed was proven.
pub(super) fn caveat(config: &ChainConfig, checks: &ChecksConfig) -> Option<String> {
    let roots = checks.roots_off().into_iter();
    let (of_mode, off): (_, Vec<_>) = match config.index {
        IndexMode::Blocks => (None, roots.chain(checks.unproved(false)).collect()),
        IndexMode::Logs => (
            Some(
                "only logs are indexed: the header's bloom shows their addresses and topics, but neither their data nor \
                 their number; that much was taken on the node's word",
            ),
            roots.filter(|key| of_logs(key)).collect(),
        ),
        IndexMode::Transfers => (
            Some(
                "only transfers are indexed: that the node left none out, no header proves; that much was taken on its \
                 word",
            ),
            roots.filter(|key| of_logs(key)).collect(),
        ),
    };
    let off = (!off.is_empty()).then(|| {
        format!(
            "{} of [chains.checks] {} off: that much was taken on the node's word",
            off.join(", "),
            if off.len() == 1 { "is" } else { "are" }
        )
    });
    match (of_mode, off) {
        (Some(of_mode), Some(off)) => Some(format!("{of_mode}; {off}")),
        (of_mode, off) => off.or(of_mode.map(str::to_owned)),
    }
}

/// Whether a check is made where only logs are indexed.
fn of_logs(key: &str) -> bool {
    matches!(key, "block_hash" | "logs_bloom")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Secret, source::chain::Senders};

    fn of(index: IndexMode, change: impl FnOnce(&mut ChecksConfig)) -> Option<String> {
        let mut config = ChainConfig::of(1, Secret::new("http://127.0.0.1:1"));
        config.index = index;
        config.checks.senders = Senders::Always;
        change(&mut config.checks);
        caveat(&config, &config.checks)
    }

    #[test]
    fn names_each_check_that_is_off() {
        assert_eq!(of(IndexMode::Blocks, |_| {}), None);
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
            let told = of(IndexMode::Blocks, change).unwrap();
            assert!(told.starts_with(start), "{told}");
        }
    }

    #[test]
    fn says_what_no_header_proves_of_logs() {
        let logs = of(IndexMode::Logs, |checks| checks.gas_price = false).unwrap();
        assert!(logs.contains("the header's bloom") && !logs.contains("[chains.checks]"));
        let unchecked = of(IndexMode::Logs, |checks| checks.logs_bloom = false).unwrap();
        assert!(unchecked.ends_with(
            "logs_bloom of [chains.checks] is off: that much was taken on the node's word"
        ));
        assert!(
            of(IndexMode::Transfers, |_| {})
                .unwrap()
                .contains("only transfers")
        );
    }
}
