//! What a configuration may say and hardly means: told by `chaincast check`, and no reason not to start.

use toml::{Table, Value};

use super::{Config, ConfigError, Problem, Sources};
use crate::model::Address;

/// Sections whose addresses are looked at.
const WITH_ADDRESSES: [&str; 2] = ["prices", "contracts"];

impl Config {
    /// Everything that is doubtful, each with file, line and key. `sources` are those that it was loaded from.
    pub fn doubts(&self, sources: &Sources) -> Result<Vec<Problem>, ConfigError> {
        let doubts = self.prices.doubts(self.first_chain()).into_iter();
        let mut found: Vec<Problem> = doubts
            .map(|(key, doubt)| Problem::new(key, doubt))
            .collect();
        for (at, token) in self.prices.tokens.iter().enumerate() {
            if let Some(chain) = token.chain_id
                && !self.chains.iter().any(|of| of.chain_id == chain)
            {
                let key = format!("prices.tokens.{at}.chain_id");
                let doubt = format!(
                    "{} lives on chain {chain}, which is not among [[chains]]",
                    token.symbol
                );
                found.push(Problem::new(key, doubt));
            }
        }
        for (at, contract) in self.contracts()?.iter().enumerate() {
            for reason in &contract.left_out {
                let doubt = format!("an event is left out: {reason}");
                found.push(Problem::new(format!("contracts.{at}.abi"), doubt));
            }
        }
        let text = sources.text()?;
        // It was read before: what is in it is a table.
        let file: Table = toml::from_str(&text).unwrap_or_default();
        let mut addresses = Vec::new();
        for section in WITH_ADDRESSES {
            if let Some(value) = file.get(section) {
                mistyped(section, value, &mut addresses);
            }
        }
        for doubt in &mut addresses {
            if let Some(entry) = self.entry(&doubt.key) {
                doubt.message = format!("{entry}: {}", doubt.message);
            }
        }
        found.extend(addresses);
        let file = sources.file.as_deref();
        Ok(ConfigError::placed(file, &text, found))
    }

    /// The entry of `[prices]` that a key stands in, as errors call it.
    fn entry(&self, key: &str) -> Option<String> {
        let (list, rest) = key.strip_prefix("prices.")?.split_once('.')?;
        let at: usize = rest.split('.').next()?.parse().ok()?;
        let position = at + 1;
        match list {
            "tokens" => {
                let symbol = &self.prices.tokens.get(at)?.symbol;
                Some(format!("prices.tokens entry {position} ({symbol})"))
            }
            "sources" => {
                let source = self.prices.sources.get(at)?;
                let (name, token) = (source.source_name(), &source.token);
                Some(format!(
                    "prices.sources entry {position} ({name:?} of {token})"
                ))
            }
            _ => None,
        }
    }
}

/// Addresses that have the form of EIP-55 and not its checksum.
fn mistyped(path: &str, value: &Value, found: &mut Vec<Problem>) {
    match value {
        Value::String(text) => {
            let Some(digits) = text.strip_prefix("0x").filter(|rest| rest.len() == 40) else {
                return;
            };
            let has = |is: fn(&u8) -> bool| digits.bytes().any(|byte| is(&byte));
            let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
            let Some(address) = text.parse::<Address>().ok().filter(|_| mixed) else {
                return;
            };
            if address.to_string() != *text {
                let doubt = "has not the checksum of EIP-55 that its capitals promise: is a digit mistyped?";
                found.push(Problem::new(path, doubt));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                mistyped(&format!("{path}.{at}"), item, found);
            }
        }
        Value::Table(table) => {
            for (key, item) in table {
                mistyped(&format!("{path}.{key}"), item, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubts(prices: &str) -> String {
        let file =
            std::env::temp_dir().join(format!("chaincast-doubts-{}.toml", rand::random::<u64>()));
        let text = format!(
            "[database]\nurl = \"postgres://localhost/x\"\n[[chains]]\nchain_id = 1\nrpc_url = \"http://a\"\n{prices}"
        );
        std::fs::write(&file, text).unwrap();
        let sources = Sources {
            file: Some(file.clone()),
            environment: vec![],
        };
        let found = Config::load(&sources).unwrap().doubts(&sources).unwrap();
        std::fs::remove_file(&file).unwrap();
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        lines.join("\n").replace(file.to_str().unwrap(), "FILE")
    }

    #[test]
    fn a_checksum_that_is_wrong_and_a_chain_that_is_none_are_told_with_their_lines() {
        let right = "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419";
        let text = |address: &str, chain: u64| {
            format!(
                "[[prices.tokens]]\nsymbol = \"ETH\"\nchain_id = {chain}\n\
                 [[prices.sources]]\nkind = \"chainlink\"\ntoken = \"ETH\"\naddress = \"{address}\"\n"
            )
        };
        for good in [right, &*right.to_lowercase()] {
            assert_eq!(doubts(&text(good, 1)), "");
        }
        let told = doubts(&text(&right.replace("8419", "8418"), 10));
        assert!(
            told.contains("FILE:8: prices.tokens.0.chain_id: ETH lives on chain 10"),
            "{told}"
        );
        assert!(
            told.contains(
                "FILE:12: prices.sources.0.address: prices.sources entry 1 (\"chainlink\" of ETH): has not the checksum"
            ),
            "{told}"
        );
        let wrong = right.replace("8419", "8418");
        let own = format!("symbol = \"ETH\"\naddress = \"{wrong}\"");
        let told = doubts(&text(right, 1).replace("symbol = \"ETH\"", &own));
        assert!(
            told.contains(
                "FILE:8: prices.tokens.0.address: prices.tokens entry 1 (ETH): has not the checksum"
            ),
            "{told}"
        );
    }
}
