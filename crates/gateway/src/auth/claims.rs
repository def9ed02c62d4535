//! The claims of a JWT that the gateway reads.

use serde::Deserialize;

/// Claims used in addition to those that the validation checks.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    // Both are required; the validation reports their absence.
    pub sub: Option<String>,
    pub exp: Option<NumericDate>,
    #[serde(default)]
    pub role: Option<String>,
    #[serde(default)]
    pub channels: Option<Vec<String>>,
    #[serde(default)]
    pub publish: Option<Vec<String>>,
}

/// Seconds since the Unix epoch; RFC 7519 allows fractions.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum NumericDate {
    Whole(u64),
    Fraction(f64),
}

impl NumericDate {
    pub(super) fn as_ms(&self) -> i64 {
        match self {
            Self::Whole(secs) => i64::try_from(*secs)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000),
            // A cast from a float saturates.
            Self::Fraction(secs) => (secs * 1_000.0) as i64,
        }
    }
}
