//! The identity in a verified JWT, and the channels that it may subscribe to.

use super::{claims::Claims, error::AuthError};
use chaincast_base::glob;
use chaincast_protocol::{Channel, channel::AccessRule};
use chaincast_rooms::{JoinRule, PublishRule};

/// Maximum length of a subject: `user:SUB` must be a valid channel name.
const MAX_SUBJECT_BYTES: usize = 128;

/// The identity of a client, from its JWT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The subject: 1 to 128 bytes without control characters.
    pub sub: String,
    /// The claim `role`. `admin` may read `/api/v1/stats`.
    pub role: Option<String>,
    /// Channel patterns, where `*` matches any text; `None` allows every public channel.
    pub channels: Option<Vec<String>>,
    /// Patterns of the channels that it may publish to; `None` allows the rooms that are open to all subjects.
    pub publish: Option<Vec<String>>,
    /// Time by which the session must renew its JWT, in ms since the Unix epoch: `exp` plus the configured leeway.
    pub expires_at_ms: i64,
}

impl Identity {
    pub(super) fn new(claims: Claims, leeway_secs: u64) -> Result<Self, AuthError> {
        let missing = |claim: &str| AuthError::Claim(claim.to_owned());
        let sub = claims.sub.ok_or_else(|| missing("sub"))?;
        let expires = claims.exp.ok_or_else(|| missing("exp"))?;
        if sub.is_empty() || sub.len() > MAX_SUBJECT_BYTES || sub.chars().any(char::is_control) {
            return Err(missing("sub"));
        }
        let leeway_ms = i64::try_from(leeway_secs)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000);
        Ok(Self {
            sub,
            role: claims.role,
            channels: claims.channels,
            publish: claims.publish,
            expires_at_ms: expires.as_ms().saturating_add(leeway_ms),
        })
    }

    /// Whether this subject may subscribe to a channel. Patterns match the channel's canonical name, case-insensitively.
    /// A private channel is open only to its own subject, regardless of the patterns. For a room, [`Self::can_join`] decides.
    pub(crate) fn can_subscribe(&self, channel: &Channel) -> bool {
        if channel.is_private() {
            return channel.subject() == Some(&self.sub);
        }
        self.channels
            .as_ref()
            .is_none_or(|patterns| names(patterns, channel))
    }

    /// Whether this subject may join a room with this rule.
    pub fn can_join(&self, room: &Channel, rule: JoinRule) -> bool {
        let is_listed = self.channels.is_some();
        self.can_subscribe(room) && (is_listed || rule != JoinRule::Listed)
    }

    /// Whether this subject may publish to a channel; `rule` is that of the room, if it is one. An administrator may publish to
    /// every channel that takes messages, a publisher too unless `publish` of its JWT excludes the channel.
    pub fn can_publish(&self, channel: &Channel, rule: Option<PublishRule>) -> bool {
        let kind = channel.kind();
        if kind.published_as.is_none() || self.is_admin() {
            return kind.published_as.is_some();
        }
        let is_listed = match &self.publish {
            Some(patterns) if !names(patterns, channel) => return false,
            patterns => patterns.is_some(),
        };
        let is_open = match (kind.access, rule) {
            (AccessRule::Room, Some(PublishRule::Authenticated)) => true,
            (AccessRule::Room, Some(PublishRule::Listed)) => is_listed,
            (AccessRule::Room, Some(PublishRule::Nobody) | None) => false,
            _ => is_listed,
        };
        is_open || self.has_role("publisher")
    }

    /// Whether this subject may publish over REST.
    pub fn is_publisher(&self) -> bool {
        self.has_role("publisher") || self.is_admin()
    }

    /// Whether this subject may redact messages and remove members.
    pub fn is_moderator(&self) -> bool {
        self.has_role("moderator") || self.is_admin()
    }

    /// Whether its role is `admin`.
    pub(crate) fn is_admin(&self) -> bool {
        self.has_role("admin")
    }

    fn has_role(&self, role: &str) -> bool {
        self.role.as_deref() == Some(role)
    }
}

fn names(patterns: &[String], channel: &Channel) -> bool {
    let name = channel.to_string();
    let mut patterns = patterns.iter();
    patterns.any(|pattern| glob::matches(pattern, &name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(channels: Option<&[&str]>) -> Identity {
        Identity {
            sub: "alice".to_owned(),
            role: None,
            channels: channels.map(owned),
            publish: None,
            expires_at_ms: 0,
        }
    }

    fn owned(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|&one| one.to_owned()).collect()
    }

    fn publisher(role: Option<&str>, publish: Option<&[&str]>) -> Identity {
        Identity {
            role: role.map(str::to_owned),
            publish: publish.map(owned),
            ..identity(None)
        }
    }

    #[test]
    fn without_patterns_public_and_own_channels_are_open() {
        let alice = identity(None);
        assert!(alice.can_subscribe(&Channel::NewBlock(None)));
        assert!(alice.can_subscribe(&Channel::User("alice".into())));
        assert!(!alice.can_subscribe(&Channel::User("bob".into())));
    }

    #[test]
    fn patterns_never_open_another_users_channel() {
        let alice = identity(Some(&["price:*", "user:*"]));
        assert!(alice.can_subscribe(&"price:BTC".parse().unwrap()));
        assert!(!alice.can_subscribe(&Channel::NewBlock(None)));
        assert!(alice.can_subscribe(&Channel::User("alice".into())));
        assert!(!alice.can_subscribe(&Channel::User("bob".into())));
        assert!(!identity(Some(&[])).can_subscribe(&Channel::Heartbeat));
    }

    #[test]
    fn listed_rooms_need_a_pattern() {
        let room = Channel::Room("vip".into());
        for (channels, rule, may) in [
            (None, JoinRule::Authenticated, true),
            (None, JoinRule::Listed, false),
            (Some(&["room:v*"][..]), JoinRule::Listed, true),
            (Some(&["room:v*"]), JoinRule::Authenticated, true),
            (Some(&["price:*"]), JoinRule::Anyone, false),
        ] {
            assert_eq!(
                identity(channels).can_join(&room, rule),
                may,
                "{channels:?}"
            );
        }
    }

    #[test]
    fn publishing_follows_rule_claim_and_role() {
        use PublishRule::{Authenticated, Listed, Nobody};
        let names: &[&str] = &["room:lobby", "user:bob"];
        for (role, publish, channel, rule, may) in [
            (None, None, "room:lobby", Some(Authenticated), true),
            (None, None, "room:lobby", Some(Listed), false),
            (None, None, "room:lobby", None, false),
            (None, None, "user:bob", None, false),
            (None, None, "announcements", None, false),
            (None, Some(names), "room:lobby", Some(Listed), true),
            (None, Some(names), "room:lobby", Some(Nobody), false),
            (None, Some(names), "room:other", Some(Authenticated), false),
            (None, Some(names), "user:bob", None, true),
            (None, Some(names), "user:carol", None, false),
            (Some("publisher"), None, "room:lobby", Some(Nobody), true),
            (Some("publisher"), None, "announcements", None, true),
            (Some("publisher"), Some(names), "announcements", None, false),
            (Some("moderator"), None, "room:lobby", Some(Listed), false),
            (Some("admin"), Some(&[][..]), "user:bob", None, true),
            (Some("admin"), None, "price:ETH", None, false),
            (Some("publisher"), None, "new-block", None, false),
        ] {
            let identity = publisher(role, publish);
            let channel: Channel = channel.parse().unwrap();
            assert_eq!(
                identity.can_publish(&channel, rule),
                may,
                "{identity:?} {channel}"
            );
        }
    }
}
