//! Help texts of the gateway's metrics, and the initial zeros of its counters.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

use super::refusal_reason::REASONS;
use chaincast_protocol::{ErrorCode, encode::Transport};

/// Close codes of sessions.
const CODES: [&str; 11] = [
    "1000", "1001", "1002", "1006", "1007", "1009", "4000", "4008", "4029", "4401", "4403",
];

const ERRORS: [ErrorCode; 11] = [
    ErrorCode::BadRequest,
    ErrorCode::UnknownEvent,
    ErrorCode::UnknownChannel,
    ErrorCode::Unauthorized,
    ErrorCode::Forbidden,
    ErrorCode::RateLimited,
    ErrorCode::TooManySubscriptions,
    ErrorCode::RoomFull,
    ErrorCode::PayloadTooLarge,
    ErrorCode::TokenExpired,
    ErrorCode::Internal,
];

/// Initializes labeled counters with 0: a rate over a counter that appears with its first event misses that event.
pub(super) fn initialize_counters() {
    for code in CODES {
        counter!("chaincast_gateway_closed_total", "code" => code).increment(0);
    }
    for code in ERRORS {
        counter!("chaincast_gateway_requests_refused_total", "code" => code.as_str()).increment(0);
    }
    for transport in Transport::ALL {
        for reason in REASONS {
            counter!(
                "chaincast_gateway_handshakes_refused_total",
                "transport" => transport.name(),
                "reason" => reason
            )
            .increment(0);
        }
    }
}

pub(super) fn describe() {
    describe_gauge!("chaincast_gateway_sessions", "Open sessions, by transport");
    describe_gauge!(
        "chaincast_gateway_subscriptions",
        "Subscriptions of all sessions, by kind of channel"
    );
    describe_counter!(
        "chaincast_gateway_messages_in_total",
        "Requests received, by event"
    );
    describe_counter!(
        "chaincast_gateway_bytes_in_total",
        Unit::Bytes,
        "Bytes received by sessions"
    );
    describe_counter!(
        "chaincast_gateway_messages_out_total",
        "Messages written to sockets"
    );
    describe_counter!(
        "chaincast_gateway_bytes_out_total",
        Unit::Bytes,
        "Bytes written to sockets"
    );
    describe_counter!(
        "chaincast_gateway_send_errors_total",
        "Writes that failed because the connection was broken"
    );
    describe_gauge!(
        "chaincast_gateway_backlog_bytes",
        Unit::Bytes,
        "Bytes queued for all sessions"
    );
    describe_gauge!(
        "chaincast_gateway_backlog_largest_bytes",
        Unit::Bytes,
        "Bytes queued for the session with the largest backlog"
    );
    describe_gauge!(
        "chaincast_gateway_backlog_sessions",
        "Sessions with a backlog"
    );
    describe_counter!(
        "chaincast_gateway_backlog_closed_total",
        "Sessions closed because the backlog of all sessions exceeded its limit"
    );
    describe_counter!(
        "chaincast_gateway_closed_total",
        "Ended sessions, by close code"
    );
    describe_counter!(
        "chaincast_gateway_conflated_total",
        "Updates replaced by newer ones because a session was slow"
    );
    describe_counter!(
        "chaincast_gateway_requests_refused_total",
        "Refused requests, by error code"
    );
    describe_counter!(
        "chaincast_gateway_rate_limited_total",
        "Requests beyond a session's rate limit"
    );
    describe_counter!(
        "chaincast_gateway_handshakes_refused_total",
        "Refused handshakes, by transport and reason"
    );
    describe_counter!(
        "chaincast_gateway_resumes_total",
        "Subscriptions with a position, by where the missed updates were found"
    );
    describe_counter!(
        "chaincast_gateway_watches_refused_total",
        "Refused watches of transactions and addresses, by the exceeded limit"
    );
    describe_histogram!(
        "chaincast_gateway_fanout_seconds",
        Unit::Seconds,
        "Time from a commit to the last socket write of the flush round that sent it"
    );
}
