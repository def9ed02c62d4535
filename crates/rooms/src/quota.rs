//! Counts messages within the last minute: of each subject, of each room, and of each subject in each room. Each process
//! counts the messages that arrive at it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{MessagesConfig, RoomConfig};
use chaincast_base::RateWindow;
use chaincast_protocol::Channel;

const MINUTE: Duration = Duration::from_secs(60);
/// Windows in memory before idle ones are looked for.
const FIRST_SWEEP: usize = 1_024;

/// Who publishes.
#[derive(Debug, Clone)]
pub enum Sender {
    /// A session of this subject.
    Client(Arc<str>),
    /// A backend, by REST: only the limit of the room applies.
    Backend,
}

/// A limit that a message exceeds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the limit is {limit} messages a minute {of}")]
pub struct QuotaExceeded {
    /// Messages a minute.
    pub limit: u32,
    /// Time until the next message is admitted.
    pub retry_after_ms: u64,
    of: &'static str,
}

/// See the module's description. Cheap to clone; clones share the counts.
#[derive(Clone)]
pub struct MessageQuota(Arc<Inner>);

struct Inner {
    per_subject: u32,
    windows: Mutex<Windows>,
}

/// What is counted. Clients choose the values, so the map has a keyed hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Counted {
    Subject(Arc<str>),
    SubjectInRoom(Arc<str>, Channel),
    Room(Channel),
}

struct Windows {
    windows: HashMap<Counted, RateWindow>,
    sweep_at: usize,
}

impl MessageQuota {
    /// Counts from now on.
    pub fn new(config: &MessagesConfig) -> Self {
        Self(Arc::new(Inner {
            per_subject: config.messages_per_minute_per_subject,
            windows: Mutex::new(Windows {
                windows: HashMap::new(),
                sweep_at: FIRST_SWEEP,
            }),
        }))
    }

    /// Counts a message to a channel, with the rules of the room if it is one. A refused message is not counted.
    pub fn admit(
        &self,
        sender: &Sender,
        channel: &Channel,
        room: Option<&RoomConfig>,
        now: Instant,
    ) -> Result<(), QuotaExceeded> {
        let mut counted = Vec::with_capacity(3);
        if let Sender::Client(subject) = sender {
            let total = Counted::Subject(subject.clone());
            counted.push((total, self.0.per_subject));
            if let Some(room) = room {
                let here = Counted::SubjectInRoom(subject.clone(), channel.clone());
                counted.push((here, room.messages_per_minute_per_subject));
            }
        }
        if let Some(room) = room {
            counted.push((Counted::Room(channel.clone()), room.messages_per_minute));
        }
        let mut windows = self.0.windows.lock();
        windows.sweep(now);
        for (counted, limit) in &counted {
            let checked = windows.window(counted, *limit).check(now);
            checked.map_err(|retry_after_ms| QuotaExceeded {
                limit: *limit,
                retry_after_ms,
                of: counted.name(),
            })?;
        }
        for (counted, limit) in &counted {
            // Checked above.
            let _ = windows.window(counted, *limit).admit(now);
        }
        Ok(())
    }
}

impl Counted {
    fn name(&self) -> &'static str {
        match self {
            Self::Subject(_) => "from one subject",
            Self::SubjectInRoom(..) => "from one subject to this room",
            Self::Room(_) => "to this room",
        }
    }
}

impl Windows {
    fn window(&mut self, counted: &Counted, limit: u32) -> &mut RateWindow {
        self.windows
            .entry(counted.clone())
            .or_insert_with(|| RateWindow::new(limit, MINUTE))
    }

    /// Drops idle windows once there are twice as many as were in use at the last sweep.
    fn sweep(&mut self, now: Instant) {
        if self.windows.len() >= self.sweep_at {
            self.windows.retain(|_, window| !window.is_idle(now));
            self.sweep_at = (2 * self.windows.len()).max(FIRST_SWEEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(per_subject: u32) -> MessageQuota {
        MessageQuota::new(&MessagesConfig {
            messages_per_minute_per_subject: per_subject,
            ..MessagesConfig::default()
        })
    }

    fn room() -> RoomConfig {
        RoomConfig {
            messages_per_minute: 4,
            messages_per_minute_per_subject: 2,
            ..RoomConfig::default()
        }
    }

    #[test]
    fn each_limit_applies_and_refusals_do_not_count() {
        let (quota, room, now) = (quota(5), room(), Instant::now());
        let channels = ["room:a", "room:b", "room:c"].map(|name| name.parse::<Channel>().unwrap());
        let send = |sender: &Sender, at: usize, seconds: u64| {
            let now = now + Duration::from_secs(seconds);
            let admitted = quota.admit(sender, &channels[at], Some(&room), now);
            admitted.map_err(|exceeded| exceeded.to_string())
        };
        let refused = |text: &str| Err(format!("the limit is {text}"));
        let (alice, bob) = (Sender::Client("alice".into()), Sender::Client("bob".into()));
        assert_eq!(send(&alice, 0, 0), Ok(()));
        assert_eq!(send(&alice, 0, 0), Ok(()));
        let limit = "2 messages a minute from one subject to this room";
        assert_eq!(send(&alice, 0, 0), refused(limit));
        assert_eq!(send(&bob, 0, 0), Ok(()));
        assert_eq!(send(&Sender::Backend, 0, 0), Ok(()));
        assert_eq!(
            send(&Sender::Backend, 0, 0),
            refused("4 messages a minute to this room")
        );
        assert_eq!(
            send(&bob, 0, 0),
            refused("4 messages a minute to this room")
        );
        for at in [1, 1, 2] {
            assert_eq!(send(&alice, at, 0), Ok(()));
        }
        assert_eq!(
            send(&alice, 2, 0),
            refused("5 messages a minute from one subject")
        );
        assert_eq!(send(&alice, 2, 60), Ok(()));
    }

    #[test]
    fn messages_to_users_have_no_room() {
        let (quota, now) = (quota(1), Instant::now());
        let (channel, alice) = ("user:bob".parse().unwrap(), Sender::Client("alice".into()));
        assert_eq!(quota.admit(&alice, &channel, None, now), Ok(()));
        let exceeded = quota.admit(&alice, &channel, None, now).unwrap_err();
        assert_eq!(exceeded.retry_after_ms, 60_000);
        for _ in 0..100 {
            assert_eq!(quota.admit(&Sender::Backend, &channel, None, now), Ok(()));
        }
    }

    #[test]
    fn idle_windows_are_dropped() {
        let (quota, start) = (quota(9), Instant::now());
        for number in 0..10 * FIRST_SWEEP as u64 {
            let channel = format!("room:r{number}").parse().unwrap();
            let now = start + Duration::from_millis(1_000 * number);
            quota
                .admit(&Sender::Backend, &channel, Some(&room()), now)
                .unwrap();
        }
        assert!(quota.0.windows.lock().windows.len() <= 2 * FIRST_SWEEP);
    }
}
