//! Examples in schemas.

use crate::channel::KINDS;

/// Names of channels of every kind.
pub fn channel_names() -> Vec<&'static str> {
    let kinds = KINDS.iter();
    kinds.flat_map(|kind| kind.examples).copied().collect()
}
