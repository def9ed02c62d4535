//! The demo contracts of `contracts/`: interfaces and deployment.
//!
//! One account owns all contracts, a second one provides the liquidity and trades, and five more hold tokens and
//! transfer them. The balances are far larger than what the market moves, so it can run for years.

use std::{fs, path::Path};

use alloy::{
    primitives::{Address, B256, Bytes, I256, U256, aliases::U112},
    sol,
    sol_types::SolValue,
};
use serde::Deserialize;

use super::{
    DevError, Node,
    deployment::{DemoFeed, DemoPair, DemoToken, Deployment, QUOTE},
    node::Transaction,
};

sol! {
    interface PriceFeed {
        function latestRoundData() external view returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
        function updateAnswer(int256 answer) external;
    }
    interface Erc20 {
        function balanceOf(address holder) external view returns (uint256);
        function mint(address to, uint256 value) external;
        function transfer(address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
    }
    interface Pair {
        function token0() external view returns (address);
        function getReserves() external view returns (uint112 reserve0, uint112 reserve1, uint32 blockTimestampLast);
        function mint(uint256 amount0, uint256 amount1) external returns (uint256 shares);
        function swap(address tokenIn, uint256 amountIn, uint256 minimumOut, address to) external returns (uint256 out);
    }
}

/// The reserves of a pair, as (base, quote).
pub(super) fn reserves(pair: &DemoPair, reserve0: U112, reserve1: U112) -> (U256, U256) {
    let (reserve0, reserve1) = (reserve0.to::<U256>(), reserve1.to::<U256>());
    if pair.base_is_token0 {
        (reserve0, reserve1)
    } else {
        (reserve1, reserve0)
    }
}

const RECORD: &str = "deployment.json";
/// Decimals of every feed's answers, as Chainlink's USD feeds have.
pub(super) const FEED_DECIMALS: u8 = 8;

/// A token to deploy: symbol, name, decimals, and its first price with [`FEED_DECIMALS`].
struct Listing(&'static str, &'static str, u8, i64);

const LISTINGS: [Listing; 4] = [
    Listing("ETH", "Demo Ether", 18, 345_612_000_000),
    Listing("BTC", "Demo Bitcoin", 8, 6_789_050_000_000),
    Listing("LINK", "Demo Chainlink", 18, 1_742_000_000),
    Listing(QUOTE, "Demo USD Coin", 6, 100_000_000),
];

/// The initial price of a token, with [`FEED_DECIMALS`].
pub(super) fn first_price(token: &str) -> Option<i64> {
    let listing = LISTINGS.iter().find(|listing| listing.0 == token)?;
    Some(listing.3)
}

/// Liquidity on the quote side of each pair, in whole quote tokens; the base side has the same value.
const LIQUIDITY: u64 = 20_000_000;
/// Balance of the trader in each token, in whole tokens.
const TRADER_BALANCE: u64 = 1_000_000_000_000;
/// Balance of each holder in each token, in whole tokens.
const HOLDER_BALANCE: u64 = 1_000_000;

/// The roles of the node's own accounts.
#[derive(Debug, Clone)]
pub(super) struct Roles {
    pub(super) owner: Address,
    pub(super) trader: Address,
    pub(super) holders: Vec<Address>,
}

impl Roles {
    pub(super) async fn from_node(node: &Node) -> Result<Self, DevError> {
        let accounts = node.accounts(7).await?;
        Ok(Self {
            owner: accounts[0],
            trader: accounts[1],
            holders: accounts[2..7].to_vec(),
        })
    }
}

/// The demo contracts on the chain at `rpc_url`: those recorded in `data_dir` if they still exist, otherwise new ones.
/// The node must have at least seven unlocked accounts, like anvil.
pub async fn deploy_or_load(rpc_url: &str, data_dir: &Path) -> Result<Deployment, DevError> {
    fs::create_dir_all(data_dir).map_err(DevError::file("create", data_dir))?;
    let node = Node::connect(rpc_url)?;
    let path = data_dir.join(RECORD);
    if let Some(deployment) = Deployment::load(&path)? {
        if deployment.is_on(&node).await? {
            return Ok(deployment);
        }
        tracing::info!(
            "the demo contracts in {path:?} do not exist on this chain: deploying new ones"
        );
    }
    let deployment = Deployer {
        roles: Roles::from_node(&node).await?,
        node,
    }
    .deploy()
    .await?;
    deployment.save(&path)?;
    tracing::info!(
        tokens = deployment.tokens.len(),
        feeds = deployment.feeds.len(),
        pairs = deployment.pairs.len(),
        "deployed the demo contracts"
    );
    Ok(deployment)
}

struct Deployer {
    node: Node,
    roles: Roles,
}

impl Deployer {
    async fn deploy(&self) -> Result<Deployment, DevError> {
        let tokens = self.tokens().await?;
        let feeds = self.feeds().await?;
        let pairs = self.pairs(&tokens).await?;
        self.fund(&tokens, &pairs).await?;
        self.provide_liquidity(&tokens, &pairs).await?;
        Ok(Deployment {
            chain_id: self.node.chain_id().await?,
            genesis_hash: self.node.block_hash(0).await?,
            tokens,
            feeds,
            pairs,
        })
    }

    async fn tokens(&self) -> Result<Vec<DemoToken>, DevError> {
        let arguments = LISTINGS.iter().map(|Listing(symbol, name, decimals, _)| {
            (name.to_string(), symbol.to_string(), U256::from(*decimals)).abi_encode_params()
        });
        let addresses = self.create("DemoToken", arguments).await?;
        let tokens = LISTINGS.iter().zip(addresses);
        Ok(tokens
            .map(|(&Listing(symbol, name, decimals, _), address)| DemoToken {
                symbol: symbol.into(),
                name: name.into(),
                address,
                decimals,
            })
            .collect())
    }

    async fn feeds(&self) -> Result<Vec<DemoFeed>, DevError> {
        let arguments = LISTINGS.iter().map(|Listing(symbol, _, _, price)| {
            let answer = I256::unchecked_from(*price);
            (format!("{symbol} / USD"), U256::from(FEED_DECIMALS), answer).abi_encode_params()
        });
        let addresses = self.create("PriceFeed", arguments).await?;
        let feeds = LISTINGS.iter().zip(addresses);
        Ok(feeds
            .map(|(&Listing(symbol, ..), address)| DemoFeed {
                token: symbol.into(),
                address,
                decimals: FEED_DECIMALS,
            })
            .collect())
    }

    async fn pairs(&self, tokens: &[DemoToken]) -> Result<Vec<DemoPair>, DevError> {
        let (quotes, bases): (Vec<_>, Vec<_>) = tokens.iter().partition(|one| one.symbol == QUOTE);
        let Some(&quote) = quotes.first() else {
            return Ok(Vec::new());
        };
        let arguments = bases
            .iter()
            .map(|base| (base.address, quote.address).abi_encode_params());
        let addresses = self.create("DemoPair", arguments).await?;
        let mut pairs = Vec::new();
        for (base, address) in bases.into_iter().zip(addresses) {
            let base_is_token0 =
                self.node.read(address, &Pair::token0Call {}).await? == base.address;
            pairs.push(DemoPair {
                token: base.symbol.clone(),
                address,
                base_is_token0,
                base_decimals: base.decimals,
                quote_decimals: quote.decimals,
                quote_token: quote.symbol.clone(),
            });
        }
        Ok(pairs)
    }

    /// Mints tokens for all accounts, and approves the pairs for the trader's tokens.
    async fn fund(&self, tokens: &[DemoToken], pairs: &[DemoPair]) -> Result<(), DevError> {
        let mut transactions = Vec::new();
        for token in tokens {
            let traders = [(self.roles.trader, TRADER_BALANCE)];
            let holders = self
                .roles
                .holders
                .iter()
                .map(|&holder| (holder, HOLDER_BALANCE));
            for (to, whole) in traders.into_iter().chain(holders) {
                let mint = Erc20::mintCall {
                    to,
                    value: units(whole, token.decimals),
                };
                transactions.push(Transaction::call(self.roles.owner, token.address, &mint));
            }
            for pair in pairs {
                if [&pair.token, &pair.quote_token].contains(&&token.symbol) {
                    let approve = Erc20::approveCall {
                        spender: pair.address,
                        value: U256::MAX,
                    };
                    transactions.push(Transaction::call(
                        self.roles.trader,
                        token.address,
                        &approve,
                    ));
                }
            }
        }
        self.perform(transactions).await.map(drop)
    }

    async fn provide_liquidity(
        &self,
        tokens: &[DemoToken],
        pairs: &[DemoPair],
    ) -> Result<(), DevError> {
        let mut transactions = Vec::new();
        for (listing, pair) in LISTINGS.iter().zip(tokens).filter_map(|(listing, token)| {
            let pair = pairs.iter().find(|pair| pair.token == token.symbol)?;
            Some((listing, pair))
        }) {
            let quote = units(LIQUIDITY, pair.quote_decimals);
            // The same value of the base: quote ÷ price, in base units.
            let base = units(LIQUIDITY, pair.base_decimals) * units(1, FEED_DECIMALS)
                / U256::from(listing.3);
            let (amount0, amount1) = if pair.base_is_token0 {
                (base, quote)
            } else {
                (quote, base)
            };
            let mint = Pair::mintCall { amount0, amount1 };
            transactions.push(Transaction::call(self.roles.trader, pair.address, &mint));
        }
        self.perform(transactions).await.map(drop)
    }

    /// Creates one contract of this name for each of the encoded constructor arguments; returns their addresses.
    async fn create(
        &self,
        name: &'static str,
        arguments: impl Iterator<Item = Vec<u8>>,
    ) -> Result<Vec<Address>, DevError> {
        let bytecode = bytecode(name)?;
        let creations = arguments
            .map(|arguments| Transaction::creation(self.roles.owner, &bytecode, &arguments))
            .collect();
        let hashes = self.perform(creations).await?;
        let receipts = self.node.receipts(&hashes).await?;
        hashes
            .iter()
            .zip(receipts)
            .map(|(&hash, receipt)| receipt.contract_address.ok_or(DevError::Reverted(hash)))
            .collect()
    }

    /// Sends all transactions and waits until they are mined.
    async fn perform(&self, transactions: Vec<Transaction>) -> Result<Vec<B256>, DevError> {
        let mut hashes = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            hashes.push(self.node.send(transaction).await?);
        }
        // Mines now instead of waiting for the next interval; a node without the method mines at its own pace. Not with
        // automine: the contracts could get the same blocks twice, and an empty block could follow.
        let automine = self.node.request("anvil_getAutomine", ()).await;
        if !automine.unwrap_or(false) {
            self.node
                .request::<_, serde_json::Value>("evm_mine", ())
                .await
                .ok();
        }
        self.node.mined(&hashes).await?;
        Ok(hashes)
    }
}

/// `whole` tokens in the token's smallest unit.
fn units(whole: u64, decimals: u8) -> U256 {
    U256::from(whole) * U256::from(10).pow(U256::from(decimals))
}

/// The compiled output of scripts/compile-contracts.
fn bytecode(name: &'static str) -> Result<Bytes, DevError> {
    #[derive(Deserialize)]
    struct Artifact {
        bytecode: Bytes,
    }
    let text = match name {
        "DemoToken" => include_str!("../../../contracts/artifacts/DemoToken.json"),
        "PriceFeed" => include_str!("../../../contracts/artifacts/PriceFeed.json"),
        _ => include_str!("../../../contracts/artifacts/DemoPair.json"),
    };
    serde_json::from_str::<Artifact>(text)
        .map(|artifact| artifact.bytecode)
        .map_err(|error| DevError::Record {
            path: format!("contracts/artifacts/{name}.json").into(),
            reason: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Anvil, AnvilOptions};
    use chaincast_testkit::test_dir::TestDir;

    #[tokio::test]
    async fn finds_contracts_or_deploys_on_new_chain() {
        let dir = TestDir::new("deployment");
        let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
        let first = deploy_or_load(&anvil.http_url(), dir.path()).await.unwrap();
        assert_eq!(
            first,
            deploy_or_load(&anvil.http_url(), dir.path()).await.unwrap()
        );
        let symbols: Vec<_> = first
            .tokens
            .iter()
            .map(|token| token.symbol.as_str())
            .collect();
        assert_eq!(symbols, ["ETH", "BTC", "LINK", "USDC"]);
        assert_eq!((first.feeds.len(), first.pairs.len()), (4, 3));
        anvil.stop().await.unwrap();

        let options = AnvilOptions {
            chain_id: 31_338,
            ..AnvilOptions::default()
        };
        let other = Anvil::start(&options).await.unwrap();
        let second = deploy_or_load(&other.http_url(), dir.path()).await.unwrap();
        assert_eq!(second.chain_id, 31_338);
        assert_ne!(first.genesis_hash, second.genesis_hash);
        other.stop().await.unwrap();
    }

    #[tokio::test]
    async fn pair_starts_at_feed_price() {
        let dir = TestDir::new("pair-price");
        let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
        let node = Node::connect(&anvil.http_url()).unwrap();
        let deployment = deploy_or_load(&anvil.http_url(), dir.path()).await.unwrap();
        for pair in &deployment.pairs {
            let held = node
                .read(pair.address, &Pair::getReservesCall {})
                .await
                .unwrap();
            let (base, quote) = reserves(pair, held.reserve0, held.reserve1);
            let price = quote * units(1, pair.base_decimals) * units(1, FEED_DECIMALS)
                / base
                / units(1, pair.quote_decimals);
            let feed = deployment.feed(&pair.token).unwrap().address;
            let answer = node
                .read(feed, &PriceFeed::latestRoundDataCall {})
                .await
                .unwrap()
                .answer;
            let difference = price.abs_diff(answer.unsigned_abs());
            // The tolerance of the token with the fewest decimals.
            assert!(
                difference <= answer.unsigned_abs() / U256::from(1_000_000),
                "{}: {price} and {answer}",
                pair.token
            );
        }
        anvil.stop().await.unwrap();
    }
}
