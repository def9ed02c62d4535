//! The deployed demo contracts, recorded in `DATA_DIR/deployment.json`. The embedded configuration is built from them.

use std::{fs, io, path::Path};

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::{DevError, Node};

/// The symbol of the quote token of all pairs.
pub(super) const QUOTE: &str = "USDC";

/// The demo contracts on one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// EIP-155 id.
    pub chain_id: u64,
    /// Distinguishes this chain from others with the same id.
    pub(super) genesis_hash: B256,
    /// Every token, the quote token last.
    pub tokens: Vec<DemoToken>,
    /// The price feed of each token.
    pub feeds: Vec<DemoFeed>,
    /// The pair of each token but the quote token.
    pub pairs: Vec<DemoPair>,
}

/// An ERC-20 token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoToken {
    /// In upper case: the key of the token in the records here and in `[[prices.tokens]]`.
    pub symbol: String,
    /// As people read it, such as `Demo Ether`.
    pub name: String,
    /// The contract.
    pub address: Address,
    /// One token is 10 to the power of this in the contract's smallest unit.
    pub decimals: u8,
}

/// A Chainlink-style feed of a token's price in USD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoFeed {
    /// Symbol of the priced token.
    pub token: String,
    /// The contract.
    pub address: Address,
    /// Decimals of the answers.
    pub(super) decimals: u8,
}

/// A Uniswap-V2-style pair of a token with the quote token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoPair {
    /// Symbol of the priced token.
    pub token: String,
    /// The contract.
    pub address: Address,
    /// Whether the priced token is the pair's token0.
    pub(super) base_is_token0: bool,
    /// Decimals of the priced token.
    pub(super) base_decimals: u8,
    /// Decimals of the quote token.
    pub(super) quote_decimals: u8,
    /// Symbol of the other token.
    pub(super) quote_token: String,
}

impl Deployment {
    /// The token with this symbol, in upper case; [`DevError::UnknownToken`] if there is none.
    pub fn token(&self, symbol: &str) -> Result<&DemoToken, DevError> {
        find("token", symbol, &self.tokens, |one| &one.symbol)
    }

    /// The feed of the token with this symbol; [`DevError::UnknownToken`] if there is none.
    pub fn feed(&self, token: &str) -> Result<&DemoFeed, DevError> {
        find("feed", token, &self.feeds, |one| &one.token)
    }

    /// The pair of the token with this symbol; [`DevError::UnknownToken`] if there is none, as for the quote token.
    pub fn pair(&self, token: &str) -> Result<&DemoPair, DevError> {
        find("pair", token, &self.pairs, |one| &one.token)
    }

    /// Reads the record in `path`; `None` if the file does not exist.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, DevError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DevError::file("read", path)(error)),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| DevError::Record {
                path: path.to_owned(),
                reason: error.to_string(),
            })
    }

    /// Writes the record atomically.
    pub(super) fn save(&self, path: &Path) -> Result<(), DevError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| DevError::Record {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let new = path.with_extension("json.new");
        fs::write(&new, text + "\n").map_err(DevError::file("write", &new))?;
        fs::rename(&new, path).map_err(DevError::file("replace", path))
    }

    /// Whether all contracts exist on the chain of `node`.
    pub(super) async fn is_on(&self, node: &Node) -> Result<bool, DevError> {
        if self.chain_id != node.chain_id().await?
            || self.genesis_hash != node.block_hash(0).await?
        {
            return Ok(false);
        }
        let tokens = self.tokens.iter().map(|one| one.address);
        let feeds = self.feeds.iter().map(|one| one.address);
        let pairs = self.pairs.iter().map(|one| one.address);
        for address in tokens.chain(feeds).chain(pairs) {
            if !node.has_code(address).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn find<'a, T>(
    what: &'static str,
    token: &str,
    all: &'a [T],
    name: impl Fn(&T) -> &String,
) -> Result<&'a T, DevError> {
    all.iter()
        .find(|one| name(one) == token)
        .ok_or_else(|| DevError::UnknownToken {
            what,
            token: token.to_owned(),
            known: all
                .iter()
                .map(|one| name(one).as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })
}
