//! Collects problems.

use std::{fmt::Display, ops::RangeInclusive};

use crate::{config::error::Problem, model::Secret};

/// The problems found so far.
#[derive(Default)]
pub(super) struct Checks(pub(super) Vec<Problem>);

impl Checks {
    pub(super) fn check(&mut self, valid: bool, key: &str, message: &str) {
        if !valid {
            self.0.push(Problem::new(key, message));
        }
    }

    /// Checks that a number is within its limits, inclusive.
    pub(super) fn within<T: PartialOrd + Display>(
        &mut self,
        key: &str,
        value: T,
        limits: RangeInclusive<T>,
    ) {
        let (least, most) = (limits.start(), limits.end());
        let message = format!("must be {least} to {most}");
        self.check(limits.contains(&value), key, &message);
    }

    pub(super) fn above_zero<T: PartialOrd + Default>(&mut self, key: &str, value: T) {
        self.check(value > T::default(), key, "must be above 0");
    }
}

pub(super) fn has_scheme(url: &Secret, schemes: &[&str]) -> bool {
    url.expose()
        .split_once("://")
        .is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}
