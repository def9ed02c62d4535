//! `/channels/{channel}/updates`: stored messages of a live channel, to catch up to a seq.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header::AUTHORIZATION},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    ApiState, Routes, SharedApiState,
    error::{Problem, Problems, shortened},
    extract::{Params, Segment},
    page::{self, List},
};
use chaincast_protocol::{Channel, Update, channel::Requirement};
use chaincast_rooms::JoinRule;
use chaincast_store::{StoreError, updates::Extent};

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(list_updates))
}

/// A message as sent by the live channel over WebSocket.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Message {
    #[schema(examples("price-update"))]
    event: String,
    #[schema(examples("price:ETH"))]
    channel: String,
    seq: u64,
    /// The event's data, with all published digits; its schema depends on the event, see docs/asyncapi.yaml.
    #[schema(value_type = Object, examples(json!({
        "token": "ETH", "price": 3456.12, "timestamp": 1_790_000_000_000_i64, "quote": "USD", "confidence": 0.42,
        "sources": ["chainlink", "uniswap-v2"], "ageMs": 120, "status": "ok", "details": [
            {"source": "chainlink", "ageMs": 5_120, "block": {"chainId": 1, "number": 21_000_000}, "outlier": false},
            {"source": "uniswap-v2", "ageMs": 120, "block": {"chainId": 1, "number": 21_000_001}, "outlier": false}
        ]
    })))]
    data: Box<RawValue>,
}

impl Message {
    fn new(update: &Update) -> Result<Self, StoreError> {
        let data = RawValue::from_string(update.data.to_string()).map_err(|error| {
            StoreError::Corrupt {
                what: "update",
                reason: error.to_string(),
            }
        })?;
        Ok(Self {
            event: update.event.to_string(),
            channel: update.channel.to_string(),
            seq: update.seq,
            data,
        })
    }
}

/// Messages of one channel in order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Updates {
    data: Vec<Message>,
    /// Pass it as `cursor` to get the next page; `null` if this page reaches the newest update.
    #[schema(required)]
    next: Option<String>,
    /// The epoch of the seqs: pass it when subscribing with `since`.
    #[schema(examples("k3f9x2a1b0"))]
    epoch: String,
    /// The channel's newest seq at the time of this response; 0 if nothing was published yet.
    seq: u64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UpdatesQuery {
    /// EIP-155 id: with `new-block`, the chain of the blocks.
    chain: Option<u64>,
    /// Only updates after this seq. Defaults to all stored updates.
    #[param(example = 0)]
    since: Option<u64>,
    /// The epoch of `since`; if it differs from the database's, the response is `GONE`.
    epoch: Option<String>,
    /// Updates per page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the previous page; `since` is then ignored.
    cursor: Option<String>,
}

/// Messages of a live channel, oldest first
///
/// Read up to the newest seq, then subscribe with the last seq as `since`: the live stream continues with the next one.
#[utoipa::path(
    get, path = "/api/v1/channels/{channel}/updates", tag = "channels",
    params(
        ("channel" = String, Path, example = "new-block",
         description = "`new-block`, `new-block:CHAIN_ID`, `price:TOKEN`, `candle:TOKEN:INTERVAL`, \
              `contract:NAME[:EVENT]`, `announcements`, `room:NAME`, `tx:HASH` or `address:ADDRESS`, case-insensitive. \
              The last two are stored only while a client is subscribed; this request does not start a watch. A room \
              requires a JWT that may join it, unless anyone may"),
        UpdatesQuery,
    ),
    responses(
        (status = 200, description = "A page of messages, as sent by the channel", body = Updates),
        (status = 401, description = "The room requires a JWT (`UNAUTHORIZED`, `TOKEN_EXPIRED`)",
         content_type = "application/problem+json", body = super::error::ProblemDocument),
        (status = 403, description = "The channel is private, or the JWT does not allow it (`FORBIDDEN`)", content_type = "application/problem+json",
         body = super::error::ProblemDocument),
        (status = 410, description = "The updates after `since` are no longer stored, or belong to another epoch \
             (`GONE`); `oldest` and `newest` are the stored range", content_type = "application/problem+json",
         body = super::error::ProblemDocument),
        Problems
    )
)]
async fn list_updates(
    State(state): SharedApiState,
    Segment(name): Segment,
    Params(query): Params<UpdatesQuery>,
    headers: HeaderMap,
) -> Result<Json<Updates>, Problem> {
    let channel = channel(&state, &name, query.chain)?;
    check_room(&state, &channel, &headers).await?;
    let limit = page::limit(query.limit, &state.config)?;
    let epoch = state.store.epoch();
    let list = List::new(format!("updates/{epoch}/{channel}"));
    let after = list
        .position(query.cursor.as_deref())?
        .and_then(|[seq]| u64::try_from(seq).ok());

    let stored = state.store.channel_extent(&channel).await?;
    if stored.newest == 0
        && let Some(reason) = missing(&state, &channel).await?
    {
        return Err(unknown(&name, reason));
    }
    if query.epoch.as_deref().is_some_and(|given| given != epoch) {
        return Err(Problem::gone(
            "epoch",
            format!(
                "the epoch of the database is {epoch}; seqs of another epoch are not valid; omit epoch and since to \
                 start again"
            ),
            stored.oldest,
            stored.newest,
        ));
    }
    let since = after.or(query.since).unwrap_or(stored.oldest - 1);
    if since > stored.newest {
        return Err(Problem::gone(
            "since",
            format!(
                "the newest seq of {channel} is {}, so seq {since} is from another database; start again without since",
                stored.newest
            ),
            stored.oldest,
            stored.newest,
        ));
    }
    let updates = state
        .store
        .updates_between(&channel, since, stored.newest, limit)
        .await?;
    let first = updates
        .first()
        .map_or(stored.newest + 1, |update| update.seq);
    if first != since + 1 {
        return Err(pruned(&channel, since, first, stored));
    }
    let last = updates.last().map_or(since, |update| update.seq);
    Ok(Json(Updates {
        data: updates.iter().map(Message::new).collect::<Result<_, _>>()?,
        next: (last < stored.newest).then(|| list.cursor([last as i64])),
        epoch: epoch.to_owned(),
        seq: stored.newest,
    }))
}

/// Parses the name of a channel whose updates are stored for everyone.
fn channel(state: &ApiState, name: &str, chain: Option<u64>) -> Result<Channel, Problem> {
    let first = state.chain(None)?;
    let chain = state.chain(chain)?;
    let channel: Channel = match name.parse() {
        Ok(channel) => channel,
        Err(error) => return Err(Problem::unknown_channel(format!("{error}"))),
    };
    let channel = channel.on_chain(chain).canonical(first);
    if channel.is_private() {
        return Err(Problem::forbidden(format!(
            "{} channels are private: subscribe over the gateway with a JWT of that subject",
            channel.kind().prefix
        )));
    }
    if !channel.has_position() {
        return Err(unknown(name, "its messages are sent live only"));
    }
    match channel.requirement() {
        Requirement::Chain(Some(id)) if !state.chains.contains(&id) => {
            Err(unknown(name, "the chain is not indexed here"))
        }
        _ => Ok(channel),
    }
}

/// Checks that the room exists, and that the client may join it.
async fn check_room(
    state: &ApiState,
    channel: &Channel,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let Channel::Room(name) = channel else {
        return Ok(());
    };
    let room = state
        .messaging
        .as_ref()
        .and_then(|all| all.rooms.find(name));
    let Some(room) = room else {
        return Err(unknown(name, "this server has no such room"));
    };
    if room.join == JoinRule::Anyone && !headers.contains_key(AUTHORIZATION) {
        return Ok(());
    }
    let client = state.authenticate(headers).await?;
    match client.can_join(channel, room.join) {
        true => Ok(()),
        false => Err(Problem::forbidden(format!(
            "the token does not allow {channel}"
        ))),
    }
}

/// What the deployment lacks, so that a channel without updates does not exist.
async fn missing(state: &ApiState, channel: &Channel) -> Result<Option<&'static str>, StoreError> {
    let (exists, reason) = match channel.requirement() {
        Requirement::Token(token) => (
            state.store.is_tracked(token).await?,
            "the token is not tracked",
        ),
        Requirement::Contract(contract, event) => (
            state.store.has_contract_event(contract, event).await?,
            "the contract or event does not exist; /api/v1/contracts lists them",
        ),
        // Indexed chains are checked before; others' updates may be published at any time.
        Requirement::Chain(_)
        | Requirement::Transactions
        | Requirement::Room(_)
        | Requirement::Nothing => {
            return Ok(None);
        }
    };
    Ok((!exists).then_some(reason))
}

fn unknown(name: &str, reason: &str) -> Problem {
    Problem::unknown_channel(format!(
        "channel {:?} has no stored updates: {reason}",
        shortened(name)
    ))
}

fn pruned(channel: &Channel, since: u64, first: u64, stored: Extent) -> Problem {
    Problem::gone(
        "since",
        format!(
            "updates {} to {} of {channel} are no longer stored; the oldest is {first}: start again, or from since={}",
            since + 1,
            first - 1,
            first - 1
        ),
        first,
        stored.newest,
    )
}
