//! Rounds prices for display; `--json` prints all digits.

use bigdecimal::{BigDecimal, RoundingMode, num_traits::Zero};

/// Significant digits of a price below 1.
const SIGNIFICANT_DIGITS: i64 = 5;
/// A price with more leading zeros after the decimal point is printed in scientific notation.
const MAX_LEADING_ZEROS: i64 = 8;

/// The JSON text of a price, rounded half to even: two decimals from 100 on, four decimals from 1 on, and five
/// significant digits below 1. Text that is not a number is returned unchanged.
pub(super) fn rounded(json: &str) -> String {
    let Ok(price) = json.parse::<BigDecimal>() else {
        return json.to_owned();
    };
    if price.is_zero() {
        return "0".to_owned();
    }
    // Digits integer_digits the decimal point; -1 for 0.012.
    let integer_digits = price.digits().cast_signed() - price.fractional_digit_count();
    let places = match integer_digits {
        3.. => 2,
        1.. => 4,
        few => SIGNIFICANT_DIGITS - few,
    };
    if price.fractional_digit_count() <= places {
        // No rounding needed.
        return price.normalized().to_plain_string();
    }
    let short = price.with_scale_round(places, RoundingMode::HalfEven);
    let short = short.normalized();
    if integer_digits < -MAX_LEADING_ZEROS {
        short.to_scientific_notation()
    } else {
        short.to_plain_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_prices_for_display() {
        for (json, expected) in [
            ("3456.120000000000000000245", "3456.12"),
            ("3456.125", "3456.12"),
            ("3456.135", "3456.14"),
            ("999.999", "1000"),
            ("64000", "64000"),
            ("12.345678", "12.3457"),
            ("0.99991234", "0.99991"),
            ("0.000649004842701370077", "0.000649"),
            ("0.00064912345", "0.00064912"),
            ("1200000000000.5", "1200000000000.5"),
            ("0.0000000000123456789", "1.2346e-11"),
            ("0.0000000000012", "0.0000000000012"),
            ("0", "0"),
            ("null", "null"),
        ] {
            assert_eq!(rounded(json), expected, "{json}");
        }
    }
}
