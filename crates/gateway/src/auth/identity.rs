//! The identity in a verified JWT, and the channels that it may subscribe to.

use super::{claims::Claims, error::AuthError};
use chaincast_protocol::Channel;

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
            expires_at_ms: expires.as_ms().saturating_add(leeway_ms),
        })
    }

    /// Whether this subject may subscribe to a channel. Patterns match the channel's canonical name, case-insensitively.
    /// A private channel is open only to its own subject, regardless of the patterns.
    pub(crate) fn can_subscribe(&self, channel: &Channel) -> bool {
        if channel.is_private() {
            return channel.subject() == Some(&self.sub);
        }
        match &self.channels {
            None => true,
            Some(patterns) => {
                let name = channel.to_string();
                patterns.iter().any(|pattern| matches(pattern, &name))
            }
        }
    }

    /// Whether its role is `admin`.
    pub(crate) fn is_admin(&self) -> bool {
        self.role.as_deref() == Some("admin")
    }
}

/// Glob match in linear time for one `*` and in `pattern × name` at worst: no backtracking beyond the last `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern
            .get(p)
            .is_some_and(|c| c.eq_ignore_ascii_case(&name[n]))
        {
            p += 1;
            n += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            n = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(channels: Option<&[&str]>) -> Identity {
        Identity {
            sub: "alice".to_owned(),
            role: None,
            channels: channels.map(|all| all.iter().map(|&one| one.to_owned()).collect()),
            expires_at_ms: 0,
        }
    }

    #[test]
    fn star_matches_any_text() {
        for (pattern, name, fits) in [
            ("price:*", "price:ETH", true),
            ("PRICE:e*", "price:ETH", true),
            ("price:*H", "price:ETH", true),
            ("contract:*:deposit", "contract:vault:deposit", true),
            ("*", "new-block", true),
            ("price:*", "new-block", false),
            ("price:ETH", "price:ETHX", false),
            ("", "new-block", false),
            ("*a*b*c", "xxaxxbxxabxc", true),
            ("*a*b*c", "xxaxxbxxabx", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
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
}
