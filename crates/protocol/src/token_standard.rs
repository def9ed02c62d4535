//! Kinds of transferred assets.

use serde::{Deserialize, Serialize};

/// The kind of a transferred asset: the native coin, or a token by the standard of its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum TokenStandard {
    /// The native coin of the chain.
    #[serde(rename = "native")]
    Native,
    /// Amounts of one token.
    #[serde(rename = "ERC-20")]
    Erc20,
    /// Single tokens with ids.
    #[serde(rename = "ERC-721")]
    Erc721,
    /// Amounts of tokens with ids.
    #[serde(rename = "ERC-1155")]
    Erc1155,
}

impl TokenStandard {
    /// The EIP number, as stored; 0 for the native coin.
    pub fn number(self) -> i16 {
        match self {
            Self::Native => 0,
            Self::Erc20 => 20,
            Self::Erc721 => 721,
            Self::Erc1155 => 1155,
        }
    }

    /// The standard with this number.
    pub fn from_number(number: i16) -> Option<Self> {
        match number {
            0 => Some(Self::Native),
            20 => Some(Self::Erc20),
            721 => Some(Self::Erc721),
            1155 => Some(Self::Erc1155),
            _ => None,
        }
    }

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Erc20 => "ERC-20",
            Self::Erc721 => "ERC-721",
            Self::Erc1155 => "ERC-1155",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_names_match_json() {
        for number in [0, 20, 721, 1155] {
            let standard = TokenStandard::from_number(number).unwrap();
            assert_eq!(standard.number(), number);
            let json = serde_json::to_string(&standard).unwrap();
            assert_eq!(json, format!("{:?}", standard.name()));
            assert_eq!(
                serde_json::from_str::<TokenStandard>(&json).unwrap(),
                standard
            );
        }
    }
}
