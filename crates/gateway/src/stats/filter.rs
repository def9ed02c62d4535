//! Selects channels: all, one by name, or those with a common prefix.

/// A pattern such as `price:ETH` or `price:*`. Names are compared case-insensitively, as in requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    prefix: String,
    exact: bool,
}

impl Filter {
    /// `None` matches every channel.
    pub(crate) fn new(pattern: Option<&str>) -> Self {
        match pattern {
            None => Self::default(),
            Some(pattern) => match pattern.strip_suffix('*') {
                Some(prefix) => Self {
                    prefix: prefix.to_owned(),
                    exact: false,
                },
                None => Self {
                    prefix: pattern.to_owned(),
                    exact: true,
                },
            },
        }
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let (name, prefix) = (name.as_bytes(), self.prefix.as_bytes());
        let fits = if self.exact {
            name.len() == prefix.len()
        } else {
            name.len() >= prefix.len()
        };
        fits && name[..prefix.len()].eq_ignore_ascii_case(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_matches_a_name_or_a_prefix() {
        for (pattern, name, expected) in [
            (None, "price:ETH", true),
            (Some("*"), "heartbeat", true),
            (Some("price:*"), "price:ETH", true),
            (Some("PRICE:e*"), "price:ETH", true),
            (Some("price:*"), "new-block", false),
            (Some("price:eth"), "price:ETH", true),
            (Some("price:ET"), "price:ETH", false),
            (Some("price:ETHX"), "price:ETH", false),
        ] {
            assert_eq!(
                Filter::new(pattern).matches(name),
                expected,
                "{pattern:?} {name}"
            );
        }
    }
}
