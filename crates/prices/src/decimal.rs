//! Exact decimal arithmetic for prices, without floats; the only place that rounds.
//!
//! Sums, halves and shifts are exact. A quotient is rounded once, half to even, to [`SIGNIFICANT_DIGITS`]. Conversions
//! can be chained, so products keep [`GUARD_DIGITS`], and [`to_places`] rounds the final price once.

use std::num::NonZeroU64;

use bigdecimal::{
    BigDecimal, RoundingMode,
    num_bigint::BigInt,
    num_traits::{One, Signed, Zero},
};

/// Digits of a calculated number, as opposed to one reported by a venue: the 18 decimals of most tokens, and few enough
/// to hide the remainder of a division, as in 3456.120000000000000000245.
pub const SIGNIFICANT_DIGITS: NonZeroU64 = NonZeroU64::new(18).unwrap();
/// Digits that a product keeps until its price is rounded; enough that the double rounding does not matter.
const GUARD_DIGITS: NonZeroU64 = NonZeroU64::new(72).unwrap();

/// Limit of decimal places before or after the point: far beyond any token, and far below what would slow arithmetic or
/// overflow a column.
const MAX_PLACES: i64 = 1_000;
/// Limit of the bits of all digits; about 1,200 digits.
const MAX_BITS: u64 = 4_096;

/// Whether a number is small enough to calculate with: `1e999999999` is a number too.
pub fn is_bounded(value: &BigDecimal) -> bool {
    (-MAX_PLACES..=MAX_PLACES).contains(&value.fractional_digit_count())
        && value.as_bigint_and_scale().0.bits() <= MAX_BITS
}

/// Whether a number can be a price: above zero and bounded.
pub fn is_price(value: &BigDecimal) -> bool {
    value.is_positive() && is_bounded(value)
}

/// `value` rounded half to even to [`SIGNIFICANT_DIGITS`].
pub fn rounded(value: &BigDecimal) -> BigDecimal {
    rounded_to(value, SIGNIFICANT_DIGITS)
}

fn rounded_to(value: &BigDecimal, digits: NonZeroU64) -> BigDecimal {
    if value.digits() <= digits.get() {
        return value.clone();
    }
    value
        .with_precision_round(digits, RoundingMode::HalfEven)
        .normalized()
}

/// The product, to [`GUARD_DIGITS`].
pub fn product(a: &BigDecimal, b: &BigDecimal) -> BigDecimal {
    rounded_to(&(a * b), GUARD_DIGITS)
}

/// Decimal places after the point, without trailing zeros.
pub fn places(value: &BigDecimal) -> i64 {
    value.normalized().fractional_digit_count()
}

/// Decimal places up to the last of the [`SIGNIFICANT_DIGITS`] of `value`.
pub fn significant_places(value: &BigDecimal) -> i64 {
    let before = value.digits().cast_signed() - value.fractional_digit_count();
    SIGNIFICANT_DIGITS.get().cast_signed() - before
}

/// `value` rounded half to even to `places` after the point; negative `places` are before the point.
pub fn to_places(value: &BigDecimal, places: i64) -> BigDecimal {
    if value.fractional_digit_count() <= places {
        return value.normalized();
    }
    value
        .with_scale_round(places, RoundingMode::HalfEven)
        .normalized()
}

/// `numerator / denominator × 10^shift` of two positive integers, rounded; `None` if the denominator is zero.
pub fn quotient(numerator: &BigInt, denominator: &BigInt, shift: i64) -> Option<BigDecimal> {
    if denominator.is_zero() {
        return None;
    }
    // Scale the numerator until the integer quotient has a few more digits than needed.
    let digits = |value: &BigInt| value.to_string().len() as i64;
    let wanted = SIGNIFICANT_DIGITS.get() as i64 + 2;
    let scale = (wanted + digits(denominator) - digits(numerator)).max(0);
    let scaled = numerator * BigInt::from(10).pow(u32::try_from(scale).ok()?);
    let whole = &scaled / denominator;
    let remainder = scaled - &whole * denominator;
    // A sticky digit for the remainder: it breaks ties as the full expansion would.
    let sticky = if remainder.is_zero() {
        BigInt::zero()
    } else {
        BigInt::one()
    };
    let exact_enough = BigDecimal::new(whole * 10 + sticky, scale + 1 - shift);
    Some(rounded(&exact_enough).normalized())
}

/// `numerator / denominator`, rounded; `numerator` must not be negative and `denominator` must be positive. `None` if
/// the denominator is zero.
pub fn ratio(numerator: &BigDecimal, denominator: &BigDecimal) -> Option<BigDecimal> {
    let (numerator, numerator_scale) = numerator.as_bigint_and_exponent();
    let (denominator, denominator_scale) = denominator.as_bigint_and_exponent();
    quotient(
        &numerator,
        &denominator,
        denominator_scale - numerator_scale,
    )
}

/// Half of a value, exactly.
pub fn half(value: BigDecimal) -> BigDecimal {
    value * BigDecimal::new(BigInt::from(5), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(text: &str) -> BigInt {
        text.parse().unwrap()
    }

    fn quotient_text(a: &str, b: &str, shift: i64) -> String {
        quotient(&int(a), &int(b), shift).unwrap().to_plain_string()
    }

    #[test]
    fn quotient_has_18_significant_digits() {
        assert_eq!(quotient_text("1", "3", 0), "0.333333333333333333");
        assert_eq!(quotient_text("2", "3", 0), "0.666666666666666667");
        assert_eq!(quotient_text("20", "3", 3), "6666.66666666666667");
        assert_eq!(
            quotient_text("1", "3", -20),
            "0.00000000000000000000333333333333333333"
        );
        assert_eq!(quotient_text("6", "3", 2), "200");
    }

    #[test]
    fn quotient_hides_division_remainder() {
        // A root in steps of 2^-96, and reserves in whole units.
        for noisy in ["3456120000000000000000245", "3456119999999999999999755"] {
            let ten = format!("1{}", "0".repeat(21));
            assert_eq!(quotient_text(noisy, &ten, 0), "3456.12");
        }
    }

    #[test]
    fn quotient_rounds_half_to_even() {
        // 18 digits kept, then exactly one half.
        let tie_even = "1000000000000000005"; // …0|5
        let tie_odd = "1000000000000000015"; // …1|5
        let ten = "10000000000000000000";
        assert_eq!(quotient_text(tie_even, ten, 1), "1");
        assert_eq!(quotient_text(tie_odd, ten, 1), "1.00000000000000002");
        // One part in 10^50 above the tie decides.
        let above = format!("{tie_even}{}1", "0".repeat(49));
        let scale = format!("1{}", "0".repeat(68));
        assert_eq!(quotient_text(&above, &scale, 0), "1.00000000000000001");
    }

    #[test]
    fn to_places_rounds_half_to_even() {
        let round =
            |text: &str, places| to_places(&text.parse().unwrap(), places).to_plain_string();
        assert_eq!(round("3456.1250", 2), "3456.12");
        assert_eq!(round("3456.1350", 2), "3456.14");
        assert_eq!(round("3456.120", 5), "3456.12");
        assert_eq!(round("123456", -3), "123000");
        let last = |text: &str| significant_places(&text.parse().unwrap());
        assert_eq!(last("3456.12"), 14);
        assert_eq!(last("0.0012"), 20);
        assert_eq!(last("1e30"), -13);
    }

    #[test]
    fn halves_are_exact() {
        let value: BigDecimal = "0.123456789012345678901234567890123457".parse().unwrap();
        assert_eq!(half(value.clone()) * BigDecimal::from(2), value);
    }

    #[test]
    fn is_price_requires_positive_bounded_number() {
        let is = |text: &str| is_price(&text.parse().unwrap());
        assert!(is("0.000000000000000001") && is("1e300") && is("1e-300"));
        for no in [
            "0",
            "-1",
            "1e1001",
            "1e-1001",
            "1e999999999999",
            "1e-999999999999",
        ] {
            assert!(!is(no), "{no}");
        }
        assert!(!is(&"9".repeat(1_300)));
    }

    #[test]
    fn quotient_by_zero_is_none() {
        assert_eq!(quotient(&BigInt::one(), &BigInt::zero(), 0), None);
    }
}
