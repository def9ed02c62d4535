//! Why a price contract did not say what is needed.

use super::exchange::words;
use crate::{model::Address, source::chain::NodeError};

/// The last attempt to ask a contract, when it failed. For people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// As an address at which there is no contract does.
    #[error("nothing at {at} answers {call}: is there a contract on this chain?")]
    Nothing { at: Address, call: &'static str },
    #[error("the contract at {at} refuses {call}: {reason}")]
    Refused {
        at: Address,
        call: &'static str,
        reason: String,
    },
    #[error("what the contract at {at} answers to {call} cannot be read")]
    Unreadable { at: Address, call: &'static str },
    #[error("its contract cannot be asked: {0}")]
    Node(String),
}

impl Silence {
    /// The node could not be asked, or gave no answer.
    pub fn node(error: &NodeError) -> Self {
        Self::Node(words(&error.to_string()))
    }

    /// Whether both are one trouble, though perhaps in other words: a node may count the seconds until it can be asked.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let about = |silence: &Self| match silence {
            Self::Nothing { at, call }
            | Self::Refused { at, call, .. }
            | Self::Unreadable { at, call } => Some((*at, *call)),
            Self::Node(_) => None,
        };
        std::mem::discriminant(self) == std::mem::discriminant(other) && about(self) == about(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trouble_in_other_words_is_the_same() {
        let refused = |at, call, reason: &str| Silence::Refused {
            at: Address::repeat_byte(at),
            call,
            reason: reason.to_owned(),
        };
        let one = refused(1, "decimals()", "out of gas");
        assert!(one.is_as(&refused(1, "decimals()", "revert")));
        assert!(!one.is_as(&refused(2, "decimals()", "out of gas")));
        assert!(!one.is_as(&refused(1, "token0()", "out of gas")));
        let nothing = Silence::Nothing {
            at: Address::repeat_byte(1),
            call: "decimals()",
        };
        assert!(!one.is_as(&nothing));
        let node = |words: &str| Silence::Node(words.to_owned());
        assert!(node("9 s more").is_as(&node("8 s more")) && !node("").is_as(&nothing));
    }
}
