//! Reads the facts about price contracts from the contracts themselves.
//!
//! Follows Chainlink's AggregatorProxyInterface (`aggregator`), AggregatorV3Interface (`decimals`, `latestRoundData`),
//! the pair of Uniswap V2 and the pool of V3 (`token0`, `token1`), and ERC-20 (`decimals`). A reverted call or an
//! undecodable answer gives no fact, with a [`ContractError`] as the reason; an unreachable node is a [`NodeError`].

use alloy::{
    primitives::{Bytes, I256},
    sol,
    sol_types::SolCall,
};

use super::{ContractError, chainlink::Round, sanitized::sanitized};
use chaincast_evm::chain::{Node, NodeError};
use chaincast_protocol::{Address, BlockRef, U256};

sol! {
    interface Proxy {
        function aggregator() external view returns (address);
        function decimals() external view returns (uint8);
        function latestRoundData() external view returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
    }
    interface PoolTokens {
        function token0() external view returns (address);
        function token1() external view returns (address);
    }
}

/// A query of the facts that one source needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContractQuery {
    pub(super) source: usize,
    pub(super) address: Address,
    pub(super) kind: QueryKind,
}

/// The kind of a contract, which determines the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueryKind {
    Feed { with_answer: bool },
    Pool(Probe),
}

/// A call without arguments that only contracts of one kind answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    selector: [u8; 4],
    signature: &'static str,
}

impl Probe {
    pub(super) const fn of<C: SolCall>() -> Self {
        Self {
            selector: C::SELECTOR,
            signature: C::SIGNATURE,
        }
    }
}

/// Facts reported by a contract; `None` for those it did not report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContractFacts {
    /// Of a Chainlink proxy or aggregator.
    Feed {
        /// The aggregator of a proxy at the end of the block.
        aggregator: Option<Address>,
        /// Decimals of its answers.
        decimals: Option<u8>,
        /// The newest answer at the end of the block, if requested.
        round: Option<Round>,
    },
    /// Of a pair of Uniswap V2 or a pool of V3.
    Pool {
        /// `token0` and `token1`; `None` unless the contract answers as a pool of the configured kind.
        tokens: Option<[Address; 2]>,
        /// Decimals of the tokens, in the same order.
        decimals: [Option<u8>; 2],
    },
}

impl ContractQuery {
    /// Reads the facts from a node: mutable ones at the end of `block`, immutable ones at the node's head. The error is
    /// the first reason why a required fact is missing.
    pub async fn fetch(
        self,
        node: &Node,
        block: BlockRef,
    ) -> Result<(ContractFacts, Option<ContractError>), NodeError> {
        let mut first_error = None;
        let facts = match self.kind {
            QueryKind::Feed { with_answer } => {
                let number = block.number;
                self.fetch_feed(node, number, with_answer, &mut first_error)
                    .await?
            }
            QueryKind::Pool(probe) => self.fetch_pool(node, probe, &mut first_error).await?,
        };
        Ok((facts, first_error))
    }

    async fn fetch_feed(
        self,
        node: &Node,
        number: u64,
        with_answer: bool,
        first_error: &mut Option<ContractError>,
    ) -> Result<ContractFacts, NodeError> {
        let at = self.address;
        // Only a proxy has an aggregator, so a missing one is not an error. Both have decimals, which are required.
        let call = Proxy::aggregatorCall {}.abi_encode();
        let answer = node.call_at(at, &call, number).await;
        let aggregator = answer_to::<Proxy::aggregatorCall>(answer, at, &mut None)?;
        let decimals = decimals(node, at, first_error).await?;
        let mut round = None;
        if with_answer {
            let call = Proxy::latestRoundDataCall {}.abi_encode();
            let answer = node.call_at(at, &call, number).await;
            round = answer_to::<Proxy::latestRoundDataCall>(answer, at, first_error)?
                .map(|round| Round {
                    answer: round.answer,
                    updated_at: round.updatedAt,
                })
                // A feed without an answer yet.
                .filter(|round| round.answer != I256::ZERO || round.updated_at != U256::ZERO);
        }
        Ok(ContractFacts::Feed {
            aggregator: aggregator.filter(|address| !address.is_zero()),
            decimals,
            round,
        })
    }

    /// Only pools of the kind answer the probe.
    async fn fetch_pool(
        self,
        node: &Node,
        probe: Probe,
        first_error: &mut Option<ContractError>,
    ) -> Result<ContractFacts, NodeError> {
        let at = self.address;
        let answer = node.call(at, &probe.selector).await;
        let is_of_kind = bytes_of_answer(answer, at, probe.signature, first_error)?.is_some();
        let answer = node.call(at, &PoolTokens::token0Call {}.abi_encode()).await;
        let token0 = answer_to::<PoolTokens::token0Call>(answer, at, first_error)?;
        let answer = node.call(at, &PoolTokens::token1Call {}.abi_encode()).await;
        let token1 = answer_to::<PoolTokens::token1Call>(answer, at, first_error)?;
        let (true, Some(token0), Some(token1)) = (is_of_kind, token0, token1) else {
            return Ok(ContractFacts::Pool {
                tokens: None,
                decimals: [None; 2],
            });
        };
        Ok(ContractFacts::Pool {
            tokens: Some([token0, token1]),
            decimals: [
                decimals(node, token0, first_error).await?,
                decimals(node, token1, first_error).await?,
            ],
        })
    }
}

async fn decimals(
    node: &Node,
    of: Address,
    first_error: &mut Option<ContractError>,
) -> Result<Option<u8>, NodeError> {
    let answer = node.call(of, &Proxy::decimalsCall {}.abi_encode()).await;
    answer_to::<Proxy::decimalsCall>(answer, of, first_error)
}

/// The decoded answer to a call; `None` if there is none, with the first reason in `first_error`.
fn answer_to<C: SolCall>(
    answer: Result<Bytes, NodeError>,
    at: Address,
    first_error: &mut Option<ContractError>,
) -> Result<Option<C::Return>, NodeError> {
    let call = C::SIGNATURE;
    let Some(answer) = bytes_of_answer(answer, at, call, first_error)? else {
        return Ok(None);
    };
    let decoded = decode::<C>(&answer);
    if decoded.is_none() {
        first_error.get_or_insert(ContractError::Unreadable { at, call });
    }
    Ok(decoded)
}

/// The bytes of the answer to a call; `None` if there are none, with the first reason in `first_error`.
fn bytes_of_answer(
    answer: Result<Bytes, NodeError>,
    at: Address,
    call: &'static str,
    first_error: &mut Option<ContractError>,
) -> Result<Option<Bytes>, NodeError> {
    let error = match answer {
        Ok(answer) if !answer.is_empty() => return Ok(Some(answer)),
        Ok(_) => ContractError::NoAnswer { at, call },
        Err(error) if error.is_revert() => ContractError::Reverted {
            at,
            call,
            reason: sanitized(&error.to_string()),
        },
        Err(error) => return Err(error),
    };
    first_error.get_or_insert(error);
    Ok(None)
}

/// Decodes the return value of a call; `None` if it does not match the signature.
fn decode<C: SolCall>(answer: &[u8]) -> Option<C::Return> {
    C::abi_decode_returns_validate(answer).ok()
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolValue;

    use super::*;

    #[test]
    fn decodes_answer_by_signature_only() {
        let address = Address::repeat_byte(7);
        assert_eq!(
            decode::<Proxy::aggregatorCall>(&address.abi_encode()),
            Some(address)
        );
        assert_eq!(
            decode::<Proxy::decimalsCall>(&U256::from(8).abi_encode()),
            Some(8)
        );
        for wrong in [
            Vec::new(),
            vec![0; 31],
            U256::from(256).abi_encode(),
            U256::MAX.abi_encode(),
        ] {
            assert_eq!(decode::<Proxy::decimalsCall>(&wrong), None, "{wrong:?}");
        }
        assert_eq!(
            decode::<Proxy::aggregatorCall>(&U256::MAX.abi_encode()),
            None
        );
        assert!(decode::<Proxy::latestRoundDataCall>(&[0; 159]).is_none());
    }

    #[test]
    fn keeps_first_reason_for_missing_fact() {
        let at = Address::repeat_byte(7);
        let answer = |bytes: &[u8]| Ok(Bytes::copy_from_slice(bytes));
        let refusal = |code, message: &str| {
            Err(NodeError::Refused {
                url: "http://node".to_owned(),
                method: "eth_call",
                code,
                message: message.to_owned(),
            })
        };
        let error_text = |answer| {
            let mut first_error = None;
            let decoded = answer_to::<Proxy::decimalsCall>(answer, at, &mut first_error).unwrap();
            assert_eq!(decoded.is_none(), first_error.is_some());
            first_error.map_or_else(String::new, |first_error| first_error.to_string())
        };
        assert_eq!(error_text(answer(&U256::from(8).abi_encode())), "");
        for (answer, expected) in [
            (answer(&[]), "is there a contract at this address"),
            (answer(&[0; 31]), "answer to decimals()"),
            (refusal(3, "execution reverted: paused"), "reverted: paused"),
        ] {
            let message = error_text(answer);
            assert!(
                message.contains(expected) && message.contains(&at.to_string()),
                "{message}"
            );
        }
        let mut first_error = None;
        for bytes in [&[][..], &[0; 31]] {
            answer_to::<Proxy::decimalsCall>(answer(bytes), at, &mut first_error).unwrap();
        }
        assert!(
            matches!(first_error, Some(ContractError::NoAnswer { .. })),
            "{first_error:?}"
        );
        let down = refusal(-32_000, "header not found");
        assert!(answer_to::<Proxy::decimalsCall>(down, at, &mut None).is_err());
    }

    #[test]
    fn selectors_match_interfaces() {
        for (selector, known) in [
            (Proxy::aggregatorCall::SELECTOR, [0x24, 0x5a, 0x7b, 0xfc]),
            (Proxy::decimalsCall::SELECTOR, [0x31, 0x3c, 0xe5, 0x67]),
            (
                Proxy::latestRoundDataCall::SELECTOR,
                [0xfe, 0xaf, 0x96, 0x8c],
            ),
            (PoolTokens::token0Call::SELECTOR, [0x0d, 0xfe, 0x16, 0x81]),
            (PoolTokens::token1Call::SELECTOR, [0xd2, 0x12, 0x20, 0xa7]),
        ] {
            assert_eq!(selector, known);
        }
    }
}
