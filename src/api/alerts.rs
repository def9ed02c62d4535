//! `/alerts`: the price alerts of the user whose token is given.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use bigdecimal::BigDecimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type, schema::SchemaType},
};

use super::{
    AlertsConfig, Shared,
    error::{Problem, Problems, described, shortened},
    extract::{Body, Params, Segment},
    page::{self, List, Page},
    subject::{Refusals, Subject},
    wire::Decimal,
};
use crate::{
    model::{AlertCondition, Token},
    store::{
        alerts::{AlertLimits, Creation, NewAlert},
        read::{AlertFilter, AlertRow},
    },
};

/// Most digits before and behind the point of a threshold or a hysteresis.
const MOST_PLACES: i64 = 40;
/// Longest text of one.
const LONGEST_NUMBER: usize = 100;
/// Longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 128;

/// A price alert.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    id: i64,
    token: String,
    #[schema(value_type = Side)]
    condition: AlertCondition,
    /// In USD.
    threshold: Decimal,
    repeat: Repeat,
    /// How far the price goes back behind the threshold before it may fire again, in USD; `null` when it fires once.
    #[schema(required)]
    hysteresis: Option<Decimal>,
    #[schema(required)]
    note: Option<String>,
    /// Whether it may fire, now or later; one that fires once and did is not active.
    active: bool,
    /// Whether it fires at the next price for which its condition holds.
    armed: bool,
    /// How often it fired.
    fired: u64,
    /// The last time, in ms since the Unix epoch; `null` before the first.
    #[schema(required)]
    fired_at: Option<i64>,
    /// In ms since the Unix epoch.
    created_at: i64,
}

/// On which side of the threshold it fires; the threshold itself belongs to both.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code)] // Describes the condition of the model.
pub(super) enum Side {
    Above,
    Below,
}

/// Whether it fires again once the price went back by the hysteresis.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Repeat {
    Once,
    Always,
}

impl From<AlertRow> for Alert {
    fn from(row: AlertRow) -> Self {
        Self {
            id: row.id,
            token: row.token.to_string(),
            condition: row.condition,
            threshold: row.threshold.into(),
            repeat: match row.hysteresis {
                Some(_) => Repeat::Always,
                None => Repeat::Once,
            },
            hysteresis: row.hysteresis.map(Decimal::from),
            note: row.note,
            active: row.active,
            armed: row.armed,
            fired: row.fired,
            fired_at: row.fired_at,
            created_at: row.created_at,
        }
    }
}

/// What an alert is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertRequest {
    /// A tracked token, in any case.
    #[schema(required, value_type = String, examples("ETH"))]
    token: Option<String>,
    #[schema(required, value_type = Side)]
    condition: Option<String>,
    /// In USD, above zero.
    #[schema(required, value_type = ExactNumber)]
    threshold: Option<Box<RawValue>>,
    /// `once` when left out.
    #[schema(value_type = Option<Repeat>)]
    repeat: Option<String>,
    /// Only with `always`, in USD, above zero; a share of the threshold when left out (`api.alerts.hysteresis_bps`).
    #[schema(value_type = Option<ExactNumber>)]
    hysteresis: Option<Box<RawValue>>,
    /// Comes back with the alert and when it fires.
    note: Option<String>,
}

/// A decimal as a string, or as a JSON number of which every digit counts.
#[derive(Debug)]
pub(super) struct ExactNumber;

impl PartialSchema for ExactNumber {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Number]))
            .description(Some(
                "A decimal as a string, or as a number of which every digit counts.",
            ))
            .examples(["4000.000000000000000001"])
            .into()
    }
}

impl ToSchema for ExactNumber {}

/// The problems of a new alert, for the OpenAPI description.
struct NotCreated;

impl utoipa::IntoResponses for NotCreated {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        [
            (
                "409",
                "The user has as many as there may be (`TOO_MANY_ALERTS`), or the key was used for another alert \
                 (`IDEMPOTENCY_KEY_REUSED`)",
            ),
            ("413", "The body is too long (`PAYLOAD_TOO_LARGE`)"),
            ("429", "Too many in a short time (`RATE_LIMITED`); see `Retry-After`"),
        ]
        .map(|(status, description)| (status.to_owned(), described(description)))
        .into()
    }
}

/// A new price alert
///
/// It fires at the first price announced from now on for which its condition holds, or at once when it holds already
/// (within about a second). A stale price fires nothing; a degraded one does. It is told on `user:SUB` as `price-alert`
/// until it is acknowledged. The same `Idempotency-Key` with the same body never makes a second one.
///
/// Codes of status 400: `INVALID_TOKEN`, `INVALID_CONDITION`, `INVALID_THRESHOLD`, `INVALID_REPEAT`, `INVALID_HYSTERESIS`,
/// `INVALID_NOTE`, `INVALID_IDEMPOTENCY_KEY`, and `BAD_REQUEST` for a body that is no such object; of 404:
/// `UNKNOWN_TOKEN`; of 503: `ALERTS_FULL` when all users together have as many as there may be.
#[utoipa::path(
    post, path = "/api/v1/alerts", tag = "alerts", security(("bearer" = [])), request_body = AlertRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 128 visible ASCII characters")),
    responses(
        (status = 200, description = "The alert that was made with this key before", body = Alert),
        (status = 201, description = "The new alert", body = Alert),
        NotCreated, Refusals, Problems
    )
)]
pub(super) async fn create_alert(
    State(state): Shared,
    Subject(subject): Subject,
    headers: HeaderMap,
    Body(request): Body<AlertRequest>,
) -> Result<Response, Problem> {
    let config = &state.config.alerts;
    let new = NewAlert {
        key: idempotency_key(&headers)?,
        ..checked(subject, request, config)?
    };
    if !state.store.is_tracked(&new.token).await? {
        return Err(Problem::unknown_token(format!(
            "{} is not tracked here; /api/v1/tokens lists the tokens",
            new.token
        )));
    }
    let limits = AlertLimits {
        per_user: config.per_user,
        total: config.total,
        creations: config.creations,
        window_ms: config.rate_window_ms,
    };
    let (status, row) = match state.store.create_alert(&new, &limits).await? {
        Creation::Made(row) => (StatusCode::CREATED, row),
        Creation::Known(row) => (StatusCode::OK, row),
        Creation::KeyReused => {
            return Err(Problem::conflict(
                "IDEMPOTENCY_KEY_REUSED",
                "this Idempotency-Key made another alert, or one that was deleted since; use a new key",
            ));
        }
        Creation::TooMany => {
            return Err(Problem::conflict(
                "TOO_MANY_ALERTS",
                format!(
                    "a user may have {} active alerts; delete some",
                    config.per_user
                ),
            ));
        }
        Creation::TooOften { retry_after_ms } => {
            return Err(Problem::rate_limited(
                retry_after_ms,
                format!(
                    "a user may make {} alerts in {} ms; the next in {retry_after_ms} ms",
                    config.creations, config.rate_window_ms
                ),
            ));
        }
        Creation::Full => {
            return Err(Problem::full(
                "ALERTS_FULL",
                "all users together have as many alerts as this server takes",
            ));
        }
    };
    let place = format!("/api/v1/alerts/{}", row.id);
    let mut response = (status, Json(Alert::from(row))).into_response();
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertsQuery {
    /// Only alerts about this token.
    token: Option<String>,
    /// Only alerts that may fire, or only those that will not.
    active: Option<bool>,
    /// Alerts a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The user's price alerts, newest first
#[utoipa::path(
    get, path = "/api/v1/alerts", tag = "alerts", security(("bearer" = [])), params(AlertsQuery),
    responses((status = 200, description = "A page of alerts", body = Page<Alert>), Refusals, Problems)
)]
pub(super) async fn list_alerts(
    State(state): Shared,
    Subject(subject): Subject,
    Params(query): Params<AlertsQuery>,
) -> Result<Json<Page<Alert>>, Problem> {
    let limit = page::limit(query.limit, &state.config)?;
    let token = query
        .token
        .map(|token| Segment(token).token())
        .transpose()?;
    let list = List::new(format!(
        "alerts/{subject}/{}/{:?}",
        token.as_ref().map_or("", Token::as_str),
        query.active
    ));
    let before = list.position(query.cursor.as_deref())?.map(|[id]| id);
    let filter = AlertFilter {
        token,
        active: query.active,
    };
    let rows = state
        .store
        .read_alerts(&subject, &filter, before, limit + 1)
        .await?;
    Ok(Json(list.page(rows, limit, |row| [row.id], Alert::from)))
}

/// One of the user's price alerts
#[utoipa::path(
    get, path = "/api/v1/alerts/{id}", tag = "alerts", security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses((status = 200, description = "The alert", body = Alert), Refusals, Problems)
)]
pub(super) async fn read_alert(
    State(state): Shared,
    Subject(subject): Subject,
    segment: Segment,
) -> Result<Json<Alert>, Problem> {
    let id = segment.id()?;
    let row = state.store.read_alert(&subject, id).await?;
    row.map(|row| Json(Alert::from(row)))
        .ok_or_else(|| missing(id))
}

/// Ends one of the user's price alerts
///
/// It does not fire any more once this is answered. What it fired before stays until it is acknowledged.
#[utoipa::path(
    delete, path = "/api/v1/alerts/{id}", tag = "alerts", security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses((status = 204, description = "It is gone"), Refusals, Problems)
)]
pub(super) async fn delete_alert(
    State(state): Shared,
    Subject(subject): Subject,
    segment: Segment,
) -> Result<StatusCode, Problem> {
    let id = segment.id()?;
    match state.store.delete_alert(&subject, id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(id)),
    }
}

/// Somebody else's are not told from those that never were.
fn missing(id: i64) -> Problem {
    Problem::not_found(format!("you have no alert {id}"))
}

/// The alert that a request describes, without its key.
fn checked(
    subject: String,
    request: AlertRequest,
    config: &AlertsConfig,
) -> Result<NewAlert, Problem> {
    let token = request.token.unwrap_or_default();
    let token = token
        .parse::<Token>()
        .map_err(|error| Problem::invalid("INVALID_TOKEN", "token", format!("token: {error}")))?;
    let condition = request.condition.unwrap_or_default();
    let condition = condition.parse::<AlertCondition>().map_err(|_| {
        Problem::invalid(
            "INVALID_CONDITION",
            "condition",
            format!(
                "condition must be \"above\" or \"below\", not {:?}",
                shortened(&condition)
            ),
        )
    })?;
    let threshold = request.threshold.as_deref().map(RawValue::get);
    let threshold = threshold.and_then(exact).ok_or_else(|| {
        Problem::invalid(
            "INVALID_THRESHOLD",
            "threshold",
            format!(
                "threshold must be a decimal above zero, as a string or a number, with at most {MOST_PLACES} digits \
                 on each side of the point"
            ),
        )
    })?;
    let repeats = match request.repeat.as_deref() {
        None | Some("once") => false,
        Some("always") => true,
        Some(other) => {
            return Err(Problem::invalid(
                "INVALID_REPEAT",
                "repeat",
                format!(
                    "repeat must be \"once\" or \"always\", not {:?}",
                    shortened(other)
                ),
            ));
        }
    };
    let given = request.hysteresis.as_deref().map(RawValue::get);
    let hysteresis = hysteresis(repeats, given, condition, &threshold, config)?;
    if let Some(note) = &request.note
        && (note.len() > config.note_bytes || note.chars().any(char::is_control))
    {
        return Err(Problem::invalid(
            "INVALID_NOTE",
            "note",
            format!(
                "note may have {} bytes, and no control characters",
                config.note_bytes
            ),
        ));
    }
    Ok(NewAlert {
        subject,
        token,
        condition,
        threshold,
        hysteresis,
        note: request.note,
        key: None,
    })
}

fn hysteresis(
    repeats: bool,
    given: Option<&str>,
    condition: AlertCondition,
    threshold: &BigDecimal,
    config: &AlertsConfig,
) -> Result<Option<BigDecimal>, Problem> {
    let invalid = |detail: String| Problem::invalid("INVALID_HYSTERESIS", "hysteresis", detail);
    match (repeats, given) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(invalid(
            "hysteresis belongs to alerts with repeat \"always\"".to_owned(),
        )),
        (true, None) => {
            // Exact: ten thousandths of a decimal are a decimal.
            let share = BigDecimal::new(config.hysteresis_bps.into(), 4);
            Ok(Some((threshold * share).normalized()))
        }
        (true, Some(given)) => {
            let given = exact(given).ok_or_else(|| {
                invalid("hysteresis must be a decimal above zero, as a threshold".to_owned())
            })?;
            if condition == AlertCondition::Above && given >= *threshold {
                return Err(invalid(
                    "hysteresis must be below the threshold: no price goes back that far"
                        .to_owned(),
                ));
            }
            Ok(Some(given))
        }
    }
}

/// A decimal above zero from the text of a JSON string or number, with every digit; `None` for anything else.
fn exact(json: &str) -> Option<BigDecimal> {
    if json.len() > LONGEST_NUMBER {
        return None;
    }
    let quoted: String;
    let text = if json.starts_with('"') {
        quoted = serde_json::from_str(json).ok()?;
        quoted.as_str()
    } else {
        json
    };
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(plain) {
        return None;
    }
    if let Some((_, exponent)) = text.split_once(['e', 'E']) {
        let exponent: i64 = exponent.parse().ok()?;
        if !(-MOST_PLACES..=MOST_PLACES).contains(&exponent) {
            return None;
        }
    }
    let value = text.parse::<BigDecimal>().ok()?.normalized();
    let behind = value.fractional_digit_count();
    let before = i64::try_from(value.digits()).ok()? - behind;
    let good = value > BigDecimal::from(0) && behind <= MOST_PLACES && before <= MOST_PLACES;
    good.then_some(value)
}

/// The key that makes a repeated request the same request.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let good = |key: &&str| {
        (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match key.to_str().ok().filter(good) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::invalid(
            "INVALID_IDEMPOTENCY_KEY",
            "Idempotency-Key",
            format!("Idempotency-Key must be 1 to {LONGEST_KEY} visible ASCII characters"),
        )),
    }
}

#[cfg(test)]
#[path = "alerts_tests.rs"]
mod tests;
