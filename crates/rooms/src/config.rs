//! The configuration sections `[[gateway.rooms]]` and `[gateway.messages]`.

use std::time::Duration;

use serde::Deserialize;

use chaincast_base::settings::{Problems, lower_case_word, plain_settings, settings};

/// Longest name of a room, and so of a pattern.
const MAX_PATTERN: usize = 64;

/// Who may join a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinRule {
    /// Everybody, also without a JWT.
    Anyone,
    /// Every subject whose JWT does not exclude the room.
    Authenticated,
    /// Subjects whose JWT names the room in `channels`.
    Listed,
}

/// Who may publish to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishRule {
    /// Every subject whose JWT does not exclude the room.
    Authenticated,
    /// Subjects whose JWT names the room in `publish`.
    Listed,
    /// No client: only the roles `publisher` and `admin`.
    Nobody,
}

plain_settings! { JoinRule = lower_case_word, PublishRule = lower_case_word }

settings! {
    /// One `[[gateway.rooms]]`.
    pub struct RoomConfig {
        /// Names of these rooms, without `room:`; `*` matches any text.
        pattern: String = String::new(), required(), example("\"lobby-*\"");
        /// Most updates kept per room, the newest. Clients cannot resume from older ones.
        history: u32 = 1_000, range(1, 1_000_000), unit("updates");
        /// Whether members are known, and their joins and leaves announced. Has no effect in this version.
        presence: bool = true;
        /// Who may join: `"anyone"`, also without a JWT; `"authenticated"`: every subject whose JWT does not exclude the room;
        /// `"listed"`: subjects whose JWT names the room in `channels`.
        join: JoinRule = JoinRule::Authenticated;
        /// Who may publish and signal: `"authenticated"`, `"listed"` in `publish` of the JWT, or `"nobody"` but the roles
        /// publisher and admin.
        publish: PublishRule = PublishRule::Authenticated;
        /// Maximum size of a payload, as JSON without whitespace.
        message_bytes: usize = 16_384, range(2, 262_144);
        /// Messages of all subjects to one room per minute.
        messages_per_minute: u32 = 6_000, range(1, 10_000_000), unit("messages");
        /// Messages of one subject to one room per minute.
        messages_per_minute_per_subject: u32 = 60, range(1, 10_000_000), unit("messages");
        /// Members of one room. Has no effect in this version.
        members: u64 = 10_000, range(1, 10_000_000), unit("subjects");
    }
}

settings! {
    /// `[gateway.messages]`
    pub struct MessagesConfig {
        /// Messages that wait to be stored; beyond it, they are refused with RATE_LIMITED.
        queue: usize = 4_096, range(16, 1_048_576), unit("messages");
        /// Most messages stored in one transaction.
        group_size: usize = 512, range(1, 8_192), unit("messages");
        /// A message that cannot be stored for this long is refused.
        timeout_ms: u64 = 10_000, range(100, 600_000);
        /// How long a key identifies a message: the same key of the same subject is stored once.
        key_retention_secs: u64 = 86_400, range(60, 2_592_000);
        /// Messages of one session per minute, to all channels.
        messages_per_minute_per_session: u32 = 120, range(1, 10_000_000), unit("messages");
        /// Messages of one subject per minute, to all channels; each gateway counts its own clients.
        messages_per_minute_per_subject: u32 = 240, range(1, 10_000_000), unit("messages");
        /// Signals of one session per minute, to all rooms.
        signals_per_minute_per_session: u32 = 300, range(1, 10_000_000), unit("signals");
        /// Maximum size of the payload of a message to a user or to all, as JSON without whitespace.
        message_bytes: usize = 16_384, range(2, 262_144);
    }
}

impl MessagesConfig {
    /// How long a key identifies a message.
    pub fn key_retention(&self) -> Duration {
        Duration::from_secs(self.key_retention_secs)
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl RoomConfig {
    /// Checks the patterns of all rooms, at `gateway.rooms`.
    pub fn check_all(rooms: &[Self], problems: &mut Problems) {
        for (at, room) in rooms.iter().enumerate() {
            let key = format!("gateway.rooms.{at}.pattern");
            problems.check(
                is_pattern(&room.pattern),
                &key,
                "must be 1 to 64 of a-z, 0-9, '.', '_', '-' and '*', such as \"lobby-*\", in lower case and without \"room:\"",
            );
            let same = rooms[..at].iter().any(|of| of.pattern == room.pattern);
            problems.check(
                !same,
                &key,
                "is the pattern of an earlier entry, which decides",
            );
        }
    }
}

fn is_pattern(pattern: &str) -> bool {
    let allowed = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '*')
    };
    (1..=MAX_PATTERN).contains(&pattern.len()) && pattern.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(patterns: &[&str]) -> Vec<String> {
        let room = |pattern: &&str| RoomConfig {
            pattern: (*pattern).to_owned(),
            ..RoomConfig::default()
        };
        let rooms: Vec<RoomConfig> = patterns.iter().map(room).collect();
        let mut problems = Problems::new(&[]);
        RoomConfig::check_all(&rooms, &mut problems);
        let all = problems.into_all().into_iter();
        all.map(|problem| problem.key).collect()
    }

    #[test]
    fn patterns_are_names_with_stars() {
        assert_eq!(problems(&["lobby-*", "*", "a.b_c-1"]), [] as [&str; 0]);
        let long = "a".repeat(65);
        for bad in ["", "room:a", "Lobby", "a b", "é", "a?", &long] {
            assert_eq!(problems(&["x", bad]), ["gateway.rooms.1.pattern"], "{bad}");
        }
    }

    #[test]
    fn refuses_repeated_patterns() {
        assert_eq!(problems(&["a", "b", "a"]), ["gateway.rooms.2.pattern"]);
    }
}
