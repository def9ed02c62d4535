//! Price alerts: their condition, and the event of a fired alert.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{JsonNumber, PriceStatus, Token};

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

/// A price alert of this user fired. A snapshot is a delivery that was unacknowledged when the client subscribed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceAlert {
    /// Id of this delivery: clients acknowledge it, and use it to detect repetitions.
    pub id: i64,
    pub alert_id: i64,
    pub token: Token,
    pub condition: AlertCondition,
    pub threshold: JsonNumber,
    /// The price that fired the alert.
    pub price: JsonNumber,
    /// Status of that price: `ok`, or `degraded` for an alert with `fireOnDegraded`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["ok", "degraded"])))]
    pub status: PriceStatus,
    /// The user's note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    /// Server time of the announcement, in ms.
    pub timestamp: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alert_json_keeps_every_digit() {
        let fired = PriceAlert {
            id: 7,
            alert_id: 3,
            token: "ETH".parse().unwrap(),
            condition: AlertCondition::Above,
            threshold: JsonNumber("4000.000000000000000001".parse().unwrap()),
            price: JsonNumber("4000.50".parse().unwrap()),
            status: PriceStatus::Degraded,
            note: None,
            timestamp: 5,
        };
        assert_eq!(
            serde_json::to_string(&fired).unwrap(),
            r#"{"id":7,"alertId":3,"token":"ETH","condition":"above","threshold":4000.000000000000000001,"price":4000.5,"status":"degraded","timestamp":5}"#
        );
    }

    #[test]
    fn condition_round_trips() {
        for condition in [AlertCondition::Above, AlertCondition::Below] {
            assert_eq!(condition.name().parse(), Ok(condition));
        }
        assert!("Above".parse::<AlertCondition>().is_err());
    }
}
