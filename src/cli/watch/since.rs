//! `--since`: the seqs after which watching starts.

use std::{collections::BTreeMap, str::FromStr};

/// One value of `--since`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Since {
    /// `SEQ`, for every channel.
    All(u64),
    /// `CHANNEL@SEQ`
    Channel(String, u64),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (channel, seq) = match text.rsplit_once('@') {
            Some((channel, seq)) => (Some(channel.trim()), seq),
            None => (None, text),
        };
        match (channel, seq.trim().parse()) {
            (None, Ok(seq)) => Ok(Self::All(seq)),
            (Some(channel), Ok(seq)) if !channel.is_empty() => {
                Ok(Self::Channel(channel.to_owned(), seq))
            }
            _ => Err("use CHANNEL@SEQ, such as new-block@7, or SEQ for every channel".to_owned()),
        }
    }
}

/// The seq after which each channel starts, if any. A value for one channel takes precedence over the value for all.
pub(super) fn positions(
    channels: &[String],
    given: &[Since],
) -> Result<BTreeMap<String, u64>, String> {
    let mut positions = BTreeMap::new();
    for since in given {
        if let Since::All(seq) = since {
            positions.extend(channels.iter().map(|channel| (channel.clone(), *seq)));
        }
    }
    for since in given {
        if let Since::Channel(named, seq) = since {
            let watched = channels
                .iter()
                .find(|channel| channel.eq_ignore_ascii_case(named));
            let Some(channel) = watched else {
                return Err(format!(
                    "--since names {named}, which is not watched: add it to the channels"
                ));
            };
            positions.insert(channel.clone(), *seq);
        }
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(texts: &[&str]) -> Vec<Since> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn channel_seq_overrides_global_seq() {
        let channels = ["new-block", "price:eth", "heartbeat"].map(str::to_owned);
        let found = positions(&channels, &given(&["new-block@7", "price:ETH@41"])).unwrap();
        let expected = [("new-block", 7), ("price:eth", 41)];
        assert_eq!(
            found,
            expected.map(|(name, seq)| (name.to_owned(), seq)).into()
        );
        let found = positions(&channels, &given(&["price:ETH@41", "9"])).unwrap();
        let seqs: Vec<u64> = found.into_values().collect();
        assert_eq!(seqs, [9, 9, 41]);
        let error = positions(&channels, &given(&["price:BTC@1"])).unwrap_err();
        assert!(error.contains("price:BTC"), "{error}");
    }

    #[test]
    fn rejects_malformed_position() {
        for text in ["", "@7", "new-block@", "new-block@-1", "new-block"] {
            assert!(text.parse::<Since>().is_err(), "{text:?}");
        }
    }
}
