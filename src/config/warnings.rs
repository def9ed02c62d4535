//! Suspicious but valid settings: printed by `chaincast check`; they do not prevent the start.

use toml::{Table, Value};

use super::{Config, ConfigError, Problem, Sources};
use chaincast_protocol::Address;

/// Sections whose addresses are checked.
const ADDRESS_SECTIONS: [&str; 2] = ["prices", "contracts"];

impl Config {
    /// Every suspicious setting, each with file, line and key. `sources` are those of this configuration.
    pub fn warnings(&self, sources: &Sources) -> Result<Vec<Problem>, ConfigError> {
        let warnings = self.prices.warnings(self.first_chain()).into_iter();
        let mut found: Vec<Problem> = warnings
            .map(|(key, message)| Problem::new(key, message))
            .collect();
        for (at, token) in self.prices.tokens.iter().enumerate() {
            if let Some(chain) = token.chain_id
                && !self.chains.iter().any(|of| of.chain_id == chain)
            {
                let key = format!("prices.tokens.{at}.chain_id");
                let message = format!(
                    "{} is on chain {chain}, which is not configured in [[chains]]",
                    token.symbol
                );
                found.push(Problem::new(key, message));
            }
        }
        for (at, contract) in self.contracts()?.iter().enumerate() {
            for reason in &contract.skipped_events {
                let message = format!("event skipped: {reason}");
                found.push(Problem::new(format!("contracts.{at}.abi"), message));
            }
        }
        let text = sources.text()?;
        // The file was parsed before, so it is a TOML table.
        let file: Table = toml::from_str(&text).unwrap_or_default();
        let mut addresses = Vec::new();
        for section in ADDRESS_SECTIONS {
            if let Some(value) = file.get(section) {
                check_checksums(section, value, &mut addresses);
            }
        }
        for problem in &mut addresses {
            if let Some(entry) = self.entry(&problem.key) {
                problem.message = format!("{entry}: {}", problem.message);
            }
        }
        found.extend(addresses);
        let file = sources.file.as_deref();
        Ok(ConfigError::with_places(file, &text, found))
    }

    /// The entry of `[prices]` that contains a key, with the name that errors use.
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

/// Finds mixed-case addresses that fail their EIP-55 checksum.
fn check_checksums(path: &str, value: &Value, found: &mut Vec<Problem>) {
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
                let message = "fails its EIP-55 checksum; check for a typo";
                found.push(Problem::new(path, message));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                check_checksums(&format!("{path}.{at}"), item, found);
            }
        }
        Value::Table(table) => {
            for (key, item) in table {
                check_checksums(&format!("{path}.{key}"), item, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(prices: &str) -> String {
        let file =
            std::env::temp_dir().join(format!("chaincast-warnings-{}.toml", rand::random::<u64>()));
        let text = format!(
            "[database]\nurl = \"postgres://localhost/x\"\n[[chains]]\nchain_id = 1\nrpc_url = \"http://a\"\n{prices}"
        );
        std::fs::write(&file, text).unwrap();
        let sources = Sources {
            file: Some(file.clone()),
            environment: vec![],
        };
        let found = Config::load(&sources).unwrap().warnings(&sources).unwrap();
        std::fs::remove_file(&file).unwrap();
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        lines.join("\n").replace(file.to_str().unwrap(), "FILE")
    }

    #[test]
    fn warns_about_bad_checksum_and_unknown_chain() {
        let right = "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419";
        let text = |address: &str, chain: u64| {
            format!(
                "[[prices.tokens]]\nsymbol = \"ETH\"\nchain_id = {chain}\n\
                 [[prices.sources]]\nkind = \"chainlink\"\ntoken = \"ETH\"\naddress = \"{address}\"\n"
            )
        };
        for good in [right, &*right.to_lowercase()] {
            assert_eq!(warnings(&text(good, 1)), "");
        }
        let output = warnings(&text(&right.replace("8419", "8418"), 10));
        assert!(
            output.contains("FILE:8: prices.tokens.0.chain_id: ETH is on chain 10"),
            "{output}"
        );
        assert!(
            output.contains(
                "FILE:12: prices.sources.0.address: prices.sources entry 1 (\"chainlink\" of ETH): fails its EIP-55 checksum"
            ),
            "{output}"
        );
        let wrong = right.replace("8419", "8418");
        let own = format!("symbol = \"ETH\"\naddress = \"{wrong}\"");
        let output = warnings(&text(right, 1).replace("symbol = \"ETH\"", &own));
        assert!(
            output.contains(
                "FILE:8: prices.tokens.0.address: prices.tokens entry 1 (ETH): fails its EIP-55 checksum"
            ),
            "{output}"
        );
    }
}
