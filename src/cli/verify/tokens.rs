//! What is stored of token contracts beside what they say of themselves now, by the node.

use futures_util::{StreamExt, stream};

use super::compare::Difference;
use crate::{
    model::ChainId,
    source::chain::{Providers, TokenMetadata, Work},
    store::{Store, token_contracts::StoredToken},
};

/// Token contracts read from the database at once.
const PAGE: u32 = 200;

/// What differs between the stored metadata of a chain's tokens and their contracts' answers. One that cannot be asked
/// is a difference too. `at` is the height that is named.
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
                let answer = nodes.attempt(Work::Live, move |node| async move {
                    node.token_metadata(address, standard).await
                });
                (token, answer.await)
            })
            .buffered(concurrency.max(1));
        while let Some((token, answer)) = asked.next().await {
            let what = match answer {
                Ok(answer) => different(&token, &answer),
                Err(error) => Some(format!("its contract cannot be asked: {error}")),
            };
            if let Some(what) = what {
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

fn different(stored: &StoredToken, answer: &TokenMetadata) -> Option<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let number = |value: Option<u8>| value.map_or_else(|| "null".to_owned(), |v| v.to_string());
    let pairs = [
        ("name", text(&stored.name), text(&answer.name)),
        ("symbol", text(&stored.symbol), text(&answer.symbol)),
        ("decimals", number(stored.decimals), number(answer.decimals)),
    ];
    let odd = pairs.into_iter().find(|(_, stored, said)| stored != said);
    odd.map(|(column, stored, said)| format!("{column}: stored {stored}, the contract says {said}"))
}
