//! What moderators do: redact a message of a room, and end the sessions of a user.

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};

use utoipa_axum::routes;

use super::{
    Routes, SharedApiState,
    blocks::ChainQuery,
    error::{Problem, Problems, shortened},
    extract::{Params, Segment},
    subject::{AuthProblems, Authenticated},
    token_verifier::Client,
};
use chaincast_protocol::Channel;
use chaincast_rooms::Redaction;

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(redact_message))
        .routes(routes!(disconnect_user))
}

/// Redacts a message of a room
///
/// It requires the role `moderator` or `admin`. The payload and the key of the message are deleted from the database, and
/// the room gets the event `room-redacted`. Redacting a message again changes nothing.
#[utoipa::path(
    delete, path = "/api/v1/channels/{channel}/updates/{seq}", tag = "messages", security(("bearer" = [])),
    params(
        ("channel" = String, Path, example = "room:lobby", description = "`room:NAME`, case-insensitive"),
        ("seq" = u64, Path, description = "Position of the message"),
        ChainQuery,
    ),
    responses((status = 204, description = "Redacted"), AuthProblems, Problems)
)]
pub(super) async fn redact_message(
    State(state): SharedApiState,
    Authenticated(client): Authenticated,
    segments: Result<Path<(String, String)>, PathRejection>,
    Params(query): Params<ChainQuery>,
) -> Result<StatusCode, Problem> {
    state.chain(query.chain)?;
    require_moderator(&*client)?;
    let Ok(Path((name, seq))) = segments else {
        return Err(Problem::bad_request("the path is not valid UTF-8"));
    };
    let digits = !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit());
    let seq = seq.parse::<u64>().ok().filter(|_| digits).ok_or_else(|| {
        let detail = format!("seq must be a whole number, not {:?}", shortened(&seq));
        Problem::bad_parameter("seq", detail)
    })?;
    let messaging = state.messaging()?;
    let channel = messaging.resolve(&name)?;
    if !matches!(channel, Channel::Room(_)) {
        return Err(Problem::forbidden("only messages of rooms can be redacted"));
    }
    let by = client.subject().into();
    match messaging.writer.redact(channel.clone(), seq, by).await? {
        Redaction::Done(_) | Redaction::Before => Ok(StatusCode::NO_CONTENT),
        Redaction::Missing => Err(Problem::not_found(format!(
            "{channel} has no message {seq}, or no longer stores it"
        ))),
    }
}

/// Ends the sessions of a user
///
/// It requires the role `moderator` or `admin`. Every gateway ends the present sessions of this subject with the close code
/// 4403, within about a second. Its JWTs stay valid, so issue no new ones to keep the user out.
#[utoipa::path(
    delete, path = "/api/v1/users/{sub}/sessions", tag = "messages", security(("bearer" = [])),
    params(("sub" = String, Path, description = "Subject of the user's JWTs, case-sensitive"), ChainQuery),
    responses((status = 204, description = "The sessions end"), AuthProblems, Problems)
)]
pub(super) async fn disconnect_user(
    State(state): SharedApiState,
    Authenticated(client): Authenticated,
    Segment(subject): Segment,
    Params(query): Params<ChainQuery>,
) -> Result<StatusCode, Problem> {
    state.chain(query.chain)?;
    require_moderator(&*client)?;
    let Ok(Channel::User(subject)) = format!("user:{subject}").parse() else {
        return Err(Problem::bad_parameter(
            "sub",
            "a subject has at most 155 bytes and no control characters",
        ));
    };
    let messaging = state.messaging()?;
    state.store.disconnect(&subject).await?;
    (messaging.disconnected)(subject);
    Ok(StatusCode::NO_CONTENT)
}

fn require_moderator(client: &dyn Client) -> Result<(), Problem> {
    match client.is_moderator() {
        true => Ok(()),
        false => Err(Problem::forbidden(
            "this requires the role moderator or admin",
        )),
    }
}
