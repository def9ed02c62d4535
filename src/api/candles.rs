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
    page::{self, List},
    prices,
    wire::Decimal,
};
use crate::model::{self, CandleInterval, Channel, now_ms};

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

impl From<Interval> for CandleInterval {
    fn from(interval: Interval) -> Self {
        match interval {
            Interval::Minute => Self::Minute,
            Interval::FiveMinutes => Self::FiveMinutes,
            Interval::QuarterHour => Self::QuarterHour,
            Interval::Hour => Self::Hour,
            Interval::FourHours => Self::FourHours,
            Interval::Day => Self::Day,
        }
    }
}

/// The prices announced in one interval, begin included and end excluded, by the time of their newest tick. Stale
/// prices are left out, and degraded ones whose number is in doubt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candle {
    /// When it begins, in ms since the Unix epoch.
    timestamp: i64,
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    /// How many prices it is made of; 0 when it is synthetic.
    count: u64,
    /// Whether its interval is over. A late price may still put it right.
    closed: bool,
    /// Whether no price was announced in it: then all four are the close of the candle before.
    synthetic: bool,
}

impl Candle {
    fn new(candle: model::Candle, interval: CandleInterval, now_ms: i64) -> Self {
        Self {
            timestamp: candle.start,
            closed: candle.start.saturating_add(interval.millis()) <= now_ms,
            synthetic: candle.is_synthetic(),
            open: candle.open.into(),
            high: candle.high.into(),
            low: candle.low.into(),
            close: candle.close.into(),
            count: candle.count,
        }
    }
}

/// Candles in order, and where their channel stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CandlePage {
    data: Vec<Candle>,
    /// Pass it as `cursor` for the next page; `null` at the end.
    #[schema(required)]
    next: Option<String>,
    /// The channel that announces these candles from here on.
    #[schema(examples("candle:ETH:1m"))]
    channel: String,
    /// The channel's newest seq when this was read: subscribe with it as `since`, and the updates that follow change
    /// or add to these candles.
    seq: u64,
    /// What `seq` belongs to: pass it on when subscribing.
    #[schema(examples("k3f9x2a1b0"))]
    epoch: String,
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
    /// From the candle that holds this time: ms since the Unix epoch, or RFC 3339. When left out, the newest `limit`
    /// candles before `to`, however long ago they are.
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
/// Intervals between two candles in which no price was announced are `synthetic`; ahead of the first candle and behind
/// the newest there are none. Subscribe to `channel` with `since` of `seq`: each update has a whole candle, which takes
/// the place of the one with its `timestamp` or comes behind the last.
#[utoipa::path(
    get, path = "/api/v1/prices/{token}/candles", tag = "prices",
    params(("token" = String, Path, description = "Its symbol, in any case", example = "ETH"), CandlesQuery),
    responses((status = 200, description = "A page of candles", body = CandlePage), Problems)
)]
pub(super) async fn list_candles(
    State(state): Shared,
    segment: Segment,
    Params(query): Params<CandlesQuery>,
) -> Result<Json<CandlePage>, Problem> {
    state.chain(query.chain)?;
    let token = segment.token()?;
    let limit = page::limit(query.limit, &state.config)?;
    let interval = CandleInterval::from(query.interval.unwrap_or(Interval::Minute));
    let length = interval.millis();
    let channel = Channel::Candle(token.clone(), interval);
    // Before the clock and the candles, so that what follows it is told again rather than lost: a candle that had begun
    // or closed by this seq has done so by the time that is read next.
    let stands = state.store.channel_extent(&channel).await?;
    let now = now_ms();
    let (from, to) = moment::range(query.from.as_deref(), query.to.as_deref(), now + 1)?;
    let list = List::new(format!(
        "candles/{token}/{interval}/{:?}/{:?}",
        query.from, query.to
    ));
    prices::tracked(&state, &token).await?;
    // The cursor keeps the end, which the first page found when the client gave none.
    let (from, to) = match list.position(query.cursor.as_deref())? {
        // What makes the checksum is no secret: a forged one may say anything.
        Some([from, to]) if is_range(from, to, length) => (from, to),
        Some(_) => return Err(page::foreign_cursor()),
        None => {
            let to = to + (length - to.rem_euclid(length)) % length;
            match query.from {
                Some(_) => (interval.start_of(from), to),
                None => {
                    // After a quiet while the newest candles are not those of the last intervals.
                    let to = state.store.candles_end(&token, interval, to).await?;
                    ((to - length * i64::from(limit)).max(0), to)
                }
            }
        }
    };
    let found = state
        .store
        .read_candles(&token, interval, (from, to), limit)
        .await?;
    let candles = found.candles.into_iter();
    Ok(Json(CandlePage {
        data: candles
            .map(|candle| Candle::new(candle, interval, now))
            .collect(),
        next: found.next.map(|start| list.cursor([start, to])),
        channel: channel.to_string(),
        seq: stands.newest,
        epoch: state.store.epoch().to_owned(),
    }))
}

/// Whether a cursor's range is one that a page may have had.
fn is_range(from: i64, to: i64, length: i64) -> bool {
    let is_start = |at: i64| (0..=moment::LAST + length).contains(&at) && at % length == 0;
    is_start(from) && is_start(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_range_is_none() {
        let length = CandleInterval::from(Interval::Minute).millis();
        assert!(is_range(0, length, length));
        let end = moment::LAST + 1;
        assert!(is_range(end - length, end, length));
        for (from, to) in [
            (-length, length),
            (1, length),
            (0, length + 1),
            (i64::MIN, i64::MAX),
            (-8_334_601_228_800_000, 0),
            (0, end + length),
        ] {
            assert!(!is_range(from, to, length), "{from} to {to}");
        }
    }
}
