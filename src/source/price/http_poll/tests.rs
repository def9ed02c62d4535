//! Feeds of JSON documents against a page on this machine that errs.

use std::time::{Duration, Instant};

use super::super::{
    PriceConfig, feeds,
    log_lines::LogLines,
    running_feeds::{RunningFeeds, eventually, soon},
};
use crate::{
    dev::price_web::{PageAnswer, PricePage},
    model::{Tick, now_ms},
};

struct Stage {
    page: PricePage,
    feeds: RunningFeeds,
}

impl Stage {
    /// A source for each group of keys, at the same page.
    async fn start(document: &str, sources: &[&str]) -> Self {
        let page = PricePage::start(document).await.unwrap();
        let mut text = "[exchanges]\nbackoff_max_ms = 600\n".to_owned();
        for (at, keys) in sources.iter().enumerate() {
            text += &format!(
                "[[tokens]]\nsymbol = 'T{at}'\n[[sources]]\nkind = 'http'\ntoken = 'T{at}'\n\
                 quote = 'USD'\nurl = '{}'\ninterval_ms = 100\n{keys}\n",
                page.url()
            );
        }
        let feeds = RunningFeeds::start(&text);
        Self { page, feeds }
    }

    /// Waits for a tick like this, as token and price; others may come before.
    async fn price(&mut self, wanted: &str) -> Tick {
        soon(wanted, async {
            loop {
                for tick in self.feeds.heard().await {
                    if format!("{} {}", tick.token, tick.price.to_plain_string()) == wanted {
                        return tick;
                    }
                }
            }
        })
        .await
    }

    /// That an answer like this is told as trouble, shows no key, and is over once the document is back.
    async fn recovers_from(&mut self, answer: PageAnswer, state: &str, words: &str) {
        self.page.answer(answer);
        let told = self.feeds.until_state(0, state).await;
        let mut reason = String::new();
        eventually(words, || {
            let state = self.feeds.state(0).unwrap();
            reason = state.reason().unwrap_or_default().to_owned();
            reason.contains(words)
        })
        .await;
        assert!(!reason.contains("a-secret-key"), "{told:?} {reason}");
        self.page
            .answer(PageAnswer::Document(r#"{"p":"1.50"}"#.to_owned()));
        self.feeds.until_state(0, "live").await;
    }
}

#[tokio::test]
async fn several_sources_share_the_fetches_of_a_document_and_keep_every_digit() {
    let document =
        r#"{"data":[{"usd":3456.120000000000000001,"at":1714746101},{"usd":"0.00000001"}]}"#;
    let secret = "headers = { 'X-Api-Key' = 'a-header-key' }";
    let mut stage = Stage::start(
        document,
        &[
            &format!("pointer = '/data/0/usd'\ntimestamp_pointer = '/data/0/at'\nmax_age_ms = 1\n{secret}"),
            &format!("pointer = '/data/1/usd'\n{secret}"),
        ],
    )
    .await;
    let before = now_ms();
    let tick = stage.price("T1 0.00000001").await;
    assert!(tick.observed_at >= before - 60_000 && tick.confidence.is_none());
    let requests = stage.page.requests();
    let head = requests[0].to_ascii_lowercase();
    assert!(
        head.starts_with("get /price?key=a-secret-key http/1.1"),
        "{head}"
    );
    assert!(head.contains("x-api-key: a-header-key"), "{head}");
    assert!(head.contains("user-agent: chaincast/"), "{head}");
    stage.feeds.until_state(1, "live").await;
    assert_eq!(stage.feeds.count(), 1);
    stage.feeds.end().await;
}

#[tokio::test]
async fn the_time_in_a_document_is_the_time_of_its_price() {
    let at = now_ms() / 1_000 - 30;
    let document = format!(r#"{{"p":2,"t":{at}}}"#);
    let keys = "pointer = '/p'\ntimestamp_pointer = '/t'";
    let mut stage = Stage::start(&document, &[keys]).await;
    assert_eq!(stage.price("T0 2").await.observed_at, at * 1_000);
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_time_is_read_in_any_unit_and_refused_when_it_is_ahead() {
    let at = now_ms() - 30_000;
    let keys = "pointer = '/p'\ntimestamp_pointer = '/t'";
    let mut stage = Stage::start(&format!(r#"{{"p":1,"t":{at}000}}"#), &[keys]).await;
    assert_eq!(stage.price("T0 1").await.observed_at, at);
    let document =
        |price: u32, t: String| PageAnswer::Document(format!(r#"{{"p":{price},"t":{t}}}"#));
    let ahead = now_ms() + 3_600_000;
    let text = chrono::DateTime::from_timestamp_millis(ahead)
        .unwrap()
        .to_rfc3339();
    for (price, t) in (2..).zip([
        (ahead / 1_000).to_string(),
        ahead.to_string(),
        format!("{ahead}000"),
        format!("\"{ahead}000000\""),
        format!("{text:?}"),
    ]) {
        stage.page.answer(document(price, t));
        let state = stage.feeds.until_state(0, "refused").await;
        let reason = state.reason().unwrap();
        assert!(reason.contains("ahead of this machine's clock"), "{reason}");
        stage.page.answer(document(1, format!("{at}000000")));
        stage.feeds.until_state(0, "live").await;
        assert_eq!(stage.price("T0 1").await.observed_at, at);
    }
    stage.feeds.end().await;
}

#[tokio::test]
async fn what_is_no_document_is_told_and_waited_out() {
    let mut stage = Stage::start(
        r#"{"p":"1.50"}"#,
        &["pointer = '/p'\ntimeout_ms = 1000\nmax_bytes = 1000"],
    )
    .await;
    stage.price("T0 1.50").await;
    let document = |text: &str| PageAnswer::Document(text.to_owned());
    for (answer, state, words) in [
        (document("<html>"), "connecting", "is no JSON"),
        (document("{\"p\":"), "connecting", "is no JSON"),
        (
            PageAnswer::Status(500, Vec::new()),
            "connecting",
            "HTTP 500",
        ),
        (PageAnswer::Status(404, Vec::new()), "refused", "HTTP 404"),
        (
            PageAnswer::Status(403, Vec::new()),
            "refused",
            "is the key right? It stands in `headers` or in `url`",
        ),
        (
            PageAnswer::Status(302, vec!["Location: http://127.0.0.1:1/".to_owned()]),
            "refused",
            "set `url` to the place at 127.0.0.1 that",
        ),
        (
            document(&format!("{{\"p\":1,\"x\":\"{}\"}}", "y".repeat(2_000))),
            "connecting",
            "1000 bytes",
        ),
        (
            PageAnswer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"p\":".to_vec()),
            "connecting",
            "broke",
        ),
        (
            PageAnswer::Raw(b"garbage\r\n\r\n".to_vec()),
            "connecting",
            "broke",
        ),
        (PageAnswer::Nothing, "connecting", "silent"),
        (
            PageAnswer::Status(429, Vec::new()),
            "connecting",
            "it answers HTTP 429",
        ),
        (document("{\"q\":1}"), "refused", "nothing at \"/p\""),
        (
            document("{\"p\":[1,2]}"),
            "refused",
            "\"[1,2]\" is not a number",
        ),
        (
            document("{\"p\":\"N/A\"}"),
            "refused",
            "\"N/A\" is not a number",
        ),
    ] {
        stage.recovers_from(answer, state, words).await;
    }
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_price_that_is_none_gives_no_tick_and_costs_no_other() {
    let document = |p: &str| PageAnswer::Document(format!(r#"{{"p":{p},"q":7}}"#));
    let mut stage = Stage::start(r#"{"p":1,"q":7}"#, &["pointer = '/p'", "pointer = '/q'"]).await;
    stage.price("T0 1").await;
    for bad in ["0", "-1", "1e99", "null", "\"x\"", "[]"] {
        let before = stage.page.requests().len();
        stage.page.answer(document(bad));
        // The second of them was made after the answer to the first was read.
        soon("fetches", stage.page.asked(before + 3)).await;
        stage.price("T1 7").await;
    }
    stage.page.answer(document("2"));
    let price = soon("the next price", async {
        loop {
            let ticks = stage.feeds.heard().await;
            let mut of = ticks.into_iter().filter(|tick| tick.token.as_str() == "T0");
            if let Some(tick) = of.find(|tick| tick.price != 1) {
                return tick.price.to_plain_string();
            }
        }
    });
    assert_eq!(price.await, "2");
    stage.feeds.end().await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let mut stage = Stage::start(r#"{"p":1}"#, &["pointer = '/p'"]).await;
    stage.price("T0 1").await;
    let before = Instant::now();
    let lines = vec!["Retry-After: 2".to_owned()];
    stage.page.answer_once(PageAnswer::Status(429, lines));
    stage
        .page
        .answer(PageAnswer::Document(r#"{"p":3}"#.to_owned()));
    stage.price("T0 3").await;
    assert!(before.elapsed() >= Duration::from_secs(2));
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_page_that_never_had_a_price_is_refused_and_not_connecting_for_ever() {
    for (document, keys, words) in [
        (r#"{"p":{}}"#, "pointer = '/p'", "at \"/p\" in the document"),
        (
            r#"{"p":1,"t":1000000000}"#,
            "pointer = '/p'\ntimestamp_pointer = '/t'",
            "more than a year ago",
        ),
    ] {
        let stage = Stage::start(document, &[keys]).await;
        let state = stage.feeds.until_state(0, "refused").await;
        let reason = state.reason().unwrap_or_default();
        assert!(reason.contains(words), "{reason}");
        stage.feeds.end().await;
    }
}

#[tokio::test]
async fn a_price_that_goes_and_comes_back_is_two_lines_of_the_log() {
    let log = LogLines::listen();
    let document = |text: &str| PageAnswer::Document(text.to_owned());
    let mut stage = Stage::start(r#"{"p":1}"#, &["pointer = '/p'"]).await;
    stage.price("T0 1").await;
    stage.page.answer(document(r#"{"p":"N/A"}"#));
    stage.feeds.until_state(0, "refused").await;
    // The second of them was made after the answer to the first was read.
    let before = stage.page.requests().len();
    soon("fetches", stage.page.asked(before + 2)).await;
    assert_eq!(log.count("a document has no price"), 1);
    assert_eq!(log.count("WARN"), 1);
    assert_eq!(log.count("a document has a price now"), 0);
    stage.page.answer(document(r#"{"p":2}"#));
    stage.price("T0 2").await;
    stage.feeds.until_state(0, "live").await;
    assert_eq!(log.count("a document has a price now"), 1);
    assert_eq!(log.count("WARN"), 1);
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_page_may_be_told_another_name_than_ours() {
    let keys = "pointer = '/p'\nheaders = { 'User-Agent' = 'another/1' }";
    let mut stage = Stage::start(r#"{"p":1}"#, &[keys]).await;
    stage.price("T0 1").await;
    let head = stage.page.requests()[0].to_ascii_lowercase();
    assert!(head.contains("user-agent: another/1"), "{head}");
    assert!(!head.contains("chaincast"), "{head}");
    stage.feeds.end().await;
}

#[test]
fn a_feed_is_named_by_its_host_in_the_order_of_the_configuration() {
    let named = |urls: &[&str]| -> Vec<String> {
        let sources = urls.iter().enumerate().map(|(at, url)| {
            format!(
                "[[sources]]\nkind = 'http'\ntoken = 'T{at}'\nquote = 'USD'\nurl = '{url}'\npointer = ''\n"
            )
        });
        let config: PriceConfig = toml::from_str(&sources.collect::<Vec<_>>().concat()).unwrap();
        feeds(&config)
            .iter()
            .map(|feed| {
                let sources = feed.sources();
                format!("{} {}", feed.name(), sources[0].0)
            })
            .collect()
    };
    let mut urls = vec!["https://z.example/b?key=1", "https://z.example/a"];
    let before = ["http@z.example T0", "http@z.example-2 T1"];
    assert_eq!(named(&urls), before);
    // Another URL renames none of them, wherever it sorts.
    urls.push("https://a.example:8443/");
    let after = named(&urls);
    assert_eq!(after[..2], before);
    assert_eq!(after[2], "http@a.example:8443 T2");
}
