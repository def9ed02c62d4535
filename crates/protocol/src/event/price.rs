//! The event of `price:TOKEN`.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::schema::Usd;
use crate::{JsonNumber, PriceBlock, PriceReason, PriceStatus, Token};

/// The price of a token, or its status, changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceUpdate {
    /// The priced token.
    pub token: Token,
    /// In the quote currency, for one whole token.
    pub price: JsonNumber,
    /// Server time of the update, in ms.
    pub timestamp: i64,
    /// The quote currency.
    #[cfg_attr(feature = "schema", schemars(with = "Usd"))]
    pub quote: Cow<'static, str>,
    /// Possible error of the price, in the quote currency.
    pub confidence: JsonNumber,
    /// Names of the sources that were used, sorted.
    pub sources: Vec<Arc<str>>,
    /// Age of the newest used tick when this was published, in ms.
    pub age_ms: i64,
    /// How reliable the price is.
    pub status: PriceStatus,
    /// Why the status is not `ok`; omitted if it is `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<PriceReason>,
    /// Every fresh source, by name. One that is neither used nor an outlier is on standby for another one of its venue.
    pub details: Vec<PriceUpdateDetail>,
}

/// One source of a published price.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceUpdateDetail {
    /// The source's name, unique within the token.
    pub source: Arc<str>,
    /// Age of its tick when this was published, in ms.
    pub age_ms: i64,
    /// The block of its tick; null for off-chain sources.
    pub block: Option<PriceBlock>,
    /// Too far from the others to be used.
    pub outlier: bool,
}
