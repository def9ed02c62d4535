//! `[[contracts]]`: the contracts whose events are decoded, and their ABIs.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use crate::model::{Address, ChainId};

/// `[[contracts]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractConfig {
    /// Names the channel and the resource; unique, ignoring case.
    pub name: String,
    /// The first configured chain if omitted.
    pub chain_id: Option<ChainId>,
    /// One contract, or several with the same ABI.
    #[serde(default)]
    pub address: Addresses,
    /// Instead of `address`: contracts that a factory announces.
    pub factory: Option<FactoryConfig>,
    /// A JSON file: an ABI, or a compiler artifact with `abi` in it. A relative path is resolved against the directory
    /// of the configuration file, then against the working directory.
    pub abi: PathBuf,
    /// Names of events, or full signatures of overloaded ones; all events of the ABI if omitted.
    #[serde(default)]
    pub events: Vec<String>,
    /// Logs of earlier blocks are not decoded.
    #[serde(default)]
    pub start_block: u64,
}

/// `[contracts.factory]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactoryConfig {
    pub address: Addresses,
    /// The event that announces a contract: a name or a full signature.
    pub event: String,
    /// The parameter of the event that holds the address of the new contract.
    pub parameter: String,
    /// The ABI of the factory; that of the contracts if omitted. Resolved like [`ContractConfig::abi`].
    pub abi: Option<PathBuf>,
    /// Further contracts are ignored.
    #[serde(default = "max_addresses")]
    pub max_addresses: usize,
}

fn max_addresses() -> usize {
    1_000_000
}

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
