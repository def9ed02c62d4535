//! Compares the stored metadata of token contracts with what the contracts return now.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::{
    sync::Mutex,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    compare::Difference,
    retry::{FetchError, with_retries},
};
use chaincast_evm::chain::{ChainConfig, Providers, TokenMetadata, Work};
use chaincast_store::{Store, token_contracts::StoredToken};

/// Token contracts per read from the database.
const PAGE: u32 = 200;
/// Pause before a contract that differs is read again: a call that a node refuses once says nothing about the contract.
const REREAD_PAUSE: Duration = Duration::from_secs(2);

/// Reports where the stored metadata of a chain's token contracts differs twice in a row from what the contracts
/// return. An unreadable answer is a difference; an unavailable node is an error. Calls are limited by
/// `chains.token_metadata_per_second`. `at` is the height that differences name.
pub(super) async fn differences(
    nodes: &Providers,
    store: &Store,
    config: &ChainConfig,
    at: u64,
    mut report: impl FnMut(Difference),
) -> Result<(), String> {
    let chain = config.chain_id;
    let pause = Duration::from_secs(1) / config.token_metadata_per_second.max(1);
    let mut call_interval = interval(pause);
    call_interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let contracts = &Contracts {
        nodes,
        call_interval: Mutex::new(call_interval),
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
                report(Difference {
                    number: at,
                    table: "token_contracts",
                    key: token.to_string(),
                    what,
                });
            }
        }
    }
}

/// Reads token contracts at a limited rate.
struct Contracts<'a> {
    nodes: &'a Providers,
    call_interval: Mutex<Interval>,
}

impl Contracts<'_> {
    async fn compared(&self, stored: &StoredToken) -> Result<Vec<String>, String> {
        let found = self.compared_once(stored).await?;
        if found.is_empty() {
            return Ok(found);
        }
        tokio::time::sleep(REREAD_PAUSE).await;
        self.compared_once(stored).await
    }

    async fn compared_once(&self, stored: &StoredToken) -> Result<Vec<String>, String> {
        let (address, standard) = (stored.address, stored.standard);
        let answer = with_retries(|| async move {
            self.call_interval.lock().await.tick().await;
            let call = self.nodes.attempt(Work::History, move |node| async move {
                node.token_metadata(address, standard).await
            });
            call.await
        });
        match answer.await {
            Ok(answer) => Ok(metadata_differences(stored, &answer)),
            Err(FetchError::Invalid(error)) => Ok(vec![format!("not compared: {error}")]),
            Err(FetchError::Unavailable(error)) => Err(error),
        }
    }
}

fn metadata_differences(stored: &StoredToken, answer: &TokenMetadata) -> Vec<String> {
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
