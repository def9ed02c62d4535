//! What the gateway's metrics say of themselves, and their zeros.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

use crate::gateway::{ErrorCode, encode::Transport, handshakes};

/// Codes that sessions end with.
const CODES: [&str; 10] = [
    "1000", "1001", "1002", "1006", "1007", "1009", "4000", "4008", "4029", "4401",
];

const ERRORS: [ErrorCode; 10] = [
    ErrorCode::BadRequest,
    ErrorCode::UnknownEvent,
    ErrorCode::UnknownChannel,
    ErrorCode::Unauthorized,
    ErrorCode::Forbidden,
    ErrorCode::RateLimited,
    ErrorCode::TooManySubscriptions,
    ErrorCode::PayloadTooLarge,
    ErrorCode::TokenExpired,
    ErrorCode::Internal,
];

/// Shows 0 for what did not happen yet: a rate over a counter that appears with its first event misses that one.
pub(super) fn show_zeros() {
    for code in CODES {
        counter!("chaincast_gateway_closed_total", "code" => code).increment(0);
    }
    for code in ERRORS {
        counter!("chaincast_gateway_requests_refused_total", "code" => code.as_str()).increment(0);
    }
    for transport in Transport::ALL {
        for reason in handshakes::REASONS {
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
        "Requests that arrived, by event"
    );
    describe_counter!(
        "chaincast_gateway_bytes_in_total",
        Unit::Bytes,
        "Bytes that sessions received"
    );
    describe_counter!(
        "chaincast_gateway_messages_out_total",
        "Messages given to sockets"
    );
    describe_counter!(
        "chaincast_gateway_bytes_out_total",
        Unit::Bytes,
        "Bytes given to sockets"
    );
    describe_counter!(
        "chaincast_gateway_send_errors_total",
        "Writes that failed because the connection was broken"
    );
    describe_gauge!(
        "chaincast_gateway_backlog_bytes",
        Unit::Bytes,
        "Bytes that wait to be sent, of all sessions"
    );
    describe_gauge!(
        "chaincast_gateway_backlog_largest_bytes",
        Unit::Bytes,
        "Bytes that wait to be sent to the session with the most"
    );
    describe_gauge!(
        "chaincast_gateway_backlog_sessions",
        "Sessions for which anything waits to be sent"
    );
    describe_counter!(
        "chaincast_gateway_backlog_closed_total",
        "Sessions that were closed as the fullest because too much waited for all together"
    );
    describe_counter!(
        "chaincast_gateway_closed_total",
        "Ended sessions, by close code"
    );
    describe_counter!(
        "chaincast_gateway_conflated_total",
        "Updates that were left out for newer ones because a session was slow"
    );
    describe_counter!(
        "chaincast_gateway_requests_refused_total",
        "Requests that were answered with an error, by its code"
    );
    describe_counter!(
        "chaincast_gateway_rate_limited_total",
        "Requests beyond a session's rate limit"
    );
    describe_counter!(
        "chaincast_gateway_handshakes_refused_total",
        "Connections that did not become sessions, by reason"
    );
    describe_counter!(
        "chaincast_gateway_resumes_total",
        "Subscriptions with a position, by where what was missed was found"
    );
    describe_counter!(
        "chaincast_gateway_watches_refused_total",
        "Transactions and addresses that were not watched, by the limit that they were beyond"
    );
    describe_histogram!(
        "chaincast_gateway_fanout_seconds",
        Unit::Seconds,
        "From a commit to the last write of the round that sent it"
    );
}
