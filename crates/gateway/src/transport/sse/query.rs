//! The parameters of an event stream: the query, and the `Last-Event-ID` of a reconnecting client.

use std::{collections::BTreeMap, str::FromStr};

use axum::http::HeaderMap;

use chaincast_protocol::{
    Refusal,
    request::{Interval, Mode, Names, Since, Subscribe},
    truncated_name,
};

/// The query parameters. `channels` and `since` may be repeated; each value is a list.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    channels: Vec<String>,
    since: Option<String>,
    epoch: Option<String>,
    token: Option<String>,
    mode: Option<Mode>,
    interval: Interval,
    snapshot: Option<bool>,
}

impl Parameters {
    /// Reads the pairs of a query; unknown keys are ignored.
    pub(super) fn read(pairs: Vec<(String, String)>) -> Result<Self, Refusal> {
        let mut read = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "channels" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    read.channels.extend(names.map(str::to_owned));
                }
                "since" => match &mut read.since {
                    Some(since) => *since = format!("{since},{value}"),
                    None => read.since = Some(value),
                },
                "epoch" => set_once(&mut read.epoch, &key, value)?,
                "token" => set_once(&mut read.token, &key, value)?,
                "mode" => {
                    let mode = match value.as_str() {
                        "latest" => Mode::Latest,
                        "all" => Mode::All,
                        _ => return Err(invalid(&key, &value, "\"latest\" or \"all\"")),
                    };
                    set_once(&mut read.mode, &key, mode)?;
                }
                "interval" => {
                    let interval = value.parse().ok().and_then(Interval::new);
                    read.interval = interval
                        .ok_or_else(|| invalid(&key, &value, "0, 100, 250, 1000 or 5000 (ms)"))?;
                }
                "snapshot" => {
                    let snapshot = bool::from_str(&value);
                    let snapshot =
                        snapshot.map_err(|_| invalid(&key, &value, "\"true\" or \"false\""))?;
                    set_once(&mut read.snapshot, &key, snapshot)?;
                }
                _ => {}
            }
        }
        Ok(read)
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The requested subscription, with at most `most` channels.
    pub(super) fn subscription(
        &self,
        headers: &HeaderMap,
        most: usize,
    ) -> Result<Subscribe, Refusal> {
        let names = &self.channels;
        if names.is_empty() || names.len() > most {
            return Err(Refusal::bad_request(format!(
                "channels must name 1 to {most} channels, such as channels=price:ETH,new-block"
            )));
        }
        Ok(Subscribe {
            since: self.since(headers, most)?,
            names: Names::Many(names.clone()),
            epoch: self.epoch.clone(),
            snapshot: self.snapshot.unwrap_or(true),
            mode: self.mode,
            interval: self.interval,
            presence: false,
            info: None,
        })
    }

    /// `Last-Event-ID` takes precedence over the URL, which a reconnecting client repeats. Unreadable parts of it are
    /// ignored and their channels begin with the snapshot: an error would fail every retry of the client.
    fn since(&self, headers: &HeaderMap, most: usize) -> Result<Option<Since>, Refusal> {
        let last = headers
            .get("last-event-id")
            .filter(|value| !value.is_empty());
        if let Some(last) = last {
            let text = String::from_utf8_lossy(last.as_bytes());
            let seqs: BTreeMap<String, u64> = positions(&text).flatten().take(most).collect();
            return Ok((!seqs.is_empty()).then_some(Since::Each(seqs)));
        }
        let Some(text) = &self.since else {
            return Ok(None);
        };
        let seqs = positions(text).map(|part| {
            part.map_err(|part| {
                Refusal::bad_request(format!(
                    "since: {:?} is not a position: use CHANNEL@SEQ, several separated by commas",
                    truncated_name(part)
                ))
            })
        });
        seqs.collect::<Result<_, _>>()
            .map(|seqs| Some(Since::Each(seqs)))
    }
}

fn set_once<T>(place: &mut Option<T>, key: &str, value: T) -> Result<(), Refusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::bad_request(format!(
            "{key} is given more than once"
        ))),
    }
}

fn invalid(key: &str, value: &str, right: &str) -> Refusal {
    let value: String = value.chars().take(64).collect();
    Refusal::bad_request(format!("{key}: {value:?} is not {right}"))
}

/// The positions in `a@13,b@7`; an invalid part is returned as the error.
fn positions(text: &str) -> impl Iterator<Item = Result<(String, u64), &str>> {
    let parts = text.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).map(|part| {
        let (channel, seq) = part.rsplit_once('@').ok_or(part)?;
        let seq = seq.parse().map_err(|_| part)?;
        Ok((channel.to_owned(), seq))
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Parameters, Refusal> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Parameters::read(pairs.iter().map(owned).collect())
    }

    fn since(pairs: &[(&str, &str)], last: &[u8]) -> Result<Option<Since>, Refusal> {
        let mut headers = HeaderMap::new();
        if !last.is_empty() {
            headers.insert("last-event-id", HeaderValue::from_bytes(last).unwrap());
        }
        let pairs = [&[("channels", "new-block")], pairs].concat();
        let subscribe = read(&pairs).unwrap().subscription(&headers, 3)?;
        Ok(subscribe.since)
    }

    fn each<const N: usize>(seqs: [(&str, u64); N]) -> Option<Since> {
        let owned = seqs.map(|(name, seq)| (name.to_owned(), seq));
        Some(Since::Each(BTreeMap::from(owned)))
    }

    #[test]
    fn reads_lists_and_repeated_channels() {
        for pairs in [
            &[("channels", "a,b,c")][..],
            &[("channels", "a"), ("channels", "b"), ("channels", "c")],
            &[("channels", ",a,b"), ("x", "y"), ("channels", "c,")],
        ] {
            assert_eq!(read(pairs).unwrap().channels, ["a", "b", "c"], "{pairs:?}");
        }
        let none = read(&[("channels", ",")]).unwrap();
        assert!(none.subscription(&HeaderMap::new(), 3).is_err());
        let many = read(&[("channels", "a,b"), ("channels", "c,d")]).unwrap();
        assert!(many.subscription(&HeaderMap::new(), 3).is_err());
    }

    #[test]
    fn reads_positions() {
        let expected = each([("new-block", 13), ("user:a@b", 7)]);
        assert_eq!(
            since(&[("since", "new-block@13,user:a@b@7")], b"").unwrap(),
            expected
        );
        let twice = [("since", "new-block@13"), ("since", "user:a@b@7")];
        assert_eq!(since(&twice, b"").unwrap(), expected);
        for bad in ["new-block", "new-block@", "new-block@-1", "@x"] {
            assert!(since(&[("since", bad)], b"").is_err(), "{bad}");
        }
    }

    #[test]
    fn unreadable_last_event_id_starts_from_the_snapshot() {
        let url = [("since", "new-block@1")];
        for bad in [
            &b"nonsense"[..],
            b"new-block@",
            b"new-block@-1",
            b"new-block@99999999999999999999",
            b"\xff\xfe",
            b",",
        ] {
            assert_eq!(since(&url, bad).unwrap(), None, "{bad:?}");
        }
        assert_eq!(
            since(&url, b"new-block@7,nonsense,price:ETH@x").unwrap(),
            each([("new-block", 7)])
        );
        assert_eq!(
            since(&url, "user:é@7".as_bytes()).unwrap(),
            each([("user:é", 7)])
        );
        let many = (0..10).map(|at| format!("c{at}@1")).collect::<Vec<_>>();
        let Some(Since::Each(seqs)) = since(&url, many.join(",").as_bytes()).unwrap() else {
            panic!("some are read");
        };
        assert_eq!(seqs.len(), 3);
    }

    #[test]
    fn errors_name_the_parameter() {
        for (pairs, part) in [
            (&[("mode", "foo")][..], "mode: \"foo\""),
            (
                &[("mode", "all"), ("mode", "all")],
                "mode is given more than once",
            ),
            (&[("interval", "3")], "interval: \"3\""),
            (&[("interval", "x")], "interval: \"x\""),
            (&[("snapshot", "maybe")], "snapshot: \"maybe\""),
            (
                &[("token", "a"), ("token", "b")],
                "token is given more than once",
            ),
        ] {
            let message = read(pairs).unwrap_err().message;
            assert!(message.contains(part), "{message}");
        }
    }
}
