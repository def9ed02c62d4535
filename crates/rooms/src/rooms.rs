//! The rooms of a deployment.

use std::sync::Arc;

use chaincast_base::glob;
use chaincast_store::updates::ChannelLimit;

use super::RoomConfig;

/// Finds the rules of a room by its name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Rooms(Arc<[RoomConfig]>);

impl Rooms {
    /// The rooms of these sections, in their order.
    pub fn new(rooms: &[RoomConfig]) -> Self {
        Self(rooms.into())
    }

    /// The rules of the room with this name, which is in lower case: the first pattern that matches decides. `None` if there
    /// is no such room.
    pub fn find(&self, name: &str) -> Option<&RoomConfig> {
        self.0
            .iter()
            .find(|room| glob::matches(&room.pattern, name))
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The patterns, in their order.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|room| room.pattern.as_str())
    }

    /// How many updates of each room are kept.
    pub fn history(&self) -> Vec<ChannelLimit> {
        let limit = |room: &RoomConfig| ChannelLimit {
            pattern: format!("room:{}", like(&room.pattern)),
            keep: room.history,
        };
        self.0.iter().map(limit).collect()
    }
}

/// A pattern for `LIKE`: `_` is a name's own character.
fn like(pattern: &str) -> String {
    pattern.replace('_', "\\_").replace('*', "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(patterns: &[(&str, u32)]) -> Rooms {
        let room = |(pattern, history): &(&str, u32)| RoomConfig {
            pattern: (*pattern).to_owned(),
            history: *history,
            ..RoomConfig::default()
        };
        Rooms::new(&patterns.iter().map(room).collect::<Vec<_>>())
    }

    #[test]
    fn first_pattern_decides() {
        let rooms = rooms(&[("lobby-1", 1), ("lobby-*", 2), ("*-vip", 3)]);
        let history = |name: &str| rooms.find(name).map(|room| room.history);
        assert_eq!(history("lobby-1"), Some(1));
        assert_eq!(history("lobby-vip"), Some(2));
        assert_eq!(history("x-vip"), Some(3));
        assert_eq!(history("lobby"), None);
        assert_eq!(
            Rooms::default().find("lobby").map(|room| room.history),
            None
        );
    }

    #[test]
    fn history_has_patterns_of_sql() {
        let limits = rooms(&[("a_b-*", 7)]).history();
        let expected = ChannelLimit {
            pattern: "room:a\\_b-%".to_owned(),
            keep: 7,
        };
        assert_eq!(limits, [expected]);
    }
}
