//! Addresses as clients get them.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::Address;

/// An address that is written with its checksum ([EIP-55](https://eips.ethereum.org/EIPS/eip-55)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub struct Checksummed(pub Address);

impl From<Address> for Checksummed {
    fn from(address: Address) -> Self {
        Self(address)
    }
}

impl fmt::Display for Checksummed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Checksummed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_round_trips_with_its_checksum() {
        let json = r#""0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48""#;
        let address: Checksummed = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&address).unwrap(), json);
        let lower: Checksummed = serde_json::from_str(&json.to_lowercase()).unwrap();
        assert_eq!(lower, address);
    }
}
