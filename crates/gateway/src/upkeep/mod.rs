//! What the gateway does by the clock: ends of intervals, timeouts of sessions, heartbeats, and the upkeep of memory.

mod backlog_monitor;
mod eviction;
mod heartbeat;
mod sweep;
mod timers;
mod trim;

pub use backlog_monitor::BacklogMonitor;
pub use eviction::Eviction;
pub use heartbeat::Heartbeat;
pub use sweep::Sweep;
pub use timers::Timers;
