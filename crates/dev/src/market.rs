//! The demo market: prices follow random walks, feeds report them, a trader moves the pairs accordingly, and holders
//! transfer tokens.
//!
//! It starts from the answers on the chain, so a restart continues from there. Each account sends its transactions in
//! order from one task, so that nonces never conflict.

use std::time::Duration;

use alloy::primitives::{Address, B256, I256, U256, U512};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    DevError, Node,
    contracts::{Erc20, FEED_DECIMALS, Pair, PriceFeed, Roles, reserves},
    deployment::{DemoPair, Deployment, QUOTE},
    node::Transaction,
    random_walk::{RandomWalk, part},
};
use chaincast_base::retry::Backoff;

/// Largest deviation of a pair from its feed, in millionths of the price.
const PAIR_NOISE: i64 = 200;
/// Largest deviation of the quote token from one dollar, in millionths.
const PEG_BAND: i64 = 500;
/// Most payments between holders per step.
const PAYMENTS: usize = 3;
/// Delay after a failed step, doubled each time up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const MAX_RETRY: Duration = Duration::from_secs(15);

/// Options of the market.
#[derive(Debug, Clone)]
pub struct MarketOptions {
    /// The same seed gives the same moves. `None` picks a random seed and logs it.
    pub seed: Option<u64>,
    /// Interval between steps; about the block time.
    pub step: Duration,
}

/// Steps the market until `stop`. A failed step is logged and retried: the node may be restarting.
pub async fn run_market(
    rpc_url: &str,
    deployment: &Deployment,
    options: MarketOptions,
    stop: CancellationToken,
) -> Result<(), DevError> {
    let seed = options.seed.unwrap_or_else(rand::random);
    tracing::info!(seed, step = ?options.step, "starting the demo market");
    let run = async {
        let mut market = None;
        let mut backoff = Backoff::exact(FIRST_RETRY, MAX_RETRY);
        loop {
            let next = Instant::now() + options.step;
            let result = run_step(&mut market, rpc_url, deployment, seed).await;
            match result {
                Ok(()) => {
                    backoff.reset();
                    sleep_until(next).await;
                }
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => {
                    let retry = backoff.next_delay();
                    tracing::warn!(%error, retry_in = ?retry, "a step of the demo market failed");
                    sleep(retry).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        result = run => result,
    }
}

async fn run_step(
    market: &mut Option<Market>,
    rpc_url: &str,
    deployment: &Deployment,
    seed: u64,
) -> Result<(), DevError> {
    let market = match market {
        Some(market) => market,
        None => market.insert(Market::new(rpc_url, deployment, Some(seed)).await?),
    };
    market.step().await
}

/// Errors that retries cannot resolve.
fn is_final(error: &DevError) -> bool {
    matches!(
        error,
        DevError::Url { .. } | DevError::Accounts { .. } | DevError::UnknownToken { .. }
    )
}

/// The market, one step at a time.
pub struct Market {
    node: Node,
    roles: Roles,
    deployment: Deployment,
    walks: Vec<(String, RandomWalk)>,
    rng: StdRng,
}

impl Market {
    /// Creates the market, starting from the current prices on the chain.
    pub async fn new(
        rpc_url: &str,
        deployment: &Deployment,
        seed: Option<u64>,
    ) -> Result<Self, DevError> {
        let node = Node::connect(rpc_url)?;
        let roles = Roles::from_node(&node).await?;
        let mut walks = Vec::new();
        for pair in &deployment.pairs {
            let feed = deployment.feed(&pair.token)?;
            let answer = node
                .read(feed.address, &PriceFeed::latestRoundDataCall {})
                .await?
                .answer;
            let now = i64::try_from(answer).unwrap_or(i64::MAX).max(1);
            let anchor = super::contracts::first_price(&pair.token).unwrap_or(now);
            walks.push((pair.token.clone(), RandomWalk::new(anchor, now)));
        }
        Ok(Self {
            node,
            roles,
            deployment: deployment.clone(),
            walks,
            rng: StdRng::seed_from_u64(seed.unwrap_or_else(rand::random)),
        })
    }

    /// The node that runs the market's chain.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Moves every price slightly: all pairs trade, at least one feed answers, holders transfer tokens. Waits until all
    /// transactions are mined, so with a block time it takes about one block.
    pub async fn step(&mut self) -> Result<(), DevError> {
        let mut sent = Vec::new();
        let reporter = self.rng.random_range(0..self.walks.len().max(1));
        for index in 0..self.walks.len() {
            let (token, walk) = &mut self.walks[index];
            let (token, price) = (token.clone(), walk.step(&mut self.rng));
            if index == reporter || self.rng.random() {
                sent.push(self.set_feed(&token, price).await?);
            }
            let noise = self.rng.random_range(-PAIR_NOISE..=PAIR_NOISE);
            sent.extend(self.trade_to(&token, price + part(price, noise)).await?);
        }
        if self.rng.random_ratio(1, 8) {
            let one_dollar = 10_i64.pow(u32::from(FEED_DECIMALS));
            let drift = self.rng.random_range(-PEG_BAND..=PEG_BAND);
            sent.push(
                self.set_feed(QUOTE, one_dollar + part(one_dollar, drift))
                    .await?,
            );
        }
        for _ in 0..self.rng.random_range(1..=PAYMENTS) {
            sent.extend(self.pay().await?);
        }
        self.node.mined(&sent).await
    }

    /// Sends the next answer of a feed, with the feed's decimals. Does not wait for mining: see [`Node::mined`].
    pub async fn set_feed(&self, token: &str, answer: i64) -> Result<B256, DevError> {
        let feed = self.deployment.feed(token)?;
        let update = PriceFeed::updateAnswerCall {
            answer: I256::unchecked_from(answer),
        };
        self.node
            .send(Transaction::call(self.roles.owner, feed.address, &update))
            .await
    }

    /// Transfers `value` of a token, in its smallest unit, from one of the node's accounts.
    pub async fn transfer(
        &self,
        token: &str,
        from: Address,
        to: Address,
        value: U256,
    ) -> Result<B256, DevError> {
        let token = self.deployment.token(token)?;
        let transfer = Erc20::transferCall { to, value };
        self.node
            .send(Transaction::call(from, token.address, &transfer))
            .await
    }

    /// The trader sells `amount_in` of the token to its pair (`sell` is true), or of the quote token (false).
    async fn swap(&self, token: &str, sell: bool, amount_in: U256) -> Result<B256, DevError> {
        let pair = self.deployment.pair(token)?;
        let token_in = if sell { &pair.token } else { &pair.quote_token };
        let swap = Pair::swapCall {
            tokenIn: self.deployment.token(token_in)?.address,
            amountIn: amount_in,
            minimumOut: U256::ONE,
            to: self.roles.trader,
        };
        self.node
            .send(Transaction::call(self.roles.trader, pair.address, &swap))
            .await
    }

    /// The accounts that hold tokens, for [`Market::transfer`].
    pub fn holders(&self) -> &[Address] {
        &self.roles.holders
    }

    /// Trades so that the pair of `token` reaches about `price`, which has the feed's decimals. `None` if that takes
    /// less than the smallest unit.
    async fn trade_to(&self, token: &str, price: i64) -> Result<Option<B256>, DevError> {
        let pair = self.deployment.pair(token)?;
        let held = self
            .node
            .read(pair.address, &Pair::getReservesCall {})
            .await?;
        let (base, quote) = reserves(pair, held.reserve0, held.reserve1);
        let (sell, amount) = amount_to_price(base, quote, pair, price);
        if amount.is_zero() {
            return Ok(None);
        }
        self.swap(token, sell, amount).await.map(Some)
    }

    /// Transfers a token or ether between two holders.
    async fn pay(&mut self) -> Result<Option<B256>, DevError> {
        let mut two = self
            .roles
            .holders
            .choose_multiple(&mut self.rng, 2)
            .copied();
        let (Some(from), Some(to)) = (two.next(), two.next()) else {
            return Ok(None);
        };
        // At most a few thousandths of the balance, so that no account runs out.
        let share = U256::from(self.rng.random_range(1..=3_000_u32));
        let of = |balance: U256| balance / U256::from(MILLION) * share;
        if self.rng.random_ratio(1, 4) {
            let balance: U256 = self
                .node
                .request("eth_getBalance", (from, "latest"))
                .await?;
            let payment = Transaction::payment(from, to, of(balance));
            return self.node.send(payment).await.map(Some);
        }
        let Some(token) = self.deployment.tokens.choose(&mut self.rng).cloned() else {
            return Ok(None);
        };
        let balance = self
            .node
            .read(token.address, &Erc20::balanceOfCall { holder: from })
            .await?;
        self.transfer(&token.symbol, from, to, of(balance))
            .await
            .map(Some)
    }
}

const MILLION: u64 = 1_000_000;

/// Which side to sell to a constant-product pair and how much, so that quote ÷ base becomes `price`. Ignores the fee,
/// which changes the result by less than 0.3 % of the move.
fn amount_to_price(base: U256, quote: U256, pair: &DemoPair, price: i64) -> (bool, U256) {
    let ten = U512::from(10);
    // The price in smallest units, as the fraction `over` quote / `under` base.
    let over = U512::from(price.max(1).unsigned_abs()) * ten.pow(U512::from(pair.quote_decimals));
    let under = ten.pow(U512::from(
        u32::from(FEED_DECIMALS) + u32::from(pair.base_decimals),
    ));
    let product = U512::from(base) * U512::from(quote);
    let wanted_base = (product * under / over).root(2);
    let wanted_quote = (product * over / under).root(2);
    if wanted_base > U512::from(base) {
        (true, U256::saturating_from(wanted_base) - base)
    } else {
        (
            false,
            U256::saturating_from(wanted_quote).saturating_sub(quote),
        )
    }
}

#[cfg(test)]
mod tests;
