//! The stored metadata of token contracts beside what the contracts answer now.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::{
    sync::Mutex,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    compare::Difference,
    patience::{Unfetched, patiently},
};
use crate::{
    source::chain::{ChainConfig, Providers, TokenMetadata, Work},
    store::{Store, token_contracts::StoredToken},
};

/// Token contracts read from the database at once.
const PAGE: u32 = 200;
/// A contract that differs is asked again after this: a call that a node refuses for a moment says nothing of the contract.
const MOMENT: Duration = Duration::from_secs(2);

/// Tells where the stored metadata of a chain's tokens differs from the answers of their contracts, twice in a row. An
/// answer that cannot be read is a difference too; a node that does not answer is an error. Contracts are asked at the
/// pace of `chains.token_metadata_per_second`. `at` is the height that is named.
pub(super) async fn differences(
    nodes: &Providers,
    store: &Store,
    config: &ChainConfig,
    at: u64,
    mut tell: impl FnMut(Difference),
) -> Result<(), String> {
    let chain = config.chain_id;
    let pause = Duration::from_secs(1) / config.token_metadata_per_second.max(1);
    let mut pace = interval(pause);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let contracts = &Contracts {
        nodes,
        pace: Mutex::new(pace),
    };
    let mut after = None;
    loop {
        let page = store.read_known_tokens(chain, after, PAGE);
        let page = page.await.map_err(|error| error.to_string())?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.address);
        let mut compared = stream::iter(page)
            .map(|token| async move {
                let found = contracts.compared(&token).await;
                (token.address, found)
            })
            .buffered(config.concurrency.max(1));
        while let Some((token, found)) = compared.next().await {
            let found = found.map_err(|error| format!("chain {chain}: token {token}: {error}"))?;
            for what in found {
                tell(Difference {
                    number: at,
                    table: "token_contracts",
                    key: token.to_string(),
                    what,
                });
            }
        }
    }
}

/// Contracts of tokens, asked at a pace.
struct Contracts<'a> {
    nodes: &'a Providers,
    pace: Mutex<Interval>,
}

impl Contracts<'_> {
    async fn compared(&self, stored: &StoredToken) -> Result<Vec<String>, String> {
        let found = self.compared_once(stored).await?;
        if found.is_empty() {
            return Ok(found);
        }
        tokio::time::sleep(MOMENT).await;
        self.compared_once(stored).await
    }

    async fn compared_once(&self, stored: &StoredToken) -> Result<Vec<String>, String> {
        let (address, standard) = (stored.address, stored.standard);
        let answer = patiently(|| async move {
            self.pace.lock().await.tick().await;
            let asked = self.nodes.attempt(Work::History, move |node| async move {
                node.token_metadata(address, standard).await
            });
            asked.await
        });
        match answer.await {
            Ok(answer) => Ok(different(stored, &answer)),
            Err(Unfetched::Wrong(error)) => Ok(vec![format!("not compared: {error}")]),
            Err(Unfetched::Away(error)) => Err(error),
        }
    }
}

fn different(stored: &StoredToken, answer: &TokenMetadata) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let number = |value: Option<u8>| value.map_or_else(|| "null".to_owned(), |v| v.to_string());
    let columns = [
        ("name", text(&stored.name), text(&answer.name)),
        ("symbol", text(&stored.symbol), text(&answer.symbol)),
        ("decimals", number(stored.decimals), number(answer.decimals)),
    ];
    columns
        .into_iter()
        .filter(|(_, stored, answer)| stored != answer)
        .map(|(column, stored, answer)| format!("{column}: stored {stored}, contract {answer}"))
        .collect()
}
