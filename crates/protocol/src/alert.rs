//! The condition of price alerts.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The side of the threshold on which an alert fires. The threshold itself belongs to both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum AlertCondition {
    /// The price is at the threshold or above it.
    Above,
    /// The price is at the threshold or below it.
    Below,
}

impl AlertCondition {
    /// The name in the API and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

impl fmt::Display for AlertCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a condition is \"above\" or \"below\"")]
pub struct AlertConditionError;

impl FromStr for AlertCondition {
    type Err = AlertConditionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Above, Self::Below]
            .into_iter()
            .find(|condition| condition.name() == text)
            .ok_or(AlertConditionError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn condition_round_trips() {
        for condition in [AlertCondition::Above, AlertCondition::Below] {
            assert_eq!(condition.name().parse(), Ok(condition));
        }
        assert!("Above".parse::<AlertCondition>().is_err());
    }
}
