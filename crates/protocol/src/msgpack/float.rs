//! Floats of MessagePack, for numbers of clients only: those of the protocol have digits that a float would round.

use rmp::encode::write_f64;

/// Appends a JSON number as `JSON.parse` reads it: rounded, and infinite if it is too large. False if it is no number.
pub(super) fn write(number: &str, out: &mut Vec<u8>) -> bool {
    // Writing into a Vec does not fail.
    number
        .parse()
        .is_ok_and(|number: f64| write_f64(out, number).is_ok())
}
