//! Tracked tokens.

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{
    super::{Store, StoreError},
    row::RowReader,
};
use chaincast_protocol::{Address, ChainId, Token};

/// A tracked token and its price sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its unique symbol.
    pub symbol: Token,
    /// Position in the configuration, unique.
    pub position: u32,
    /// Display name.
    pub name: String,
    /// The chain of the token's contract, if it is on an indexed chain.
    pub chain_id: Option<ChainId>,
    /// The token's contract, if the configuration names it.
    pub address: Option<Address>,
    /// The configured number of decimals of the contract's amounts.
    pub decimals: Option<u8>,
    /// Configured sources, by name.
    pub sources: Vec<TokenSource>,
}

/// A configured source of a token's price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSource {
    /// Its public name, unique within its token.
    pub source: String,
    /// `USD`, or the symbol of a tracked token.
    pub quote: String,
    /// EIP-155 id of the chain that it reads; `None` for a source that is not on a chain.
    pub chain_id: Option<ChainId>,
    /// The contract that it reads; `None` for a source that is not on a chain.
    pub address: Option<Address>,
    /// A tick older than this is not used, in ms.
    pub max_age_ms: u64,
}

impl Store {
    /// Tracked tokens in configuration order after position `after`, at most `limit`.
    pub async fn read_tokens(
        &self,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<TokenRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT t.symbol, t.position, t.name, t.chain_id, t.address, t.decimals::int4 AS decimals,
                    s.source, s.quote, s.chain_id AS source_chain_id, s.address AS source_address, s.max_age_ms
             FROM (SELECT * FROM tokens WHERE position > $1 ORDER BY position LIMIT $2) t
             LEFT JOIN price_sources s ON s.token = t.symbol AND s.active
             ORDER BY t.position, s.source",
        )
        .bind(after.map_or(-1, i64::from))
        .bind(i64::from(limit))
        .fetch_all(&self.reads)
        .await?;
        let mut tokens = Vec::<TokenRow>::new();
        for row in &rows {
            let row = RowReader::new(row, "token");
            let next = token(&row)?;
            if tokens.last().is_none_or(|last| last.symbol != next.symbol) {
                tokens.push(next);
            }
            if let Some(last) = tokens.last_mut() {
                last.sources.extend(source(&row)?);
            }
        }
        Ok(tokens)
    }

    /// Whether a token is tracked.
    pub async fn is_tracked(&self, token: &Token) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM tokens WHERE symbol = $1 AND position IS NOT NULL)",
        )
        .bind(token.as_str())
        .fetch_one(&self.reads)
        .await?)
    }
}

fn token(row: &RowReader<'_>) -> Result<TokenRow, StoreError> {
    let symbol: String = row.get("symbol")?;
    let decimals = row
        .get::<Option<i32>>("decimals")?
        .map(|decimals| u8::try_from(decimals).map_err(|error| row.corrupt("decimals", error)))
        .transpose()?;
    Ok(TokenRow {
        symbol: symbol
            .parse()
            .map_err(|error| row.corrupt("symbol", error))?,
        position: row.index("position")?,
        name: row.get("name")?,
        chain_id: row.natural_or_null("chain_id")?,
        address: row.address_or_null("address")?,
        decimals,
        sources: Vec::new(),
    })
}

fn source(row: &RowReader<'_>) -> Result<Option<TokenSource>, StoreError> {
    let Some(source) = row.get::<Option<String>>("source")? else {
        return Ok(None);
    };
    Ok(Some(TokenSource {
        source,
        quote: row.get("quote")?,
        chain_id: row.natural_or_null("source_chain_id")?,
        address: row.address_or_null("source_address")?,
        max_age_ms: row.natural("max_age_ms")?,
    }))
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    vec![
        Query::new("read_tokens", store.read_tokens(None, known.limit)),
        Query::new("is_tracked", store.is_tracked(&known.token)),
    ]
}
