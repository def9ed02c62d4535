//! Names of events that this version does not have.

use std::sync::Arc;

/// A name of an event that this version does not have. Only parsing creates it, so it never equals a known name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnknownEvent(Arc<str>);

impl UnknownEvent {
    pub(super) fn new(name: &str) -> Self {
        Self(name.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}
