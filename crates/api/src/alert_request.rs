//! The body of a new alert: parsed without loss of digits, and rejected with a specific code.

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
    alert_schema::{Repeat, Side},
    code::Code,
    error::{Problem, shortened},
};
use chaincast_protocol::{AlertCondition, Token};
use chaincast_store::alerts::NewAlert;

/// Maximum number of digits on each side of the decimal point.
const MAX_PLACES: i64 = 40;
/// Maximum length of a number's text.
const LONGEST_NUMBER: usize = 100;
/// Longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 128;

/// A new price alert.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertRequest {
    /// Symbol of a tracked token, case-insensitive.
    #[schema(required, value_type = String, examples("ETH"))]
    token: Option<String>,
    #[schema(required, value_type = Side)]
    condition: Option<String>,
    /// In USD, greater than zero.
    #[schema(required, value_type = ExactNumber)]
    threshold: Option<Box<RawValue>>,
    /// Defaults to `once`.
    #[schema(value_type = Option<Repeat>)]
    repeat: Option<String>,
    /// Only with `always`, in USD, greater than zero; defaults to a fraction of the threshold
    /// (`api.alerts.hysteresis_bps`).
    #[schema(value_type = Option<ExactNumber>)]
    hysteresis: Option<Box<RawValue>>,
    /// Whether a `degraded` price also fires it and arms it again; defaults to `false`.
    #[serde(rename = "fireOnDegraded")]
    fire_on_degraded: Option<bool>,
    /// Returned with the alert and its deliveries.
    note: Option<String>,
}

/// A decimal as a string or as a JSON number; every digit is kept.
#[derive(Debug)]
pub(super) struct ExactNumber;

impl PartialSchema for ExactNumber {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Number]))
            .description(Some(
                "A decimal as a string or as a number; every digit is kept.",
            ))
            .examples(["4000.000000000000000001"])
            .into()
    }
}

impl ToSchema for ExactNumber {}

/// Validates a request; returns the alert without its key.
pub(super) fn validate(
    subject: String,
    request: AlertRequest,
    config: &AlertsConfig,
) -> Result<NewAlert, Problem> {
    let token = request.token.unwrap_or_default();
    let token = token.parse::<Token>().map_err(|error| {
        Problem::invalid(Code::InvalidToken, "token", format!("token: {error}"))
    })?;
    let condition = request.condition.unwrap_or_default();
    let condition = condition.parse::<AlertCondition>().map_err(|_| {
        Problem::invalid(
            Code::InvalidCondition,
            "condition",
            format!(
                "condition must be \"above\" or \"below\", not {:?}",
                shortened(&condition)
            ),
        )
    })?;
    let threshold = request.threshold.as_deref().map(RawValue::get);
    let threshold = threshold.and_then(parse_decimal).ok_or_else(|| {
        Problem::invalid(
            Code::InvalidThreshold,
            "threshold",
            format!(
                "threshold must be a decimal greater than 0, as a string or a number, with at most {MAX_PLACES} digits \
                 on each side of the point"
            ),
        )
    })?;
    let repeats = match request.repeat.as_deref() {
        None | Some("once") => false,
        Some("always") => true,
        Some(other) => {
            return Err(Problem::invalid(
                Code::InvalidRepeat,
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
            Code::InvalidNote,
            "note",
            format!(
                "note may have at most {} bytes and no control characters",
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
    let invalid = |detail: String| Problem::invalid(Code::InvalidHysteresis, "hysteresis", detail);
    match (repeats, given) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(invalid(
            "hysteresis is only valid with repeat \"always\"".to_owned(),
        )),
        (true, None) => Ok(Some(basis_points_of(threshold, config.hysteresis_bps))),
        (true, Some(given)) => {
            let given = parse_decimal(given).ok_or_else(|| {
                invalid(
                    "hysteresis must be a decimal greater than 0, in the format of threshold"
                        .to_owned(),
                )
            })?;
            let least = basis_points_of(threshold, config.min_hysteresis_bps);
            if given < least {
                return Err(invalid(format!(
                    "hysteresis must be at least {}, which is {} basis points of the threshold, so that small price \
                     movements do not fire it repeatedly",
                    least.to_plain_string(),
                    config.min_hysteresis_bps
                )));
            }
            if condition == AlertCondition::Above && given >= *threshold {
                return Err(invalid(
                    "hysteresis must be less than the threshold: the price could never move back that far"
                        .to_owned(),
                ));
            }
            Ok(Some(given))
        }
    }
}

/// `bps` basis points of a threshold, exactly.
fn basis_points_of(threshold: &BigDecimal, bps: u32) -> BigDecimal {
    (threshold * BigDecimal::new(bps.into(), 4)).normalized()
}

/// Parses a JSON string or number as a decimal above zero, keeping every digit; `None` for anything else.
fn parse_decimal(json: &str) -> Option<BigDecimal> {
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
        if !(-MAX_PLACES..=MAX_PLACES).contains(&exponent) {
            return None;
        }
    }
    let value = text.parse::<BigDecimal>().ok()?.normalized();
    let fraction = value.fractional_digit_count();
    let integer = i64::try_from(value.digits()).ok()? - fraction;
    let is_valid = value > 0 && fraction <= MAX_PLACES && integer <= MAX_PLACES;
    is_valid.then_some(value)
}

/// Parses the idempotency key.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let is_valid = |key: &&str| {
        (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match key.to_str().ok().filter(is_valid) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::invalid(
            Code::InvalidIdempotencyKey,
            "Idempotency-Key",
            format!("Idempotency-Key must be 1 to {LONGEST_KEY} visible ASCII characters"),
        )),
    }
}

#[cfg(test)]
#[path = "alert_request_tests.rs"]
mod tests;
