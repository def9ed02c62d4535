//! Price alerts: what a user wants to be told, and what it looks like when that happens.

use std::{fmt, str::FromStr, sync::Arc};

use bigdecimal::BigDecimal;
use serde::Serialize;

use super::{JsonNumber, PriceStatus, Token};

/// On which side of its threshold an alert fires. The threshold itself belongs to both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertCondition {
    /// The price is at the threshold or above it.
    Above,
    /// The price is at the threshold or below it.
    Below,
}

impl AlertCondition {
    /// As it is written and stored.
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

/// The text names no condition.
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

/// An alert as the price writer watches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedAlert {
    pub id: i64,
    pub token: Token,
    pub condition: AlertCondition,
    /// In USD; above zero.
    pub threshold: BigDecimal,
    /// How far the price must go back behind the threshold before a repeating alert may fire again, in USD; `None` for
    /// one that fires once.
    pub hysteresis: Option<BigDecimal>,
    /// Whether prices that are `degraded` fire and arm it too.
    pub fire_on_degraded: bool,
    /// Whether it fires when its condition holds. One that does not waits for the price to go back.
    pub armed: bool,
}

/// An alert fired: the data of `price-alert`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceAlert {
    /// Of this delivery: what is acknowledged, and what tells a repetition.
    pub id: i64,
    pub alert_id: i64,
    pub token: Token,
    pub condition: AlertCondition,
    pub threshold: JsonNumber,
    /// The price that made it fire.
    pub price: JsonNumber,
    /// How far that price could be trusted: `ok` or `degraded`.
    pub status: PriceStatus,
    /// What the user wrote to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    /// Server time of the announcement, in ms.
    pub timestamp: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fired_alert_is_written_with_every_digit_of_its_numbers() {
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
    fn a_condition_is_read_as_it_is_written() {
        for condition in [AlertCondition::Above, AlertCondition::Below] {
            assert_eq!(condition.name().parse(), Ok(condition));
        }
        assert!("Above".parse::<AlertCondition>().is_err());
    }
}
