//! What the gateway shows of itself: metrics and log lines. Labels have fixed values, and log lines about clients are
//! limited.

mod backlog;
mod describe;
mod fanout_latency;
mod metrics;
mod refusal_reason;
mod sent;
mod session_log;

pub use backlog::Backlog;
pub use fanout_latency::PendingCommits;
pub use metrics::{GatewayMetrics, ResumeSource, WatchLimit};
#[cfg(test)]
pub use refusal_reason::REASONS as REFUSAL_REASONS;
pub use refusal_reason::refusal_reason;
pub use sent::{Sent, Tally};
pub use session_log::{EndFields, SessionFields, SessionLog, Traffic};
