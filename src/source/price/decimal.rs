//! Exact decimal arithmetic for prices: no float anywhere, and every rounding is this one.
//!
//! Sums, halves and shifts are exact. A quotient is rounded once, half to even, to [`SIGNIFICANT_DIGITS`]. Products are
//! of conversions, several of which may follow each other: they keep [`GUARD_DIGITS`], and the price that comes of them is
//! rounded once by [`to_places`].

use std::num::NonZeroU64;

use bigdecimal::{
    BigDecimal, RoundingMode,
    num_bigint::BigInt,
    num_traits::{One, Signed, Zero},
};

/// Digits of a number that was calculated, and not said by a venue: as many as the 18 of most tokens, and few enough that
/// what a division leaves over does not show, as in 3456.120000000000000000245.
pub const SIGNIFICANT_DIGITS: NonZeroU64 = NonZeroU64::new(18).unwrap();
/// Digits that a product keeps until its price is rounded: so many more that the two roundings are as one.
const GUARD_DIGITS: NonZeroU64 = NonZeroU64::new(72).unwrap();

/// Decimal places, before or behind the point, beyond which a number is no price: far beyond any token's, and far
/// below what would make arithmetic slow or not fit a column.
const MOST_PLACES: i64 = 1_000;
/// Bits of all its digits beyond which a number is no price; about 1,200 digits.
const MOST_BITS: u64 = 4_096;

/// Whether a number is small enough to calculate with: text such as `1e999999999` is a number too.
pub fn is_bounded(value: &BigDecimal) -> bool {
    (-MOST_PLACES..=MOST_PLACES).contains(&value.fractional_digit_count())
        && value.as_bigint_and_scale().0.bits() <= MOST_BITS
}

/// Whether it can be a price: above zero, and small enough to calculate with.
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

/// Decimal places behind the point that `value` has, without zeros at its end.
pub fn places(value: &BigDecimal) -> i64 {
    value.normalized().fractional_digit_count()
}

/// Decimal places behind the point of the last of [`SIGNIFICANT_DIGITS`] of `value`.
pub fn significant_places(value: &BigDecimal) -> i64 {
    let before = value.digits().cast_signed() - value.fractional_digit_count();
    SIGNIFICANT_DIGITS.get().cast_signed() - before
}

/// `value` rounded half to even to so many places behind the point; of a number below zero, before it.
pub fn to_places(value: &BigDecimal, places: i64) -> BigDecimal {
    if value.fractional_digit_count() <= places {
        return value.normalized();
    }
    value
        .with_scale_round(places, RoundingMode::HalfEven)
        .normalized()
}

/// `numerator / denominator × 10^shift` of two integers above zero, rounded; `None` when the denominator is zero.
pub fn quotient(numerator: &BigInt, denominator: &BigInt, shift: i64) -> Option<BigDecimal> {
    if denominator.is_zero() {
        return None;
    }
    // Scale the numerator until the integer quotient has a few digits more than are kept.
    let digits = |value: &BigInt| value.to_string().len() as i64;
    let wanted = SIGNIFICANT_DIGITS.get() as i64 + 2;
    let scale = (wanted + digits(denominator) - digits(numerator)).max(0);
    let scaled = numerator * BigInt::from(10).pow(u32::try_from(scale).ok()?);
    let whole = &scaled / denominator;
    let rest = scaled - &whole * denominator;
    // A last digit that stands for whatever the division left over: it breaks ties as the full expansion would.
    let sticky = if rest.is_zero() {
        BigInt::zero()
    } else {
        BigInt::one()
    };
    let exact_enough = BigDecimal::new(whole * 10 + sticky, scale + 1 - shift);
    Some(rounded(&exact_enough).normalized())
}

/// `numerator / denominator` of two numbers, the one zero or above and the other above zero, rounded; `None` when the
/// denominator is zero.
pub fn ratio(numerator: &BigDecimal, denominator: &BigDecimal) -> Option<BigDecimal> {
    let (numerator, of_numerator) = numerator.as_bigint_and_exponent();
    let (denominator, of_denominator) = denominator.as_bigint_and_exponent();
    quotient(&numerator, &denominator, of_denominator - of_numerator)
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
    fn a_quotient_has_18_significant_digits() {
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
    fn a_division_leaves_no_noise() {
        // A root of 2^-96 steps, and reserves that are whole units.
        for noisy in ["3456120000000000000000245", "3456119999999999999999755"] {
            let ten = format!("1{}", "0".repeat(21));
            assert_eq!(quotient_text(noisy, &ten, 0), "3456.12");
        }
    }

    #[test]
    fn a_tie_goes_to_the_even_digit_and_anything_beyond_it_does_not() {
        // 18 digits kept, then exactly one half.
        let tie_even = "1000000000000000005"; // …0|5
        let tie_odd = "1000000000000000015"; // …1|5
        let ten = "10000000000000000000";
        assert_eq!(quotient_text(tie_even, ten, 1), "1");
        assert_eq!(quotient_text(tie_odd, ten, 1), "1.00000000000000002");
        // One part in 10^50 above the tie decides it.
        let above = format!("{tie_even}{}1", "0".repeat(49));
        let scale = format!("1{}", "0".repeat(68));
        assert_eq!(quotient_text(&above, &scale, 0), "1.00000000000000001");
    }

    #[test]
    fn places_behind_and_before_the_point_are_rounded_half_to_even() {
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
    fn a_price_is_above_zero_and_of_a_sane_size() {
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
    fn nothing_is_divided_by_zero() {
        assert_eq!(quotient(&BigInt::one(), &BigInt::zero(), 0), None);
    }
}
