//! `/prices/{token}/candles`.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};

use super::{
    Shared,
    error::{Problem, Problems},
    extract::{Params, Segment},
    moment,
    page::{self, List, Page},
    prices,
    wire::Decimal,
};
use crate::{model::now_ms, store::read};

/// How long a candle is. All begin at multiples of it since the Unix epoch, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Interval {
    #[serde(rename = "1m")]
    Minute,
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "15m")]
    QuarterHour,
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "4h")]
    FourHours,
    #[serde(rename = "1d")]
    Day,
}

/// A plain enum of strings: a reference cannot carry a default of its own.
fn interval_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("How long a candle is."))
        .enum_values(Some(["1m", "5m", "15m", "1h", "4h", "1d"]))
        .default(Some("1m".into()))
        .build()
}

impl Interval {
    fn millis(self) -> i64 {
        const MINUTE: i64 = 60_000;
        match self {
            Self::Minute => MINUTE,
            Self::FiveMinutes => 5 * MINUTE,
            Self::QuarterHour => 15 * MINUTE,
            Self::Hour => 60 * MINUTE,
            Self::FourHours => 4 * 60 * MINUTE,
            Self::Day => 24 * 60 * MINUTE,
        }
    }
}

/// The prices announced in one interval, begin included and end excluded. Stale prices are left out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candle {
    /// When it begins, in ms since the Unix epoch.
    timestamp: i64,
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    /// How many prices it is made of, at least 1.
    count: u64,
}

impl From<read::Candle> for Candle {
    fn from(row: read::Candle) -> Self {
        Self {
            timestamp: row.start,
            open: row.open.into(),
            high: row.high.into(),
            low: row.low.into(),
            close: row.close.into(),
            count: row.count,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CandlesQuery {
    /// EIP-155 id of a configured chain; prices are the same whichever it is.
    chain: Option<u64>,
    /// How long a candle is.
    #[param(schema_with = interval_schema, required = false)]
    interval: Option<Interval>,
    /// From the candle that holds this time: ms since the Unix epoch, or RFC 3339. `limit` candles before `to` when
    /// left out.
    #[param(example = "2026-01-31T12:00:00Z")]
    from: Option<String>,
    /// Up to this time; the candle that holds it is included, unless it is that candle's begin. Now when left out.
    to: Option<String>,
    /// Candles a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Open, high, low and close of a token's price, oldest first
///
/// Intervals in which no price was announced have no candle. A page spans at most `limit` intervals.
#[utoipa::path(
    get, path = "/api/v1/prices/{token}/candles", tag = "prices",
    params(("token" = String, Path, description = "Its symbol, in any case", example = "ETH"), CandlesQuery),
    responses((status = 200, description = "A page of candles", body = Page<Candle>), Problems)
)]
pub(super) async fn list_candles(
    State(state): Shared,
    segment: Segment,
    Params(query): Params<CandlesQuery>,
) -> Result<Json<Page<Candle>>, Problem> {
    state.chain(query.chain)?;
    let token = segment.token()?;
    let limit = page::limit(query.limit, &state.config)?;
    let interval = query.interval.unwrap_or(Interval::Minute).millis();
    let (from, to) = moment::range(query.from.as_deref(), query.to.as_deref(), now_ms() + 1)?;
    let list = List::new(format!(
        "candles/{token}/{interval}/{:?}/{:?}",
        query.from, query.to
    ));
    // The cursor keeps the end, which is "now" of the first page when the client gave none.
    let (from, to) = match list.position(query.cursor.as_deref())? {
        Some([from, to]) => (from, to),
        None => {
            let to = to + (interval - to.rem_euclid(interval)) % interval;
            let from = match query.from {
                Some(_) => from - from.rem_euclid(interval),
                None => (to - interval * i64::from(limit)).max(0),
            };
            (from, to)
        }
    };
    prices::tracked(&state, &token).await?;
    let found = state
        .store
        .read_candles(&token, (from, to), interval, limit)
        .await?;
    Ok(Json(Page {
        data: found.candles.into_iter().map(Candle::from).collect(),
        next: found.next.map(|start| list.cursor([start, to])),
    }))
}
