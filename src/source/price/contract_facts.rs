//! What price contracts are asked about themselves.
//!
//! Follows Chainlink's AggregatorProxyInterface (`aggregator`), AggregatorV3Interface (`decimals`, `latestRoundData`),
//! the pair of Uniswap V2 and the pool of V3 (`token0`, `token1`), and ERC-20 (`decimals`). A contract that refuses a
//! call, or answers what cannot be read, says nothing, and why is told beside it; a node that cannot be asked is an
//! error.

use alloy::{
    primitives::{Bytes, I256},
    sol,
    sol_types::SolCall,
};

use super::{Silence, chainlink::Round, exchange::words};
use crate::{
    model::{Address, BlockRef, U256},
    source::chain::{Node, NodeError},
};

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
    // What a pool of this kind answers and one of the other does not; what it answers differs among their copies.
    interface PairV2 {
        function getReserves() external view;
    }
    interface PoolV3 {
        function slot0() external view;
    }
}

/// What to ask, and for which source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    pub(super) source: usize,
    pub(super) address: Address,
    pub(super) about: About,
}

/// What a contract is, and so what it can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Feed { with_answer: bool },
    Pair,
    Pool,
}

/// What a contract said of itself; `None` where it said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContractFacts {
    Feed {
        /// The aggregator behind it at the end of the block, when it is a proxy.
        aggregator: Option<Address>,
        decimals: Option<u8>,
        /// Its newest answer at the end of the block, when that was asked for.
        round: Option<Round>,
    },
    Pool {
        tokens: Option<[Address; 2]>,
        decimals: [Option<u8>; 2],
    },
}

impl Question {
    /// Asks a node: what changes as of the end of a block, what does not as of its head. Beside what was said is why
    /// not all that is needed was.
    pub async fn ask(
        self,
        node: &Node,
        block: BlockRef,
    ) -> Result<(ContractFacts, Option<Silence>), NodeError> {
        let mut silence = None;
        let facts = match self.about {
            About::Feed { with_answer } => {
                let number = block.number;
                self.ask_feed(node, number, with_answer, &mut silence)
                    .await?
            }
            About::Pair => {
                self.ask_pool::<PairV2::getReservesCall>(node, &mut silence)
                    .await?
            }
            About::Pool => {
                self.ask_pool::<PoolV3::slot0Call>(node, &mut silence)
                    .await?
            }
        };
        Ok((facts, silence))
    }

    async fn ask_feed(
        self,
        node: &Node,
        number: u64,
        with_answer: bool,
        silence: &mut Option<Silence>,
    ) -> Result<ContractFacts, NodeError> {
        let at = self.address;
        // An aggregator has none; what both have, and what is needed, are the decimals.
        let call = Proxy::aggregatorCall {}.abi_encode();
        let answer = node.call_at(at, &call, number).await;
        let aggregator = said::<Proxy::aggregatorCall>(answer, at, &mut None)?;
        let decimals = decimals(node, at, silence).await?;
        let mut round = None;
        if with_answer {
            let call = Proxy::latestRoundDataCall {}.abi_encode();
            let answer = node.call_at(at, &call, number).await;
            round = said::<Proxy::latestRoundDataCall>(answer, at, silence)?
                .map(|round| Round {
                    answer: round.answer,
                    updated_at: round.updatedAt,
                })
                // What no answer was given to yet.
                .filter(|round| round.answer != I256::ZERO || round.updated_at != U256::ZERO);
        }
        Ok(ContractFacts::Feed {
            aggregator: aggregator.filter(|address| !address.is_zero()),
            decimals,
            round,
        })
    }

    /// `K` is what only a pool of its kind answers.
    async fn ask_pool<K: SolCall>(
        self,
        node: &Node,
        silence: &mut Option<Silence>,
    ) -> Result<ContractFacts, NodeError> {
        let at = self.address;
        let answer = node.call(at, &K::SELECTOR).await;
        let is_of_kind = heard(answer, at, K::SIGNATURE, silence)?.is_some();
        let answer = node.call(at, &PoolTokens::token0Call {}.abi_encode()).await;
        let token0 = said::<PoolTokens::token0Call>(answer, at, silence)?;
        let answer = node.call(at, &PoolTokens::token1Call {}.abi_encode()).await;
        let token1 = said::<PoolTokens::token1Call>(answer, at, silence)?;
        let (true, Some(token0), Some(token1)) = (is_of_kind, token0, token1) else {
            return Ok(ContractFacts::Pool {
                tokens: None,
                decimals: [None; 2],
            });
        };
        Ok(ContractFacts::Pool {
            tokens: Some([token0, token1]),
            decimals: [
                decimals(node, token0, silence).await?,
                decimals(node, token1, silence).await?,
            ],
        })
    }
}

async fn decimals(
    node: &Node,
    of: Address,
    silence: &mut Option<Silence>,
) -> Result<Option<u8>, NodeError> {
    let answer = node.call(of, &Proxy::decimalsCall {}.abi_encode()).await;
    said::<Proxy::decimalsCall>(answer, of, silence)
}

/// What a contract answered to a call; `None` when that is nothing, with the first reason for it in `silence`.
fn said<C: SolCall>(
    answer: Result<Bytes, NodeError>,
    at: Address,
    silence: &mut Option<Silence>,
) -> Result<Option<C::Return>, NodeError> {
    let call = C::SIGNATURE;
    let Some(answer) = heard(answer, at, call, silence)? else {
        return Ok(None);
    };
    let said = read::<C>(&answer);
    if said.is_none() {
        silence.get_or_insert(Silence::Unreadable { at, call });
    }
    Ok(said)
}

/// The bytes that a contract answered to a call; `None` when there are none, with the first reason in `silence`.
fn heard(
    answer: Result<Bytes, NodeError>,
    at: Address,
    call: &'static str,
    silence: &mut Option<Silence>,
) -> Result<Option<Bytes>, NodeError> {
    let why = match answer {
        Ok(answer) if !answer.is_empty() => return Ok(Some(answer)),
        Ok(_) => Silence::Nothing { at, call },
        Err(error) if error.is_revert() => Silence::Refused {
            at,
            call,
            reason: words(&error.to_string()),
        },
        Err(error) => return Err(error),
    };
    silence.get_or_insert(why);
    Ok(None)
}

/// What a call returned; `None` when that is not what its signature says.
fn read<C: SolCall>(answer: &[u8]) -> Option<C::Return> {
    C::abi_decode_returns_validate(answer).ok()
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolValue;

    use super::*;

    #[test]
    fn an_answer_is_read_by_its_signature_and_anything_else_is_nothing() {
        let address = Address::repeat_byte(7);
        assert_eq!(
            read::<Proxy::aggregatorCall>(&address.abi_encode()),
            Some(address)
        );
        assert_eq!(
            read::<Proxy::decimalsCall>(&U256::from(8).abi_encode()),
            Some(8)
        );
        for wrong in [
            Vec::new(),
            vec![0; 31],
            U256::from(256).abi_encode(),
            U256::MAX.abi_encode(),
        ] {
            assert_eq!(read::<Proxy::decimalsCall>(&wrong), None, "{wrong:?}");
        }
        assert_eq!(read::<Proxy::aggregatorCall>(&U256::MAX.abi_encode()), None);
        assert!(read::<Proxy::latestRoundDataCall>(&[0; 159]).is_none());
    }

    #[test]
    fn what_a_contract_does_not_say_has_a_reason_and_the_first_of_them_counts() {
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
        let ask = |answer| {
            let mut silence = None;
            let said = said::<Proxy::decimalsCall>(answer, at, &mut silence).unwrap();
            assert_eq!(said.is_none(), silence.is_some());
            silence.map_or_else(String::new, |silence| silence.to_string())
        };
        assert_eq!(ask(answer(&U256::from(8).abi_encode())), "");
        for (answer, words) in [
            (answer(&[]), "is there a contract on this chain?"),
            (answer(&[0; 31]), "decimals() cannot be read"),
            (refusal(3, "execution reverted: paused"), "reverted: paused"),
        ] {
            let told = ask(answer);
            assert!(
                told.contains(words) && told.contains(&at.to_string()),
                "{told}"
            );
        }
        let mut silence = None;
        for bytes in [&[][..], &[0; 31]] {
            said::<Proxy::decimalsCall>(answer(bytes), at, &mut silence).unwrap();
        }
        assert!(
            matches!(silence, Some(Silence::Nothing { .. })),
            "{silence:?}"
        );
        let down = refusal(-32_000, "header not found");
        assert!(said::<Proxy::decimalsCall>(down, at, &mut None).is_err());
    }

    #[test]
    fn the_selectors_are_those_of_the_interfaces() {
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
