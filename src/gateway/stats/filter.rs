//! Which channels are asked for: all, one by its name, or those whose names begin alike.

/// From `price:ETH`, or `price:*`. Names are compared in any case, as everywhere on the way in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    begin: String,
    whole: bool,
}

impl Filter {
    /// `None` takes every channel.
    pub fn new(pattern: Option<&str>) -> Self {
        match pattern {
            None => Self::default(),
            Some(pattern) => match pattern.strip_suffix('*') {
                Some(begin) => Self {
                    begin: begin.to_owned(),
                    whole: false,
                },
                None => Self {
                    begin: pattern.to_owned(),
                    whole: true,
                },
            },
        }
    }

    pub fn takes(&self, name: &str) -> bool {
        let (name, begin) = (name.as_bytes(), self.begin.as_bytes());
        let fits = if self.whole {
            name.len() == begin.len()
        } else {
            name.len() >= begin.len()
        };
        fits && name[..begin.len()].eq_ignore_ascii_case(begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_one_name_or_a_beginning() {
        for (pattern, name, taken) in [
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
                Filter::new(pattern).takes(name),
                taken,
                "{pattern:?} {name}"
            );
        }
    }
}
