//! Metadata of token contracts: `name`, `symbol` and `decimals`, which are optional in ERC-20 and ERC-721.
//!
//! Anyone may deploy a token with any metadata: texts are cut, stripped of invisible characters, and prove nothing.

use alloy::primitives::{Bytes, hex};
use serde_json::json;

use super::{Node, NodeError};
use chaincast_model::TokenStandard;
use chaincast_protocol::{Address, U256};

const NAME: [u8; 4] = hex!("06fdde03");
const SYMBOL: [u8; 4] = hex!("95d89b41");
const DECIMALS: [u8; 4] = hex!("313ce567");

/// Longest stored texts, in characters.
const MAX_NAME_CHARS: usize = 128;
const MAX_SYMBOL_CHARS: usize = 32;
const WORD: usize = 32;

/// The usable metadata of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenMetadata {
    /// At most 128 visible characters; `None` if the contract returns none.
    pub name: Option<String>,
    /// At most 32 visible characters; `None` if the contract returns none.
    pub symbol: Option<String>,
    /// Only for ERC-20.
    pub decimals: Option<u8>,
}

impl Node {
    /// Calls a contract at the head of the node (`eth_call`); the result is empty if there is no code.
    pub async fn call(&self, to: Address, data: &[u8]) -> Result<Bytes, NodeError> {
        let call = json!({ "to": to, "data": hex::encode_prefixed(data) });
        self.request("eth_call", (call, "latest")).await
    }

    /// Calls a contract at the end of a block on the canonical branch of the node.
    pub async fn call_at(&self, to: Address, data: &[u8], number: u64) -> Result<Bytes, NodeError> {
        let call = json!({ "to": to, "data": hex::encode_prefixed(data) });
        self.request("eth_call", (call, format!("{number:#x}")))
            .await
    }

    /// Reads the metadata of a token. A reverted call yields no value; an unreachable node is an error.
    pub async fn token_metadata(
        &self,
        token: Address,
        standard: TokenStandard,
    ) -> Result<TokenMetadata, NodeError> {
        let read = async |selector: [u8; 4]| match self.call(token, &selector).await {
            Ok(answer) => Ok(Some(answer)),
            Err(NodeError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        let symbol = read(SYMBOL).await?;
        let name = read(NAME).await?;
        let decimals = match standard {
            TokenStandard::Erc20 => read(DECIMALS).await?,
            _ => None,
        };
        Ok(TokenMetadata {
            name: name.and_then(|answer| text(&answer, MAX_NAME_CHARS)),
            symbol: symbol.and_then(|answer| text(&answer, MAX_SYMBOL_CHARS)),
            decimals: decimals.and_then(|answer| number(&answer)),
        })
    }
}

impl TokenMetadata {
    /// Whether there is no usable metadata.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Decodes a `string`, or a `bytes32` as in old tokens (MKR).
fn text(answer: &[u8], max_chars: usize) -> Option<String> {
    let bytes = if answer.len() == WORD {
        let end = answer.iter().rposition(|&byte| byte != 0)?;
        &answer[..=end]
    } else {
        let start = length_at(answer, 0)?;
        let length = length_at(answer, start)?;
        let begin = start.checked_add(WORD)?;
        answer.get(begin..begin.checked_add(length)?)?
    };
    // Longer than this many characters can be: the rest is ignored.
    let bytes = &bytes[..bytes.len().min(max_chars * 8)];
    let text = String::from_utf8_lossy(bytes);
    let visible: String = text.chars().filter(|&c| !is_invisible(c)).collect();
    let cut: String = visible.trim().chars().take(max_chars).collect();
    (!cut.is_empty()).then_some(cut)
}

/// Control characters, direction marks and zero-width characters.
fn is_invisible(c: char) -> bool {
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
    fn selectors_match_functions() {
        for (selector, function) in [
            (NAME, "name()"),
            (SYMBOL, "symbol()"),
            (DECIMALS, "decimals()"),
        ] {
            assert_eq!(selector, keccak256(function)[..4], "{function}");
        }
    }

    #[test]
    fn text_reads_string_and_bytes32() {
        assert_eq!(
            text(&"USDC".to_owned().abi_encode(), 32).as_deref(),
            Some("USDC")
        );
        let mut old = [0; 32];
        old[..3].copy_from_slice(b"MKR");
        assert_eq!(text(&old, 32).as_deref(), Some("MKR"));
    }

    #[test]
    fn text_is_cut_and_stripped_of_invisible_characters() {
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
    fn invalid_text_and_decimals_are_none() {
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
