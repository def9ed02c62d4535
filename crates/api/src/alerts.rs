//! `/alerts`: the price alerts of the authenticated user.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema, openapi::RefOr};
use utoipa_axum::routes;

use super::{
    Routes, SharedApiState,
    alert_request::{AlertRequest, idempotency_key, validate},
    alert_schema::{Repeat, Side},
    blocks::ChainQuery,
    code::Code,
    error::{Problem, Problems, problem_response},
    extract::{Body, Params, Segment},
    page::{self, List, Page},
    subject::{AuthProblems, Subject},
    wire::Decimal,
};
use chaincast_protocol::{AlertCondition, Token};
use chaincast_store::{
    alerts::{AlertLimits, Creation, NewAlert},
    read::{AlertFilter, AlertRow},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_alerts, create_alert))
        .routes(routes!(read_alert, delete_alert))
}

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
    /// How far the price must move back across the threshold before it can fire again, in USD; `null` if it fires once.
    #[schema(required)]
    hysteresis: Option<Decimal>,
    /// Whether a `degraded` price also fires it and arms it again.
    fire_on_degraded: bool,
    #[schema(required)]
    note: Option<String>,
    /// Whether it can still fire. False for an alert with `repeat` `once` that has fired.
    active: bool,
    /// Whether it fires at the next price that meets its condition.
    armed: bool,
    /// Number of times it fired.
    fired: u64,
    /// When it last fired, in ms since the Unix epoch; `null` before that.
    #[schema(required)]
    fired_at: Option<i64>,
    /// In ms since the Unix epoch.
    created_at: i64,
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
            fire_on_degraded: row.fire_on_degraded,
            note: row.note,
            active: row.active,
            armed: row.armed,
            fired: row.fired,
            fired_at: row.fired_at,
            created_at: row.created_at,
        }
    }
}

/// Problem responses of creating an alert, for the OpenAPI description.
struct CreationProblems;

impl utoipa::IntoResponses for CreationProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        [
            (
                "409",
                "The user has reached the limit of active alerts (`TOO_MANY_ALERTS`), or the key was used for a \
                 different alert (`IDEMPOTENCY_KEY_REUSED`)",
            ),
            ("413", "The body is too large (`PAYLOAD_TOO_LARGE`)"),
            ("429", "Too many new alerts in a short time (`RATE_LIMITED`); see `Retry-After`"),
        ]
        .map(|(status, description)| (status.to_owned(), problem_response(description)))
        .into()
    }
}

/// Creates a price alert
///
/// It fires at the first published price that meets its condition, or within about a second if the current price meets
/// it already. A stale price never fires it; a degraded price only with `fireOnDegraded`. It is delivered on `user:SUB`
/// as `price-alert` until it is acknowledged. Repeating a request with the same `Idempotency-Key` and body never
/// creates a second alert.
///
/// Codes with status 400: `INVALID_TOKEN`, `INVALID_CONDITION`, `INVALID_THRESHOLD`, `INVALID_REPEAT`,
/// `INVALID_HYSTERESIS`, `INVALID_NOTE`, `INVALID_IDEMPOTENCY_KEY`, and `BAD_REQUEST` for any other malformed body.
/// With 404: `UNKNOWN_TOKEN`. With 503: `ALERTS_FULL` if the limit of all users together is reached.
#[utoipa::path(
    post, path = "/api/v1/alerts", tag = "alerts", security(("bearer" = [])), request_body = AlertRequest,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 128 visible ASCII characters"),
        ChainQuery,
    ),
    responses(
        (status = 200, description = "The alert that this key created before", body = Alert),
        (status = 201, description = "The new alert", body = Alert),
        CreationProblems, AuthProblems, Problems
    )
)]
async fn create_alert(
    State(state): SharedApiState,
    Subject(subject): Subject,
    Params(query): Params<ChainQuery>,
    headers: HeaderMap,
    Body(request): Body<AlertRequest>,
) -> Result<Response, Problem> {
    state.chain(query.chain)?;
    let config = &state.config.alerts;
    let new = NewAlert {
        key: idempotency_key(&headers)?,
        ..validate(subject, request, config)?
    };
    if !state.store.is_tracked(&new.token).await? {
        return Err(Problem::unknown_token(format!(
            "{} is not tracked; /api/v1/tokens lists the tracked tokens",
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
        Creation::Created(row) => (StatusCode::CREATED, row),
        Creation::Existing(row) => (StatusCode::OK, row),
        Creation::KeyReused => {
            return Err(Problem::conflict(
                Code::IdempotencyKeyReused,
                "this Idempotency-Key was used for a different alert, or for one that was deleted since; use a new key",
            ));
        }
        Creation::TooMany => {
            return Err(Problem::conflict(
                Code::TooManyAlerts,
                format!(
                    "the limit of {} active alerts per user is reached; delete some",
                    config.per_user
                ),
            ));
        }
        Creation::TooOften { retry_after_ms } => {
            return Err(Problem::rate_limited(
                retry_after_ms,
                format!(
                    "a user may create {} alerts in {} ms; retry in {retry_after_ms} ms",
                    config.creations, config.rate_window_ms
                ),
            ));
        }
        Creation::Full => {
            return Err(Problem::limit_reached(
                Code::AlertsFull,
                "the limit of alerts of all users together is reached",
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
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertsQuery {
    /// EIP-155 id of a configured chain; does not affect the result.
    chain: Option<u64>,
    /// Only alerts for this token.
    token: Option<String>,
    /// `true`: only alerts that can still fire; `false`: only those that cannot.
    active: Option<bool>,
    /// Alerts per page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// The user's price alerts, newest first
#[utoipa::path(
    get, path = "/api/v1/alerts", tag = "alerts", security(("bearer" = [])), params(AlertsQuery),
    responses((status = 200, description = "A page of alerts", body = Page<Alert>), AuthProblems, Problems)
)]
async fn list_alerts(
    State(state): SharedApiState,
    Subject(subject): Subject,
    Params(query): Params<AlertsQuery>,
) -> Result<Json<Page<Alert>>, Problem> {
    state.chain(query.chain)?;
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
    params(("id" = i64, Path), ChainQuery),
    responses((status = 200, description = "The alert", body = Alert), AuthProblems, Problems)
)]
async fn read_alert(
    State(state): SharedApiState,
    Subject(subject): Subject,
    segment: Segment,
    Params(query): Params<ChainQuery>,
) -> Result<Json<Alert>, Problem> {
    state.chain(query.chain)?;
    let id = segment.id()?;
    let row = state.store.read_alert(&subject, id).await?;
    row.map(|row| Json(Alert::from(row)))
        .ok_or_else(|| missing(id))
}

/// Deletes one of the user's price alerts
///
/// It does not fire after the response is sent. Its earlier deliveries stay until they are acknowledged.
#[utoipa::path(
    delete, path = "/api/v1/alerts/{id}", tag = "alerts", security(("bearer" = [])),
    params(("id" = i64, Path), ChainQuery),
    responses((status = 204, description = "Deleted"), AuthProblems, Problems)
)]
async fn delete_alert(
    State(state): SharedApiState,
    Subject(subject): Subject,
    segment: Segment,
    Params(query): Params<ChainQuery>,
) -> Result<StatusCode, Problem> {
    state.chain(query.chain)?;
    let id = segment.id()?;
    match state.store.delete_alert(&subject, id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(id)),
    }
}

/// Alerts of other users get the same response as ids that never existed.
fn missing(id: i64) -> Problem {
    Problem::not_found(format!("you have no alert {id}"))
}
