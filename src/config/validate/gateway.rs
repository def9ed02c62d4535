//! Checks of `[gateway]` and `[gateway.limits]`.

use super::checks::Checks;
use crate::gateway::GatewayConfig;

pub(super) fn check(found: &mut Checks, gateway: &GatewayConfig) {
    found.within(
        "gateway.ping_interval_ms",
        gateway.ping_interval_ms,
        100..=600_000,
    );
    found.within(
        "gateway.ping_timeout_ms",
        gateway.ping_timeout_ms,
        100..=600_000,
    );
    found.within("gateway.ring_updates", gateway.ring_updates, 1..=1_048_576);
    found.within("gateway.ring_bytes", gateway.ring_bytes, 1 << 20..=64 << 30);
    found.within(
        "gateway.backlog_total_bytes",
        gateway.backlog_total_bytes,
        1 << 20..=64 << 30,
    );
    found.within("gateway.linger_ms", gateway.linger_ms, 0..=100);
    found.within("gateway.flushers", gateway.flushers, 1..=64);
    found.within(
        "gateway.channels_in_memory",
        gateway.channels_in_memory,
        16..=1_048_576,
    );
    found.within(
        "gateway.watch_retention_secs",
        gateway.watch_retention_secs,
        10..=2_592_000,
    );
    found.within("gateway.watches", gateway.watches, 1..=10_000_000);
    found.within(
        "gateway.send_buffer_bytes",
        gateway.send_buffer_bytes,
        4_096..=16_777_216,
    );
    found.within(
        "gateway.deflate_min_bytes",
        gateway.deflate_min_bytes,
        0..=1_048_576,
    );
    found.check(
        gateway.own_hosts.iter().all(|host| is_host_name(host)),
        "gateway.own_hosts",
        "must be host names without scheme, port or path, such as \"chain.example\"",
    );
    let limits = &gateway.limits;
    found.above_zero("gateway.limits.connections", limits.connections);
    found.above_zero("gateway.limits.requests", limits.requests);
    found.within(
        "gateway.limits.rate_window_ms",
        limits.rate_window_ms,
        1_000..=3_600_000,
    );
    found.within(
        "gateway.limits.control_frames",
        limits.control_frames,
        20..=1_000_000,
    );
    found.within(
        "gateway.limits.message_bytes",
        limits.message_bytes,
        128..=16_777_216,
    );
    found.above_zero("gateway.limits.subscriptions", limits.subscriptions);
    found.above_zero(
        "gateway.limits.channels_per_request",
        limits.channels_per_request,
    );
    found.within(
        "gateway.limits.acknowledged_ids",
        limits.acknowledged_ids,
        1..=10_000,
    );
    found.within("gateway.alert_snapshot", gateway.alert_snapshot, 0..=1_000);
    found.above_zero(
        "gateway.limits.connections_per_address",
        limits.connections_per_address,
    );
    found.above_zero(
        "gateway.limits.watches_per_address",
        limits.watches_per_address,
    );
    found.above_zero(
        "gateway.limits.watches_per_subject",
        limits.watches_per_subject,
    );
    found.check(
        limits.backlog_bytes >= 16_384,
        "gateway.limits.backlog_bytes",
        "must be at least 16384",
    );
    found.within(
        "gateway.limits.handshake_timeout_ms",
        limits.handshake_timeout_ms,
        100..=600_000,
    );
    found.within("gateway.limits.log_lines", limits.log_lines, 1..=100_000);
}

fn is_host_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !name.is_empty() && name.chars().all(allowed)
}
