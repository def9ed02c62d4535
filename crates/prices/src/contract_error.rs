//! Why a price contract did not report a required fact.

use super::sanitized::sanitized;
use chaincast_evm::chain::NodeError;
use chaincast_protocol::Address;

/// The error of the last read of a contract. For people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// An empty answer, as from an address without a contract.
    #[error("no answer to {call} from {at}: is there a contract at this address on this chain?")]
    NoAnswer {
        /// The address that was called.
        at: Address,
        /// The signature of the called function, such as `decimals()`.
        call: &'static str,
    },
    /// The contract rejects the call.
    #[error("the contract at {at} reverted {call}: {reason}")]
    Reverted {
        /// The address that was called.
        at: Address,
        /// The signature of the called function, such as `decimals()`.
        call: &'static str,
        /// The node's text, cut and without control characters.
        reason: String,
    },
    /// The answer does not have the type that the function returns.
    #[error("cannot decode the answer to {call} from the contract at {at}")]
    Unreadable {
        /// The address that was called.
        at: Address,
        /// The signature of the called function, such as `decimals()`.
        call: &'static str,
    },
    /// The text of the node's error, cut and without control characters.
    #[error("cannot read the contract: {0}")]
    Node(String),
}

impl ContractError {
    /// The node was unreachable or failed.
    pub fn node(error: &NodeError) -> Self {
        Self::Node(sanitized(&error.to_string()))
    }

    /// Whether both are the same error, ignoring the text: it may count down the seconds until a retry.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let call_of = |error: &Self| match error {
            Self::NoAnswer { at, call }
            | Self::Reverted { at, call, .. }
            | Self::Unreadable { at, call } => Some((*at, *call)),
            Self::Node(_) => None,
        };
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && call_of(self) == call_of(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_same_as_ignores_text() {
        let refused = |at, call, reason: &str| ContractError::Reverted {
            at: Address::repeat_byte(at),
            call,
            reason: reason.to_owned(),
        };
        let one = refused(1, "decimals()", "out of gas");
        assert!(one.is_same_as(&refused(1, "decimals()", "revert")));
        assert!(!one.is_same_as(&refused(2, "decimals()", "out of gas")));
        assert!(!one.is_same_as(&refused(1, "token0()", "out of gas")));
        let nothing = ContractError::NoAnswer {
            at: Address::repeat_byte(1),
            call: "decimals()",
        };
        assert!(!one.is_same_as(&nothing));
        let node = |text: &str| ContractError::Node(text.to_owned());
        assert!(node("9 s more").is_same_as(&node("8 s more")) && !node("").is_same_as(&nothing));
    }
}
