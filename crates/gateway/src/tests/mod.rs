//! Tests of the hub with real sockets and an update log in memory instead of the store.

mod alerts;
mod candles;
mod echo;
mod flush_io;
mod formats;
mod heartbeat;
mod lanes;
mod lifecycle;
mod limits;
mod live;
mod origins;
mod polling;
mod resume;
mod rooms;
mod slow;
mod socketio;
mod stats;
mod streaming_response;
mod support;
mod total_backlog;
mod watch_quota;
mod wire;
mod withheld;
