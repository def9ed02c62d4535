//! `connected`, the first event of every session.

use chaincast_protocol::{
    control::{Connected, to_json},
    encode::{self, Packet},
    now_ms,
};

use super::user::user;
use crate::{config::GatewayConfig, session::Session};

/// The event for a client with this public id.
pub(super) fn connected(
    session: &Session,
    id: &str,
    epoch: &str,
    config: &GatewayConfig,
) -> Packet {
    let connected = Connected {
        client_id: id.to_owned(),
        epoch: epoch.to_owned(),
        ping_interval: config.ping_interval_ms,
        ping_timeout: config.ping_timeout_ms,
        server_time: now_ms(),
        user: session.identity().map(|identity| user(&identity)),
    };
    encode::event(session.wire(), Connected::EVENT, &to_json(&connected))
}
