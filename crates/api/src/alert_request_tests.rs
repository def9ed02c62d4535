use axum::http::HeaderValue;
use serde_json::json;

use super::*;

fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

fn check(body: &serde_json::Value) -> Result<NewAlert, Problem> {
    // As text, to keep every digit of a number.
    check_text(&body.to_string())
}

fn check_text(body: &str) -> Result<NewAlert, Problem> {
    let request: AlertRequest = serde_json::from_str(body).unwrap();
    validate("alice".to_owned(), request, &AlertsConfig::default())
}

/// The rejection of a body, with its code and parameter.
fn rejection(body: &serde_json::Value) -> String {
    let problem = check(body).unwrap_err();
    format!("{problem:?}")
}

#[test]
fn decimal_keeps_every_digit() {
    for (json, value) in [
        ("\"4000.000000000000000001\"", "4000.000000000000000001"),
        ("4000.000000000000000001", "4000.000000000000000001"),
        ("0.1", "0.1"),
        ("1e-7", "0.0000001"),
        ("\"1E3\"", "1000"),
        (
            "12345678901234567890123456789",
            "12345678901234567890123456789",
        ),
    ] {
        assert_eq!(parse_decimal(json), Some(decimal(value)), "{json}");
    }
    let forty = "9".repeat(40);
    assert_eq!(parse_decimal(&forty), Some(decimal(&forty)));
}

#[test]
fn rejects_invalid_decimals() {
    let long = format!("1{}", "0".repeat(40));
    let tiny = format!("0.{}1", "0".repeat(40));
    for json in [
        "0",
        "\"0.00\"",
        "-1",
        "\"-1\"",
        "\"\"",
        "\" 1\"",
        "\"1,5\"",
        "\"0x10\"",
        "\"NaN\"",
        "\"inf\"",
        "1e41",
        "1e999999999999",
        "\"1e-9223372036854775808\"",
        "\"1e\"",
        "true",
        "null",
        "[1]",
        "{}",
        &long,
        &tiny,
        &format!("\"{}\"", "1".repeat(1_000)),
    ] {
        assert_eq!(parse_decimal(json), None, "{json}");
    }
}

#[test]
fn request_becomes_alert() {
    let once = check_text(r#"{"token":"eth","condition":"above","threshold":4000.50}"#).unwrap();
    assert_eq!(once.token.as_str(), "ETH");
    assert_eq!(once.threshold, decimal("4000.5"));
    assert_eq!((once.hysteresis, once.note), (None, None));
    let body = json!({"token": "ETH", "condition": "below", "threshold": "2000", "repeat": "always", "note": "buy"});
    let always = check(&body).unwrap();
    // Default: 50 basis points of the threshold.
    assert_eq!(always.hysteresis, Some(decimal("10")));
    assert_eq!(always.note.as_deref(), Some("buy"));
    let body = json!({"token": "ETH", "condition": "above", "threshold": "2000", "repeat": "always", "hysteresis": "2"});
    // Minimum: 10 basis points.
    assert_eq!(check(&body).unwrap().hysteresis, Some(decimal("2")));
}

#[test]
fn rejection_has_code_and_field() {
    let good = json!({"token": "ETH", "condition": "above", "threshold": "10"});
    for (field, value, code) in [
        ("token", json!("E TH"), "INVALID_TOKEN"),
        ("token", json!(null), "INVALID_TOKEN"),
        ("condition", json!("over"), "INVALID_CONDITION"),
        ("threshold", json!("ten"), "INVALID_THRESHOLD"),
        ("threshold", json!(null), "INVALID_THRESHOLD"),
        ("repeat", json!("twice"), "INVALID_REPEAT"),
        ("hysteresis", json!(1), "INVALID_HYSTERESIS"),
        ("note", json!("x".repeat(257)), "INVALID_NOTE"),
        ("note", json!("a\u{0}b"), "INVALID_NOTE"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let problem = rejection(&body);
        assert!(problem.contains(code), "{body}: {problem}");
        assert!(problem.contains(&format!("{field:?}")), "{body}: {problem}");
    }
    for hysteresis in ["10", "11", "0", "-1"] {
        let mut body = good.clone();
        body["repeat"] = json!("always");
        body["hysteresis"] = json!(hysteresis);
        assert!(rejection(&body).contains("INVALID_HYSTERESIS"), "{body}");
    }
}

#[test]
fn idempotency_key_is_bounded_visible_ascii() {
    let key = |text: &str| {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
        headers.insert("idempotency-key", value);
        idempotency_key(&headers)
    };
    assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
    assert_eq!(key("3f2a-1").unwrap().as_deref(), Some("3f2a-1"));
    for bad in ["", "a b", &"x".repeat(129), "ü"] {
        assert!(key(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn degraded_prices_fire_only_on_request() {
    let mut body = json!({"token": "ETH", "condition": "above", "threshold": "1"});
    assert!(!check(&body).unwrap().fire_on_degraded);
    for given in [true, false] {
        body["fireOnDegraded"] = json!(given);
        assert_eq!(check(&body).unwrap().fire_on_degraded, given);
    }
    body["fireOnDegraded"] = json!("yes");
    assert!(serde_json::from_value::<AlertRequest>(body).is_err());
}
