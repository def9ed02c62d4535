//! The event of a fired price alert, on `user:SUBJECT`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{AlertCondition, JsonNumber, PriceStatus, Token};

/// A price alert of this user fired. A snapshot is a delivery that was unacknowledged when the client subscribed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceAlert {
    /// Id of this delivery: clients acknowledge it, and use it to detect repetitions.
    pub id: i64,
    /// Id of the alert, as in the REST API.
    pub alert_id: i64,
    /// The token whose price fired it.
    pub token: Token,
    /// The side of `threshold` on which it fires.
    pub condition: AlertCondition,
    /// In USD, for one whole token.
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
}
