//! `/alerts/deliveries`: fired alerts, until their user acknowledges them.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    Routes, SharedApiState,
    alert_schema::Side,
    blocks::ChainQuery,
    error::{Problem, Problems},
    extract::{Body, Params},
    page::{self, List, Page},
    subject::{AuthProblems, Subject},
    wire::Decimal,
};
use chaincast_protocol::{AlertCondition, PriceAlert, PriceStatus};

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_deliveries))
        .routes(routes!(acknowledge_deliveries))
}

/// A fired alert, as sent in `price-alert` on `user:SUB`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delivery {
    /// Id of the delivery, for its acknowledgement.
    id: i64,
    alert_id: i64,
    token: String,
    #[schema(value_type = Side)]
    condition: AlertCondition,
    /// In USD.
    threshold: Decimal,
    /// The price that fired it, in USD.
    price: Decimal,
    /// Status of that price.
    #[schema(value_type = Trust)]
    status: PriceStatus,
    #[schema(required)]
    note: Option<String>,
    /// When it fired, in ms since the Unix epoch.
    timestamp: i64,
}

/// Status of the price that fired an alert. `degraded` only for an alert with `fireOnDegraded`.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes the status of the model to OpenAPI")]
enum Trust {
    Ok,
    Degraded,
}

impl From<PriceAlert> for Delivery {
    fn from(fired: PriceAlert) -> Self {
        Self {
            id: fired.id,
            alert_id: fired.alert_id,
            token: fired.token.to_string(),
            condition: fired.condition,
            threshold: Decimal(fired.threshold),
            price: Decimal(fired.price),
            status: fired.status,
            note: fired.note.as_deref().map(str::to_owned),
            timestamp: fired.timestamp,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// EIP-155 id of a configured chain; does not affect the result.
    chain: Option<u64>,
    /// Deliveries per page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Unacknowledged alert deliveries, newest first
#[utoipa::path(
    get, path = "/api/v1/alerts/deliveries", tag = "alerts", security(("bearer" = [])), params(DeliveriesQuery),
    responses((status = 200, description = "A page of deliveries", body = Page<Delivery>), AuthProblems, Problems)
)]
async fn list_deliveries(
    State(state): SharedApiState,
    Subject(subject): Subject,
    Params(query): Params<DeliveriesQuery>,
) -> Result<Json<Page<Delivery>>, Problem> {
    state.chain(query.chain)?;
    let limit = page::limit(query.limit, &state.config)?;
    let list = List::new(format!("deliveries/{subject}"));
    let before = list.position(query.cursor.as_deref())?.map(|[id]| id);
    let rows = state
        .store
        .read_deliveries(&subject, before, limit + 1)
        .await?;
    Ok(Json(list.page(rows, limit, |row| [row.id], Delivery::from)))
}

/// Deliveries to acknowledge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acknowledgement {
    /// Ids of deliveries. Ids of other users, or acknowledged before, are ignored.
    ids: Vec<i64>,
}

/// The result of an acknowledgement.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Acknowledged {
    /// Number of deliveries acknowledged by this request.
    acknowledged: u64,
}

/// Acknowledges alert deliveries, for all of the user's devices
#[utoipa::path(
    post, path = "/api/v1/alerts/deliveries/ack", tag = "alerts", security(("bearer" = [])),
    params(ChainQuery), request_body = Acknowledgement,
    responses((status = 200, description = "Acknowledged; the deliveries are not sent again", body = Acknowledged), AuthProblems, Problems)
)]
async fn acknowledge_deliveries(
    State(state): SharedApiState,
    Subject(subject): Subject,
    Params(query): Params<ChainQuery>,
    Body(given): Body<Acknowledgement>,
) -> Result<Json<Acknowledged>, Problem> {
    state.chain(query.chain)?;
    let most = state.config.alerts.acknowledged_ids;
    if given.ids.len() > most {
        return Err(Problem::bad_parameter(
            "ids",
            format!(
                "{} ids in one request; at most {most} are allowed",
                given.ids.len()
            ),
        ));
    }
    let acknowledged = state.store.acknowledge(&subject, &given.ids).await?;
    Ok(Json(Acknowledged { acknowledged }))
}
