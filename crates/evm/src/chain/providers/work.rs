//! What providers are used for.

/// The kind of work, which decides the order of the providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The head and recent blocks.
    Live,
    /// Many old blocks.
    History,
}
