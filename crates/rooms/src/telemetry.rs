//! Metrics of the message writer.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// What became of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    Stored,
    Repeated,
    Failed,
    Unknown,
    Refused,
}

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Stored,
        Self::Repeated,
        Self::Failed,
        Self::Unknown,
        Self::Refused,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Repeated => "repeated",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
        }
    }
}

pub(crate) fn describe() {
    describe_counter!(
        "chaincast_rooms_messages_total",
        "Messages of clients, by outcome"
    );
    for outcome in Outcome::ALL {
        messages(outcome, 0);
    }
    describe_gauge!(
        "chaincast_rooms_queued_messages",
        "Messages that wait to be stored"
    );
    queued(0);
    describe_counter!(
        "chaincast_rooms_groups_total",
        "Transactions of the message writer"
    );
    counter!("chaincast_rooms_groups_total").increment(0);
    describe_histogram!(
        "chaincast_rooms_commit_seconds",
        Unit::Seconds,
        "Time from the start of a transaction of messages to its commit"
    );
}

pub(crate) fn messages(outcome: Outcome, count: usize) {
    counter!("chaincast_rooms_messages_total", "outcome" => outcome.name()).increment(count as u64);
}

pub(crate) fn queued(count: usize) {
    gauge!("chaincast_rooms_queued_messages").increment(count as f64);
}

pub(crate) fn left_queue(count: usize) {
    gauge!("chaincast_rooms_queued_messages").decrement(count as f64);
}

/// A group was committed.
pub(crate) fn committed(took: Duration) {
    counter!("chaincast_rooms_groups_total").increment(1);
    histogram!("chaincast_rooms_commit_seconds").record(took.as_secs_f64());
}
