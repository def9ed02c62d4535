//! The stored metadata of token contracts beside what the contracts answer now.

use futures_util::{StreamExt, stream};

use super::{chain::is_wrong, compare::Difference};
use crate::{
    model::ChainId,
    source::chain::{Providers, TokenMetadata, Work},
    store::{Store, token_contracts::StoredToken},
};

/// Token contracts read from the database at once.
const PAGE: u32 = 200;

/// Tells where the stored metadata of a chain's tokens differs from the answers of their contracts. An answer that
/// cannot be read is a difference too; a node that does not answer is an error. `at` is the height that is named.
pub(super) async fn differences(
    nodes: &Providers,
    store: &Store,
    chain: ChainId,
    at: u64,
    concurrency: usize,
    mut tell: impl FnMut(Difference),
) -> Result<(), String> {
    let mut after = None;
    loop {
        let page = store.read_known_tokens(chain, after, PAGE);
        let page = page.await.map_err(|error| error.to_string())?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.address);
        let mut asked = stream::iter(page)
            .map(|token| async move {
                let (address, standard) = (token.address, token.standard);
                let answer = nodes.attempt(Work::History, move |node| async move {
                    node.token_metadata(address, standard).await
                });
                (token, answer.await)
            })
            .buffered(concurrency.max(1));
        while let Some((token, answer)) = asked.next().await {
            let found = match answer {
                Ok(answer) => different(&token, &answer),
                Err(error) if is_wrong(&error) => vec![format!("not compared: {error}")],
                Err(error) => {
                    return Err(format!("chain {chain}: token {}: {error}", token.address));
                }
            };
            for what in found {
                tell(Difference {
                    number: at,
                    table: "token_contracts",
                    key: token.address.to_string(),
                    what,
                });
            }
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
