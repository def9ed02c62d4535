//! `[[contracts]]`: whose events are decoded, and by which ABI.

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
    /// Names its channel and its resource; unique in any case.
    pub name: String,
    /// The first configured chain when left out.
    pub chain_id: Option<ChainId>,
    /// The contract, or several with one ABI.
    #[serde(default)]
    pub address: Addresses,
    /// Instead of `address`: contracts that another one announces.
    pub factory: Option<FactoryConfig>,
    /// A JSON file: an ABI, or a compiler's artifact with `abi` in it. A relative path is looked for beside the
    /// configuration file, then in the working directory.
    pub abi: PathBuf,
    /// Names of events, or full signatures where a name is overloaded; all of the ABI when left out.
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
    /// The event's parameter that is the new contract's address.
    pub parameter: String,
    /// The factory's own ABI; the contracts' when left out. Found as [`ContractConfig::abi`].
    pub abi: Option<PathBuf>,
    /// Contracts beyond this many are not followed.
    #[serde(default = "max_addresses")]
    pub max_addresses: usize,
}

fn max_addresses() -> usize {
    1_000_000
}

impl ContractConfig {
    /// Settles where the ABI files are: those with a relative path beside the configuration file, if there is such a
    /// file, else in the working directory.
    pub fn locate(&mut self, beside: &Path) {
        let factory = self
            .factory
            .as_mut()
            .and_then(|factory| factory.abi.as_mut());
        for path in [Some(&mut self.abi), factory].into_iter().flatten() {
            let there = beside.join(&path);
            if there.is_file() {
                *path = there;
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
    let shown: String = text.chars().take(50).collect();
    text.parse().map_err(|_| {
        E::custom(format!(
            "{shown:?} is not an address: use 0x and 40 hex digits"
        ))
    })
}
