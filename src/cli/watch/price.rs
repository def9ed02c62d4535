//! A price in the digits that people read; `--json` has them all.

use bigdecimal::{BigDecimal, RoundingMode, num_traits::Zero};

/// Digits of a price below 1, from the first that is not zero on.
const FIGURES: i64 = 5;
/// A price with more zeros behind its point than this is given with its power of ten.
const MOST_ZEROS: i64 = 8;

/// The JSON text of a price, rounded half to even: to cents from 100 on, to four places from 1 on, and to five figures
/// below. What is no number is left as it is.
pub(super) fn rounded(json: &str) -> String {
    let Ok(price) = json.parse::<BigDecimal>() else {
        return json.to_owned();
    };
    if price.is_zero() {
        return "0".to_owned();
    }
    // Digits before the point; of 0.012 it is -1.
    let before = price.digits().cast_signed() - price.fractional_digit_count();
    let places = match before {
        3.. => 2,
        1.. => 4,
        few => FIGURES - few,
    };
    if price.fractional_digit_count() <= places {
        // Nothing is to be rounded.
        return price.normalized().to_plain_string();
    }
    let short = price.with_scale_round(places, RoundingMode::HalfEven);
    let short = short.normalized();
    if before < -MOST_ZEROS {
        short.to_scientific_notation()
    } else {
        short.to_plain_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_a_price_to_what_people_read() {
        for (json, shown) in [
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
            assert_eq!(rounded(json), shown, "{json}");
        }
    }
}
