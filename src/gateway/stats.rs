//! `GET /api/v1/stats`: who is connected and what they listen to.

mod census;
mod filter;

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder},
};

pub use self::filter::Filter;

use self::census::Counted;
use super::{
    auth::{AuthError, bearer_token},
    context::Context,
    encode::Transport,
    problem::Problem,
};

/// Channels in an answer when the request does not say, and at most.
const DEFAULT_LIMIT: usize = 100;
const MOST_CHANNELS: usize = 1_000;

/// Sessions and subscriptions of this process.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Since the gateway began, in ms.
    uptime_ms: u64,
    sessions: SessionCounts,
    /// Subscriptions of all sessions to all channels.
    subscriptions: usize,
    backlog: BacklogCounts,
    /// Channels with at least one subscription that the filter takes, whether listed or not.
    channels_total: usize,
    /// Of these, those with the most subscribers, as many as asked for.
    channels: Vec<ChannelCount>,
}

/// What waits to be sent, measured within the last second or so.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BacklogCounts {
    /// Of all sessions.
    bytes: u64,
    /// Bytes of the session with the most.
    largest_bytes: u64,
    /// Sessions for which anything waits.
    sessions: u64,
}

/// Open sessions by transport.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionCounts {
    total: usize,
    websocket: usize,
    socketio: usize,
    sse: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelCount {
    /// Canonical name, such as `price:ETH`.
    channel: String,
    subscribers: usize,
    modes: ModeCounts,
    /// Of the newest update that this process has seen; null where that is not known, 0 where there is none.
    seq: Option<u64>,
    /// Updates that came since the channel is in this process's memory.
    updates: u64,
    /// Messages queued for subscribers as these came; neither snapshots nor replays.
    messages: u64,
}

/// The subscriptions of a channel by what they get.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModeCounts {
    /// Every update.
    all: usize,
    /// The newest, at once.
    latest: usize,
    /// The newest, at most once an interval.
    interval: usize,
    /// Still being sent what they missed.
    replaying: usize,
}

impl From<Counted> for ChannelCount {
    fn from(counted: Counted) -> Self {
        let [all, latest, interval] = counted.attached;
        Self {
            channel: counted.name.plain.clone(),
            subscribers: counted.subscribers,
            modes: ModeCounts {
                all,
                latest,
                interval,
                replaying: counted.subscribers.saturating_sub(all + latest + interval),
            },
            seq: counted.seq,
            updates: counted.published,
            messages: counted.delivered,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    token: Option<String>,
    channel: Option<String>,
    limit: Option<usize>,
}

/// The problems a request can end in, for the OpenAPI description. Their schema, and the scheme that `security`
/// names, are described with the rest of REST.
struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        [
            ("400", "The query is not valid"),
            ("401", "A token is needed, or the one given is not valid"),
            ("403", "The token lacks the role `admin`"),
        ]
        .map(|(status, description)| {
            let content = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .build();
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/problem+json", content)
                .build();
            (status.to_owned(), response.into())
        })
        .into()
    }
}

/// Sessions, channels and their subscriber counts.
#[utoipa::path(
    get,
    path = "/api/v1/stats",
    tag = "gateway",
    security((), ("bearer" = [])),
    params(
        ("channel" = Option<String>, Query, description = "One channel by its name, or those that begin alike: `price:*`"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "Most channels listed, 100 by default"),
        ("token" = Option<String>, Query, description = "A token, instead of the Authorization header"),
    ),
    responses(
        (status = 200, description = "What this process serves now", body = Stats),
        Refusals,
    )
)]
pub async fn show(
    State(context): State<Context>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let parameters = match parameters {
        Ok(Query(parameters)) => parameters,
        // It may tell a name back that is as long as the client likes.
        Err(rejection) => {
            let text: String = rejection.body_text().chars().take(300).collect();
            return Problem::bad_request(text).into_response();
        }
    };
    if !context.config().public_stats
        && let Err(problem) = require_admin(&context, &headers, parameters.token.as_deref()).await
    {
        return problem.into_response();
    }
    let limit = parameters.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MOST_CHANNELS).contains(&limit) {
        let detail = format!("limit must be 1 to {MOST_CHANNELS}");
        return Problem::bad_request(detail).into_response();
    }
    let (hub, filter) = (context.hub(), Filter::new(parameters.channel.as_deref()));
    let (census, backlog) = (hub.census(&filter, limit), hub.backlog());
    let [websocket, socketio, sse] = hub.session_counts();
    debug_assert_eq!(
        Transport::ALL,
        [Transport::WebSocket, Transport::SocketIo, Transport::Sse]
    );
    let stats = Stats {
        uptime_ms: hub.clock_ms(),
        sessions: SessionCounts {
            total: websocket + socketio + sse,
            websocket,
            socketio,
            sse,
        },
        subscriptions: census.subscriptions,
        backlog: BacklogCounts {
            bytes: backlog.bytes,
            largest_bytes: backlog.largest,
            sessions: backlog.sessions,
        },
        channels_total: census.matching,
        channels: census
            .channels
            .into_iter()
            .map(ChannelCount::from)
            .collect(),
    };
    Json(stats).into_response()
}

async fn require_admin(
    context: &Context,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<(), Problem> {
    let token = bearer_token(headers).or(query).unwrap_or_default();
    let identity = context
        .authenticator()
        .verify(token)
        .await
        .map_err(|error| match error {
            AuthError::Missing => Problem::new(
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "statistics need a token with the role admin, or gateway.public_stats = true",
            ),
            other => Problem::from(&other),
        })?;
    if !identity.is_admin() {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "FORBIDDEN",
            "statistics need a token with the role admin",
        ));
    }
    Ok(())
}
