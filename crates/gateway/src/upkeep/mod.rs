//! What the gateway does by the clock: ends of intervals, timeouts of sessions, heartbeats, and the upkeep of memory.

mod backlog_monitor;
mod disconnects;
mod eviction;
mod heartbeat;
mod sweep;
mod timers;
mod trim;

pub(crate) use backlog_monitor::BacklogMonitor;
pub(crate) use disconnects::Disconnects;
pub(crate) use eviction::Eviction;
pub(crate) use heartbeat::Heartbeat;
pub(crate) use sweep::Sweep;
pub(crate) use timers::Timers;
