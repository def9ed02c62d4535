//! The age up to which a tick is used: its defaults and its limit.

/// Default maximum age of a tick of a source on a chain, in ms.
pub const DEFAULT_MAX_AGE_MS: u64 = 3_600_000;
/// Default for a venue, which sends data every few seconds; a document gets at least three of its intervals.
pub const DEFAULT_FEED_MAX_AGE_MS: u64 = 60_000;
/// Limit of `max_age_ms`: a year.
pub const MAX_AGE_LIMIT_MS: u64 = 365 * 24 * 3_600_000;
