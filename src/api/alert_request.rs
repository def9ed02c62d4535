//! What a new alert is asked to be: read without losing a digit, and refused with a code that says what is wrong.

use axum::http::HeaderMap;
use bigdecimal::BigDecimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type, schema::SchemaType},
};

use super::{
    AlertsConfig,
    alerts::{Repeat, Side},
    error::{Problem, shortened},
};
use crate::{
    model::{AlertCondition, Token},
    store::alerts::NewAlert,
};

/// Most digits before and behind the point of a threshold or a hysteresis.
const MOST_PLACES: i64 = 40;
/// Longest text of one.
const LONGEST_NUMBER: usize = 100;
/// Longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 128;

/// What an alert is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertRequest {
    /// A tracked token, in any case.
    #[schema(required, value_type = String, examples("ETH"))]
    token: Option<String>,
    #[schema(required, value_type = Side)]
    condition: Option<String>,
    /// In USD, above zero.
    #[schema(required, value_type = ExactNumber)]
    threshold: Option<Box<RawValue>>,
    /// `once` when left out.
    #[schema(value_type = Option<Repeat>)]
    repeat: Option<String>,
    /// Only with `always`, in USD, above zero; a share of the threshold when left out (`api.alerts.hysteresis_bps`).
    #[schema(value_type = Option<ExactNumber>)]
    hysteresis: Option<Box<RawValue>>,
    /// Whether a price that is `degraded` fires it, and arms it again; `false` when left out.
    #[serde(rename = "fireOnDegraded")]
    fire_on_degraded: Option<bool>,
    /// Returned with the alert and when it fires.
    note: Option<String>,
}

/// A decimal as a string, or as a JSON number of which every digit counts.
#[derive(Debug)]
pub(super) struct ExactNumber;

impl PartialSchema for ExactNumber {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Number]))
            .description(Some(
                "A decimal as a string, or as a number of which every digit counts.",
            ))
            .examples(["4000.000000000000000001"])
            .into()
    }
}

impl ToSchema for ExactNumber {}

/// The alert that a request describes, without its key.
pub(super) fn checked(
    subject: String,
    request: AlertRequest,
    config: &AlertsConfig,
) -> Result<NewAlert, Problem> {
    let token = request.token.unwrap_or_default();
    let token = token
        .parse::<Token>()
        .map_err(|error| Problem::invalid("INVALID_TOKEN", "token", format!("token: {error}")))?;
    let condition = request.condition.unwrap_or_default();
    let condition = condition.parse::<AlertCondition>().map_err(|_| {
        Problem::invalid(
            "INVALID_CONDITION",
            "condition",
            format!(
                "condition must be \"above\" or \"below\", not {:?}",
                shortened(&condition)
            ),
        )
    })?;
    let threshold = request.threshold.as_deref().map(RawValue::get);
    let threshold = threshold.and_then(exact).ok_or_else(|| {
        Problem::invalid(
            "INVALID_THRESHOLD",
            "threshold",
            format!(
                "threshold must be a decimal above zero, as a string or a number, with at most {MOST_PLACES} digits \
                 on each side of the point"
            ),
        )
    })?;
    let repeats = match request.repeat.as_deref() {
        None | Some("once") => false,
        Some("always") => true,
        Some(other) => {
            return Err(Problem::invalid(
                "INVALID_REPEAT",
                "repeat",
                format!(
                    "repeat must be \"once\" or \"always\", not {:?}",
                    shortened(other)
                ),
            ));
        }
    };
    let given = request.hysteresis.as_deref().map(RawValue::get);
    let hysteresis = hysteresis(repeats, given, condition, &threshold, config)?;
    if let Some(note) = &request.note
        && (note.len() > config.note_bytes || note.chars().any(char::is_control))
    {
        return Err(Problem::invalid(
            "INVALID_NOTE",
            "note",
            format!(
                "note may have {} bytes, and no control characters",
                config.note_bytes
            ),
        ));
    }
    Ok(NewAlert {
        subject,
        token,
        condition,
        threshold,
        hysteresis,
        fire_on_degraded: request.fire_on_degraded.unwrap_or(false),
        note: request.note,
        key: None,
    })
}

fn hysteresis(
    repeats: bool,
    given: Option<&str>,
    condition: AlertCondition,
    threshold: &BigDecimal,
    config: &AlertsConfig,
) -> Result<Option<BigDecimal>, Problem> {
    let invalid = |detail: String| Problem::invalid("INVALID_HYSTERESIS", "hysteresis", detail);
    match (repeats, given) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(invalid(
            "hysteresis belongs to alerts with repeat \"always\"".to_owned(),
        )),
        (true, None) => Ok(Some(share(threshold, config.hysteresis_bps))),
        (true, Some(given)) => {
            let given = exact(given).ok_or_else(|| {
                invalid("hysteresis must be a decimal above zero, as a threshold".to_owned())
            })?;
            let least = share(threshold, config.min_hysteresis_bps);
            if given < least {
                return Err(invalid(format!(
                    "hysteresis must be at least {}, which is {} basis points of the threshold: a price that trembles \
                     would fire it again and again",
                    least.to_plain_string(),
                    config.min_hysteresis_bps
                )));
            }
            if condition == AlertCondition::Above && given >= *threshold {
                return Err(invalid(
                    "hysteresis must be below the threshold: no price goes back that far"
                        .to_owned(),
                ));
            }
            Ok(Some(given))
        }
    }
}

/// So many basis points of a threshold. Exact: ten thousandths of a decimal are a decimal.
fn share(threshold: &BigDecimal, bps: u32) -> BigDecimal {
    (threshold * BigDecimal::new(bps.into(), 4)).normalized()
}

/// A decimal above zero from the text of a JSON string or number, with every digit; `None` for anything else.
fn exact(json: &str) -> Option<BigDecimal> {
    if json.len() > LONGEST_NUMBER {
        return None;
    }
    let quoted: String;
    let text = if json.starts_with('"') {
        quoted = serde_json::from_str(json).ok()?;
        quoted.as_str()
    } else {
        json
    };
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(plain) {
        return None;
    }
    if let Some((_, exponent)) = text.split_once(['e', 'E']) {
        let exponent: i64 = exponent.parse().ok()?;
        if !(-MOST_PLACES..=MOST_PLACES).contains(&exponent) {
            return None;
        }
    }
    let value = text.parse::<BigDecimal>().ok()?.normalized();
    let behind = value.fractional_digit_count();
    let before = i64::try_from(value.digits()).ok()? - behind;
    let good = value > 0 && behind <= MOST_PLACES && before <= MOST_PLACES;
    good.then_some(value)
}

/// The key that makes a repeated request the same request.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let good = |key: &&str| {
        (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match key.to_str().ok().filter(good) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::invalid(
            "INVALID_IDEMPOTENCY_KEY",
            "Idempotency-Key",
            format!("Idempotency-Key must be 1 to {LONGEST_KEY} visible ASCII characters"),
        )),
    }
}

#[cfg(test)]
#[path = "alert_request_tests.rs"]
mod tests;
