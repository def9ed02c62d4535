//! What a request for an event stream asks for: its query, and the `Last-Event-ID` of a client that comes back.

use std::{collections::BTreeMap, str::FromStr};

use axum::http::HeaderMap;

use crate::{
    gateway::{
        Refusal,
        protocol::{Interval, Mode, Names, Since, Subscribe},
    },
    model::shown_name,
};

/// The parameters of the query. Each of `channels` and `since` may be given several times, and is a list each time.
#[derive(Debug, Default)]
pub struct Parameters {
    channels: Vec<String>,
    since: Option<String>,
    epoch: Option<String>,
    token: Option<String>,
    mode: Option<Mode>,
    interval: Interval,
    snapshot: Option<bool>,
}

impl Parameters {
    /// Reads the pairs of a query; those that are not known are passed over.
    pub fn read(pairs: Vec<(String, String)>) -> Result<Self, Refusal> {
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
                "epoch" => once(&mut read.epoch, &key, value)?,
                "token" => once(&mut read.token, &key, value)?,
                "mode" => {
                    let mode = match value.as_str() {
                        "latest" => Mode::Latest,
                        "all" => Mode::All,
                        _ => return Err(wrong(&key, &value, "\"latest\" or \"all\"")),
                    };
                    once(&mut read.mode, &key, mode)?;
                }
                "interval" => {
                    let interval = value.parse().ok().and_then(Interval::new);
                    read.interval = interval
                        .ok_or_else(|| wrong(&key, &value, "0, 100, 250, 1000 or 5000 (ms)"))?;
                }
                "snapshot" => {
                    let snapshot = bool::from_str(&value);
                    let snapshot =
                        snapshot.map_err(|_| wrong(&key, &value, "\"true\" or \"false\""))?;
                    once(&mut read.snapshot, &key, snapshot)?;
                }
                _ => {}
            }
        }
        Ok(read)
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The subscription that is asked for; `most` bounds its channels.
    pub fn subscription(&self, headers: &HeaderMap, most: usize) -> Result<Subscribe, Refusal> {
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
        })
    }

    /// `Last-Event-ID` is newer than the URL, which a client that comes back repeats. A part of it that cannot be read
    /// is passed over, and its channel begins with the snapshot: the client could never send another one.
    fn since(&self, headers: &HeaderMap, most: usize) -> Result<Option<Since>, Refusal> {
        let last = headers
            .get("last-event-id")
            .filter(|value| !value.is_empty());
        if let Some(last) = last {
            let text = String::from_utf8_lossy(last.as_bytes());
            let seqs: BTreeMap<String, u64> = parts(&text).flatten().take(most).collect();
            return Ok((!seqs.is_empty()).then_some(Since::Each(seqs)));
        }
        let Some(text) = &self.since else {
            return Ok(None);
        };
        let seqs = parts(text).map(|part| {
            part.map_err(|part| {
                Refusal::bad_request(format!(
                    "since: {:?} is not a position: use CHANNEL@SEQ, several separated by commas",
                    shown_name(part)
                ))
            })
        });
        seqs.collect::<Result<_, _>>()
            .map(|seqs| Some(Since::Each(seqs)))
    }
}

fn once<T>(place: &mut Option<T>, key: &str, value: T) -> Result<(), Refusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::bad_request(format!("{key} is given twice"))),
    }
}

fn wrong(key: &str, value: &str, right: &str) -> Refusal {
    let value: String = value.chars().take(64).collect();
    Refusal::bad_request(format!("{key}: {value:?} is not {right}"))
}

/// The positions in `a@13,b@7`; a part that is none is the error.
fn parts(text: &str) -> impl Iterator<Item = Result<(String, u64), &str>> {
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
    fn reads_positions_as_they_are_written() {
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
    fn names_the_parameter_that_is_wrong() {
        for (pairs, part) in [
            (&[("mode", "foo")][..], "mode: \"foo\""),
            (&[("mode", "all"), ("mode", "all")], "mode is given twice"),
            (&[("interval", "3")], "interval: \"3\""),
            (&[("interval", "x")], "interval: \"x\""),
            (&[("snapshot", "maybe")], "snapshot: \"maybe\""),
            (&[("token", "a"), ("token", "b")], "token is given twice"),
        ] {
            let message = read(pairs).unwrap_err().message;
            assert!(message.contains(part), "{message}");
        }
    }
}
