//! `GET /api/v1/stats`: who is connected and what they listen to.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoResponses, Modify, ToSchema,
    openapi::{
        self, ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    auth::{AuthError, bearer_token},
    context::Context,
    encode::Transport,
    problem::Problem,
};

/// Sessions and subscriptions of this process.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats {
    sessions: SessionCounts,
    /// Channels with at least one subscription, by name.
    channels: Vec<ChannelCount>,
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
}

#[derive(Deserialize)]
pub struct Parameters {
    token: Option<String>,
}

/// The scheme that `security` names, for the OpenAPI description.
pub struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The problems a token can end in, for the OpenAPI description. The schema is described with the rest of REST.
struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        [
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
    params(("token" = Option<String>, Query, description = "A token, instead of the Authorization header")),
    responses(
        (status = 200, description = "What this process serves now", body = Stats),
        Refusals,
    )
)]
pub async fn show(
    State(context): State<Context>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    if !context.config().public_stats
        && let Err(problem) = require_admin(&context, &headers, parameters.token.as_deref()).await
    {
        return problem.into_response();
    }
    let [websocket, socketio, sse] = context.hub().session_counts();
    debug_assert_eq!(
        Transport::ALL,
        [Transport::WebSocket, Transport::SocketIo, Transport::Sse]
    );
    let stats = Stats {
        sessions: SessionCounts {
            total: websocket + socketio + sse,
            websocket,
            socketio,
            sse,
        },
        channels: context
            .hub()
            .subscriber_counts()
            .into_iter()
            .map(|(channel, subscribers)| ChannelCount {
                channel,
                subscribers,
            })
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
