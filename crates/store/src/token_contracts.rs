//! Token contracts and their metadata.

use std::time::Duration;

use sqlx::{PgConnection, Row, postgres::PgRow};

#[cfg(feature = "explain")]
use super::explain::{Known, Query};
use super::{Store, StoreError, chain::bigint};
use chaincast_model::TokenStandard;
use chaincast_protocol::{Address, ChainId};

/// Inserts token contracts seen in transfers. Known ones are not changed.
pub async fn insert_new(
    connection: &mut PgConnection,
    chain_id: ChainId,
    tokens: &[(Address, TokenStandard)],
) -> Result<(), StoreError> {
    if tokens.is_empty() {
        return Ok(());
    }
    let addresses: Vec<_> = tokens
        .iter()
        .map(|(address, _)| address.as_slice())
        .collect();
    let standards: Vec<_> = tokens
        .iter()
        .map(|(_, standard)| standard.number())
        .collect();
    sqlx::query(
        "INSERT INTO token_contracts (chain_id, address, standard)
         SELECT $1, * FROM unnest($2::bytea[], $3::smallint[]) ON CONFLICT DO NOTHING",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(addresses)
    .bind(standards)
    .execute(connection)
    .await?;
    Ok(())
}

/// The stored metadata of a token contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// The token contract.
    pub address: Address,
    /// The standard of its first stored transfer.
    pub standard: TokenStandard,
    /// The usable part of what `name()` returned; `None` if nothing was usable.
    pub name: Option<String>,
    /// The usable part of what `symbol()` returned; `None` if nothing was usable.
    pub symbol: Option<String>,
    /// What `decimals()` returned, for ERC-20; `None` if it was not usable.
    pub decimals: Option<u8>,
}

fn corrupt(reason: String) -> StoreError {
    StoreError::Corrupt {
        what: "token contract",
        reason,
    }
}

/// The columns `address` and `standard`.
fn identity(row: &PgRow) -> Result<(Address, TokenStandard), StoreError> {
    let address: &[u8] = row.try_get("address")?;
    let standard: i16 = row.try_get("standard")?;
    Ok((
        Address::try_from(address).map_err(|error| corrupt(error.to_string()))?,
        TokenStandard::from_number(standard)
            .ok_or_else(|| corrupt(format!("standard {standard}")))?,
    ))
}

impl Store {
    /// Token contracts whose metadata is stored, in order of address, after `after`; at most `limit`.
    pub async fn read_known_tokens(
        &self,
        chain_id: ChainId,
        after: Option<Address>,
        limit: u32,
    ) -> Result<Vec<StoredToken>, StoreError> {
        let rows = sqlx::query(
            "SELECT address, standard, name, symbol, decimals FROM token_contracts
             WHERE chain_id = $1 AND read_at IS NOT NULL AND NOT failed AND address > $2 ORDER BY address LIMIT $3",
        )
        .bind(bigint(chain_id, "chain_id")?)
        .bind(after.as_ref().map_or(&[][..], |address| address.as_slice()))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let (address, standard) = identity(row)?;
                let decimals: Option<i16> = row.try_get("decimals")?;
                Ok(StoredToken {
                    address,
                    standard,
                    name: row.try_get("name")?,
                    symbol: row.try_get("symbol")?,
                    decimals: decimals
                        .map(u8::try_from)
                        .transpose()
                        .map_err(|error| corrupt(format!("decimals: {error}")))?,
                })
            })
            .collect()
    }

    /// Token contracts whose metadata is not read yet, those never tried first. One that returned nothing usable is
    /// retried after `again`, multiplied by four with each further attempt.
    pub async fn unread_tokens(
        &self,
        chain_id: ChainId,
        again: Duration,
        limit: u32,
    ) -> Result<Vec<(Address, TokenStandard)>, StoreError> {
        let rows = sqlx::query(
            "SELECT address, standard FROM token_contracts
             WHERE chain_id = $1 AND read_at IS NULL
                 AND (attempts = 0 OR tried_at < now() - make_interval(secs => $2) * power(4, attempts - 1))
             ORDER BY attempts, seen_at LIMIT $3",
        )
        .bind(bigint(chain_id, "chain_id")?)
        .bind(again.as_secs_f64())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(identity).collect()
    }

    /// Stores the metadata that a token contract returned.
    pub async fn record_token(
        &self,
        chain_id: ChainId,
        token: Address,
        (name, symbol, decimals): (Option<&str>, Option<&str>, Option<u8>),
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE token_contracts SET name = $3, symbol = $4, decimals = $5, attempts = attempts + 1,
                 tried_at = now(), read_at = now(), failed = false
             WHERE chain_id = $1 AND address = $2",
        )
        .bind(bigint(chain_id, "chain_id")?)
        .bind(token.as_slice())
        .bind(name)
        .bind(symbol)
        .bind(decimals.map(i16::from))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records a failed read of a token contract's metadata. After `attempts` failures it is not read again.
    pub async fn record_failed_read(
        &self,
        chain_id: ChainId,
        token: Address,
        attempts: u8,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE token_contracts SET attempts = attempts + 1, tried_at = now(), failed = true,
                 read_at = CASE WHEN attempts + 1 >= $3 THEN now() END
             WHERE chain_id = $1 AND address = $2",
        )
        .bind(bigint(chain_id, "chain_id")?)
        .bind(token.as_slice())
        .bind(i16::from(attempts))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    vec![Query::new(
        "unread_tokens",
        store.unread_tokens(known.chain, Duration::from_secs(60), known.limit),
    )]
}
