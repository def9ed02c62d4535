//! Which updates a subscription gets.

use chaincast_protocol::request::Interval;

/// See the module's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// Every update; a client that is too slow is closed.
    All,
    /// Every update while the client keeps up, else the newest.
    Latest,
    /// The newest, at most once per interval.
    Every(Interval),
}

impl Pace {
    pub fn interval(self) -> Interval {
        match self {
            Self::Every(interval) => interval,
            _ => Interval::NONE,
        }
    }

    /// `prev` of the message that begins a stream, which follows no other.
    pub fn first_prev(self) -> Option<u64> {
        (self != Self::All).then_some(0)
    }
}
