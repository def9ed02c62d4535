//! `POST /publish`: messages of backends to rooms, to users, and to all.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{ToSchema, openapi::RefOr};
use utoipa_axum::routes;

use super::{
    Routes, SharedApiState,
    blocks::ChainQuery,
    error::{Problem, Problems, problem_response, shortened},
    extract::{Body, Params},
    messaging::Messaging,
    subject::{AuthProblems, Authenticated},
    token_verifier::Client,
};
use chaincast_protocol::{Channel, MessageKey, MessageType, Payload};
use chaincast_rooms::{NewMessage, Outgoing, Sender};

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(publish))
}

/// Longest body: as many channels as are allowed by default, and a payload.
const MAX_BODY: usize = 1 << 20;

/// A message to publish.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Publication {
    /// `room:NAME`, `user:SUBJECT` or `announcements`.
    #[schema(examples("user:alice"))]
    channel: Option<String>,
    /// Instead of `channel`: several of them, which get the message in one transaction.
    channels: Option<Vec<String>>,
    /// What the message is to the application: 1 to 64 bytes.
    #[serde(rename = "type")]
    #[schema(value_type = String, examples("order-shipped"))]
    message_type: MessageType,
    /// Any JSON value; `null` by default.
    #[serde(default)]
    #[schema(value_type = Object)]
    payload: Payload,
    /// 1 to 128 bytes. The same key of the same subject within 24 hours publishes to each channel once: the response then has
    /// the `seq` of the first message.
    #[schema(value_type = Option<String>)]
    key: Option<MessageKey>,
}

/// Where a message was published.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PublishedMessage {
    /// In canonical form.
    channel: String,
    /// The position of the message in the channel.
    seq: u64,
}

/// The positions of a published message.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PublishedMessages {
    /// In the order of the request.
    data: Vec<PublishedMessage>,
}

/// Problem responses of publishing, for the OpenAPI description.
struct PublishProblems;

impl utoipa::IntoResponses for PublishProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        [
            ("413", "The body or the payload is too large (`PAYLOAD_TOO_LARGE`)"),
            (
                "429",
                "Too many messages to a room in a short time, or too many wait to be stored (`RATE_LIMITED`); see \
                 `Retry-After`",
            ),
        ]
        .map(|(status, description)| (status.to_owned(), problem_response(description)))
        .into()
    }
}

/// Publishes a message to rooms, users or all
///
/// It requires the role `publisher` or `admin`; `publish` of the JWT, if present, must name each channel. `from` of the
/// message is the subject of the JWT. All channels get it, or none.
#[utoipa::path(
    post, path = "/api/v1/publish", tag = "messages", security(("bearer" = [])), params(ChainQuery),
    request_body = Publication,
    responses(
        (status = 200, description = "Stored; subscribers receive it now", body = PublishedMessages),
        PublishProblems, AuthProblems, Problems
    )
)]
pub(super) async fn publish(
    State(state): SharedApiState,
    Authenticated(client): Authenticated,
    Params(query): Params<ChainQuery>,
    Body(publication): Body<Publication, MAX_BODY>,
) -> Result<Json<PublishedMessages>, Problem> {
    state.chain(query.chain)?;
    if !client.is_publisher() {
        return Err(Problem::forbidden(
            "publishing over REST requires the role publisher or admin",
        ));
    }
    let messaging = state.messaging()?;
    let names = names(&publication, state.config.publish_channels)?;
    let channels = names
        .iter()
        .map(|name| channel(messaging, &*client, name, &publication.payload))
        .collect::<Result<Vec<_>, _>>()?;
    for (at, channel) in channels.iter().enumerate() {
        if channels[..at].contains(channel) {
            let detail = format!("{channel} is named twice");
            return Err(Problem::bad_parameter("channels", detail));
        }
    }
    for channel in &channels {
        messaging.admit(&Sender::Backend, channel, Instant::now())?;
    }
    let from: Arc<str> = client.subject().into();
    let messages = channels.iter().map(|channel| {
        Outgoing::from(NewMessage {
            channel: channel.clone(),
            from: from.clone(),
            message_type: publication.message_type.clone(),
            payload: publication.payload.clone(),
            key: publication.key.clone(),
        })
    });
    let published = messaging.writer.publish_all(messages.collect()).await?;
    let data = channels.iter().zip(published);
    Ok(Json(PublishedMessages {
        data: data
            .map(|(channel, published)| PublishedMessage {
                channel: channel.to_string(),
                seq: published.seq,
            })
            .collect(),
    }))
}

/// The names of `channel` or `channels`, at most `most`.
fn names(publication: &Publication, most: usize) -> Result<Vec<&str>, Problem> {
    match (&publication.channel, &publication.channels) {
        (Some(one), None) => Ok(vec![one]),
        (None, Some(many)) if (1..=most).contains(&many.len()) => {
            Ok(many.iter().map(String::as_str).collect())
        }
        (None, Some(many)) => Err(Problem::bad_parameter(
            "channels",
            format!(
                "{} channels in one request; 1 to {most} are allowed",
                many.len()
            ),
        )),
        _ => Err(Problem::bad_parameter(
            "channel",
            "the body must have either channel or channels",
        )),
    }
}

/// The channel with this name, if the client may publish the payload to it.
fn channel(
    messaging: &Messaging,
    client: &dyn Client,
    name: &str,
    payload: &Payload,
) -> Result<Channel, Problem> {
    let channel = messaging.resolve(name)?;
    let room = messaging.room(&channel);
    if !client.can_publish(&channel, room.map(|room| room.publish)) {
        return Err(Problem::forbidden(format!(
            "the token does not allow publishing to {}",
            shortened(name)
        )));
    }
    messaging.check_size(&channel, payload)?;
    Ok(channel)
}
