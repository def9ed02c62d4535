//! `[[contracts]]`: the contracts whose events are decoded, and their ABIs.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use chaincast_base::settings::{plain_settings, settings};
use chaincast_protocol::{Address, ChainId};

settings! {
    /// `[[contracts]]`
    pub struct ContractConfig {
        /// 1 to 64 of a-z A-Z 0-9 _ - . $, unique and case-insensitive; the channel is contract:usdc.
        name: String = String::new(), example("\"usdc\""), required();
        /// The chain; default: the first configured one.
        chain_id: Option<ChainId> = None, example("1");
        /// One contract, or a list of several with the same ABI, at most 10000.
        address: Addresses = Addresses::default(), example("\"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48\"");
        /// Instead of `address`: contracts that a factory creates.
        factory: Option<FactoryConfig> = None;
        /// An ABI, or an artifact with an `abi` field; a relative path is resolved beside this file, then in the working
        /// directory.
        abi: PathBuf = PathBuf::new(), example("\"abi/erc20.json\""), required();
        /// Names of events, or full signatures of overloads; default: all decodable events of the ABI.
        events: Vec<String> = Vec::new(), example("[\"Transfer\"]");
        /// Logs of earlier blocks are not decoded.
        start_block: u64 = 0;
    }
}

settings! {
    /// `[contracts.factory]`
    pub struct FactoryConfig {
        /// The factory, or a list of several.
        address: Addresses = Addresses::default(), example("\"0x5C69bEe701ef814a2B6a3EDD4B1652CB9cc5aA6f\""), required();
        /// Name or signature of the event that announces a contract.
        event: String = String::new(), example("\"PairCreated\""), required();
        /// Its parameter of type address that holds the new contract.
        parameter: String = String::new(), example("\"pair\""), required();
        /// ABI with that event; default: the ABI of the contracts.
        abi: Option<PathBuf> = None, example("\"abi/uniswap_v2_factory.json\"");
        /// Most announced contracts that are indexed; further ones are ignored.
        max_addresses: usize = 1_000_000, range(1, 10_000_000), unit("contracts");
    }
}

plain_settings! { Addresses }

impl ContractConfig {
    /// Resolves relative paths of ABI files: against `directory` (that of the configuration file) if the file exists
    /// there, else against the working directory.
    pub fn locate(&mut self, directory: &Path) {
        let factory = self
            .factory
            .as_mut()
            .and_then(|factory| factory.abi.as_mut());
        for path in [Some(&mut self.abi), factory].into_iter().flatten() {
            let candidate = directory.join(&path);
            if candidate.is_file() {
                *path = candidate;
            }
        }
    }
}

/// One address, or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<Address>);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressesVisitor)
    }
}

struct AddressesVisitor;

impl<'de> Visitor<'de> for AddressesVisitor {
    type Value = Addresses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as \"0x…\" with 40 hex digits, or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Addresses, E> {
        Ok(Addresses(vec![address(text)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Addresses, A::Error> {
        let mut addresses = Vec::new();
        while let Some(text) = seq.next_element::<String>()? {
            addresses.push(address(&text)?);
        }
        Ok(Addresses(addresses))
    }
}

fn address<E: Error>(text: &str) -> Result<Address, E> {
    let excerpt: String = text.chars().take(50).collect();
    text.parse().map_err(|_| {
        E::custom(format!(
            "{excerpt:?} is not an address: use 0x and 40 hex digits"
        ))
    })
}
