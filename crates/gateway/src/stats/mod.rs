//! `GET /api/v1/stats`: sessions, subscriptions and backlog of this process.

mod filter;
mod top_channels;

use std::{collections::BTreeMap, sync::Arc};

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

use self::top_channels::ChannelStats;
pub(crate) use self::{filter::Filter, top_channels::top_channels};
use crate::{
    auth::{AuthError, Authenticator, bearer_token},
    clock::Clock,
    hub::Hub,
    transport::problem::Problem,
    upkeep::BacklogMonitor,
};
use chaincast_http::problem::PROBLEM_JSON;
use chaincast_protocol::{ErrorCode, encode::Transport};

/// Channels listed by default, and the maximum.
const DEFAULT_LIMIT: usize = 100;
const MAX_CHANNELS: usize = 1_000;

/// Where the statistics come from, and who may read them.
#[derive(Clone)]
pub(crate) struct StatsSource {
    pub hub: Hub,
    pub backlog: Arc<BacklogMonitor>,
    pub clock: Clock,
    pub authenticator: Arc<Authenticator>,
    /// Without a JWT of an administrator.
    pub is_public: bool,
}

/// Sessions and subscriptions of this process.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    /// Time since the gateway started, in ms.
    uptime_ms: u64,
    sessions: SessionCounts,
    /// Subscriptions of all sessions to all channels.
    subscriptions: usize,
    backlog: BacklogCounts,
    /// Number of channels with at least one subscription that match the filter, listed or not.
    channels_total: usize,
    /// The matching channels with the most subscribers, at most `limit`.
    channels: Vec<ChannelCount>,
}

/// Bytes queued for sessions, measured within about the last second.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BacklogCounts {
    /// Bytes queued for all sessions.
    bytes: u64,
    /// Bytes queued for the session with the largest backlog.
    largest_bytes: u64,
    /// Sessions with a backlog.
    sessions: u64,
}

/// Open sessions by transport.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionCounts {
    total: usize,
    websocket: usize,
    socketio: usize,
    sse: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelCount {
    /// Canonical name, such as `price:ETH`.
    channel: String,
    subscribers: usize,
    modes: ModeCounts,
    /// Seq of the newest update that this process has seen; null when unknown, 0 when the channel never had one.
    seq: Option<u64>,
    /// Updates published since the channel is in this process's memory.
    updates: u64,
    /// Live messages queued for subscribers in that time, without snapshots and replays.
    messages: u64,
}

/// The subscriptions of a channel by mode.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModeCounts {
    /// Receive every update.
    all: usize,
    /// Receive the newest update, without an interval.
    latest: usize,
    /// Receive the newest update at most once per interval.
    interval: usize,
    /// Still receive missed updates.
    replaying: usize,
}

impl From<ChannelStats> for ChannelCount {
    fn from(counted: ChannelStats) -> Self {
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
pub(crate) struct Parameters {
    token: Option<String>,
    channel: Option<String>,
    limit: Option<usize>,
}

/// The problem responses, for the OpenAPI description. Their schema and the security scheme are defined with the rest of
/// the REST API.
struct ProblemResponses;

impl IntoResponses for ProblemResponses {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        [
            ("400", "The query is not valid"),
            ("401", "The JWT is missing or not valid"),
            ("403", "The JWT lacks the role `admin`"),
        ]
        .map(|(status, description)| {
            let content = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .build();
            let response = ResponseBuilder::new()
                .description(description)
                .content(PROBLEM_JSON, content)
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
        ("channel" = Option<String>, Query, description = "A channel name, or a prefix followed by `*`, such as `price:*`"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "Maximum number of channels listed, 100 by default"),
        ("token" = Option<String>, Query, description = "The JWT, instead of the Authorization header"),
    ),
    responses(
        (status = 200, description = "Current sessions, subscriptions and backlog of this process", body = Stats),
        ProblemResponses,
    )
)]
pub(crate) async fn show(
    State(source): State<StatsSource>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let parameters = match parameters {
        Ok(Query(parameters)) => parameters,
        // The text may repeat a parameter name of any length.
        Err(rejection) => {
            let text: String = rejection.body_text().chars().take(300).collect();
            return Problem::malformed(text).into_response();
        }
    };
    if !source.is_public {
        let authenticator = &source.authenticator;
        let token = parameters.token.as_deref();
        if let Err(problem) = require_admin(authenticator, &headers, token).await {
            return problem.into_response();
        }
    }
    let limit = parameters.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_CHANNELS).contains(&limit) {
        let detail = format!("limit must be 1 to {MAX_CHANNELS}");
        return Problem::malformed(detail).into_response();
    }
    let filter = Filter::new(parameters.channel.as_deref());
    let top = top_channels(&source.hub, &filter, limit);
    let backlog = source.backlog.last();
    let [websocket, socketio, sse] = source.hub.session_counts();
    debug_assert_eq!(
        Transport::ALL,
        [Transport::WebSocket, Transport::SocketIo, Transport::Sse]
    );
    let stats = Stats {
        uptime_ms: source.clock.ms(),
        sessions: SessionCounts {
            total: websocket + socketio + sse,
            websocket,
            socketio,
            sse,
        },
        subscriptions: top.subscriptions,
        backlog: BacklogCounts {
            bytes: backlog.bytes,
            largest_bytes: backlog.largest,
            sessions: backlog.sessions,
        },
        channels_total: top.matching,
        channels: top.channels.into_iter().map(ChannelCount::from).collect(),
    };
    Json(stats).into_response()
}

async fn require_admin(
    authenticator: &Authenticator,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<(), Problem> {
    let token = bearer_token(headers).or(query).unwrap_or_default();
    let identity = authenticator
        .verify(token)
        .await
        .map_err(|error| match error {
            AuthError::Missing => Problem::new(
                StatusCode::UNAUTHORIZED,
                ErrorCode::Unauthorized.as_str(),
                "statistics need a JWT with the role admin, or gateway.public_stats = true",
            ),
            other => Problem::from(&other),
        })?;
    if !identity.is_admin() {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            ErrorCode::Forbidden.as_str(),
            "statistics need a JWT with the role admin",
        ));
    }
    Ok(())
}
