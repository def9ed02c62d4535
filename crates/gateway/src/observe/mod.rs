//! What the gateway shows of itself: metrics and log lines. Labels have fixed values, and log lines about clients are
//! limited.

mod backlog;
mod describe;
mod fanout_latency;
mod metrics;
mod refusal_reason;
mod sent;
mod session_log;

pub(crate) use backlog::Backlog;
pub(crate) use fanout_latency::PendingCommits;
pub(crate) use metrics::{GatewayMetrics, ResumeSource, WatchLimit};
#[cfg(test)]
pub(crate) use refusal_reason::REASONS as REFUSAL_REASONS;
pub(crate) use refusal_reason::refusal_reason;
pub(crate) use sent::{Sent, Tally};
pub(crate) use session_log::{EndFields, SessionFields, SessionLog, Traffic};
