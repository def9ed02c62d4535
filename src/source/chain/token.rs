//! What a token's contract says of itself: `name`, `symbol` and `decimals`, which ERC-20 and ERC-721 leave optional.
//!
//! Anyone may write a token that answers anything: texts are cut, stripped of what cannot be seen, and prove nothing.

use alloy::primitives::{Bytes, hex};
use serde_json::json;

use super::{Node, NodeError};
use crate::model::{Address, TokenStandard, U256};

const NAME: [u8; 4] = hex!("06fdde03");
const SYMBOL: [u8; 4] = hex!("95d89b41");
const DECIMALS: [u8; 4] = hex!("313ce567");

/// Longest texts that are kept, in characters.
const LONGEST_NAME: usize = 128;
const LONGEST_SYMBOL: usize = 32;
const WORD: usize = 32;

/// What a token says of itself, as far as it can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenMetadata {
    pub name: Option<String>,
    pub symbol: Option<String>,
    /// Only of ERC-20.
    pub decimals: Option<u8>,
}

impl Node {
    /// The answer of a contract to a call at the node's head (`eth_call`); empty when there is no code.
    pub async fn call(&self, to: Address, data: &[u8]) -> Result<Bytes, NodeError> {
        let call = json!({ "to": to, "data": hex::encode_prefixed(data) });
        self.request("eth_call", (call, "latest")).await
    }

    /// The same as of the end of the block at a height, on the branch that the node follows.
    pub async fn call_at(&self, to: Address, data: &[u8], number: u64) -> Result<Bytes, NodeError> {
        let call = json!({ "to": to, "data": hex::encode_prefixed(data) });
        self.request("eth_call", (call, format!("{number:#x}")))
            .await
    }

    /// What a token says of itself. A call that the contract refuses says nothing; a node that cannot be asked is an
    /// error.
    pub async fn token_metadata(
        &self,
        token: Address,
        standard: TokenStandard,
    ) -> Result<TokenMetadata, NodeError> {
        let ask = async |selector: [u8; 4]| match self.call(token, &selector).await {
            Ok(answer) => Ok(Some(answer)),
            Err(NodeError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        let symbol = ask(SYMBOL).await?;
        let name = ask(NAME).await?;
        let decimals = match standard {
            TokenStandard::Erc20 => ask(DECIMALS).await?,
            _ => None,
        };
        Ok(TokenMetadata {
            name: name.and_then(|answer| text(&answer, LONGEST_NAME)),
            symbol: symbol.and_then(|answer| text(&answer, LONGEST_SYMBOL)),
            decimals: decimals.and_then(|answer| number(&answer)),
        })
    }
}

impl TokenMetadata {
    /// Whether nothing could be used.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A `string`, or a `bytes32` as old tokens answer (MKR).
fn text(answer: &[u8], longest: usize) -> Option<String> {
    let bytes = if answer.len() == WORD {
        let end = answer.iter().rposition(|&byte| byte != 0)?;
        &answer[..=end]
    } else {
        let start = length_at(answer, 0)?;
        let length = length_at(answer, start)?;
        let begin = start.checked_add(WORD)?;
        answer.get(begin..begin.checked_add(length)?)?
    };
    // More bytes than that many characters have: the rest is not looked at.
    let bytes = &bytes[..bytes.len().min(longest * 8)];
    let text = String::from_utf8_lossy(bytes);
    let seen: String = text.chars().filter(|&c| !is_hidden(c)).collect();
    let cut: String = seen.trim().chars().take(longest).collect();
    (!cut.is_empty()).then_some(cut)
}

/// Control characters, and what changes the direction or takes no room.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn length_at(answer: &[u8], at: usize) -> Option<usize> {
    let word = answer.get(at..at.checked_add(WORD)?)?;
    U256::from_be_slice(word).try_into().ok()
}

fn number(answer: &[u8]) -> Option<u8> {
    let word = answer.get(..WORD)?;
    U256::from_be_slice(word).try_into().ok()
}

#[cfg(test)]
mod tests {
    use alloy::{primitives::keccak256, sol_types::SolValue};

    use super::*;

    #[test]
    fn the_selectors_are_those_of_the_functions() {
        for (selector, function) in [
            (NAME, "name()"),
            (SYMBOL, "symbol()"),
            (DECIMALS, "decimals()"),
        ] {
            assert_eq!(selector, keccak256(function)[..4], "{function}");
        }
    }

    #[test]
    fn a_symbol_is_read_as_a_string_and_as_the_bytes32_of_old_tokens() {
        assert_eq!(
            text(&"USDC".to_owned().abi_encode(), 32).as_deref(),
            Some("USDC")
        );
        let mut old = [0; 32];
        old[..3].copy_from_slice(b"MKR");
        assert_eq!(text(&old, 32).as_deref(), Some("MKR"));
    }

    #[test]
    fn a_text_is_cut_and_stripped_of_what_cannot_be_seen() {
        let odd = " \u{202e}A\0\u{200b}B\n ".to_owned();
        assert_eq!(text(&odd.abi_encode(), 32).as_deref(), Some("AB"));
        assert_eq!(
            text(&"x".repeat(100_000).abi_encode(), 32).unwrap().len(),
            32
        );
        let broken = Bytes::from(vec![0xff, b'a']).abi_encode();
        assert_eq!(text(&broken, 32).as_deref(), Some("\u{fffd}a"));
    }

    #[test]
    fn what_is_no_text_or_no_number_of_decimals_is_nothing() {
        let good = "USDC".to_owned().abi_encode();
        for answer in [
            &[][..],
            &[0; 32],
            &[0xff; 64],
            &good[..64],
            &good[..66],
            &[0xff; 31],
        ] {
            assert_eq!(text(answer, 32), None, "{answer:?}");
        }
        assert_eq!(number(&U256::from(255).abi_encode()), Some(255));
        assert_eq!(number(&U256::from(256).abi_encode()), None);
        assert_eq!(number(&[0xff; 32]), None);
        assert_eq!(number(&[1]), None);
    }
}
