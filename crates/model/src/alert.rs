//! Price alerts as the price writer evaluates them.

use bigdecimal::BigDecimal;
use chaincast_protocol::{AlertCondition, Token};

/// An alert as evaluated by the price writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedAlert {
    /// Key in the table `alerts`.
    pub id: i64,
    /// The token whose published prices are compared with the threshold.
    pub token: Token,
    /// The side of the threshold on which it fires.
    pub condition: AlertCondition,
    /// In USD; above zero.
    pub threshold: BigDecimal,
    /// Distance in USD that the price must return behind the threshold before a repeating alert may fire again; `None`
    /// for an alert that fires once.
    pub hysteresis: Option<BigDecimal>,
    /// Whether `degraded` prices also fire and arm the alert.
    pub fire_on_degraded: bool,
    /// Whether the alert fires when its condition holds. If not, it waits until the price has returned behind the
    /// threshold.
    pub armed: bool,
}
