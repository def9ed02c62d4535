//! HTTP feeds against a faulty local page.

use std::time::{Duration, Instant};

use super::super::{
    PriceConfig, feeds,
    log_lines::LogLines,
    running_feeds::{RunningFeeds, eventually, within_limit},
};
use chaincast_model::Tick;
use chaincast_protocol::now_ms;
use chaincast_testkit::price_servers::{PageAnswer, PricePage};

struct Fixture {
    page: PricePage,
    feeds: RunningFeeds,
}

impl Fixture {
    /// One source for each set of keys, all at the same page.
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

    /// Waits for this tick, given as token and price; skips others.
    async fn price(&mut self, wanted: &str) -> Tick {
        within_limit(wanted, async {
            loop {
                for tick in self.feeds.take_ticks().await {
                    if format!("{} {}", tick.token, tick.price.to_plain_string()) == wanted {
                        return tick;
                    }
                }
            }
        })
        .await
    }

    /// Checks that a bad answer is reported without the key, and that the feed recovers afterwards.
    async fn recovers_from(&mut self, answer: PageAnswer, state: &str, words: &str) {
        self.page.answer(answer);
        let first = self.feeds.until_state(0, state).await;
        let mut reason = String::new();
        eventually(words, || {
            let state = self.feeds.state(0).unwrap();
            reason = state.reason().unwrap_or_default().to_owned();
            reason.contains(words)
        })
        .await;
        assert!(!reason.contains("a-secret-key"), "{first:?} {reason}");
        self.page
            .answer(PageAnswer::Document(r#"{"p":"1.50"}"#.to_owned()));
        self.feeds.until_state(0, "live").await;
    }
}

#[tokio::test]
async fn sources_share_fetches_and_prices_are_exact() {
    let document =
        r#"{"data":[{"usd":3456.120000000000000001,"at":1714746101},{"usd":"0.00000001"}]}"#;
    let secret = "headers = { 'X-Api-Key' = 'a-header-key' }";
    let mut fixture = Fixture::start(
        document,
        &[
            &format!("pointer = '/data/0/usd'\ntimestamp_pointer = '/data/0/at'\nmax_age_ms = 1\n{secret}"),
            &format!("pointer = '/data/1/usd'\n{secret}"),
        ],
    )
    .await;
    let before = now_ms();
    let tick = fixture.price("T1 0.00000001").await;
    assert!(tick.observed_at >= before - 60_000 && tick.confidence.is_none());
    let requests = fixture.page.requests();
    let head = requests[0].to_ascii_lowercase();
    assert!(
        head.starts_with("get /price?key=a-secret-key http/1.1"),
        "{head}"
    );
    assert!(head.contains("x-api-key: a-header-key"), "{head}");
    assert!(head.contains("user-agent: chaincast/"), "{head}");
    fixture.feeds.until_state(1, "live").await;
    assert_eq!(fixture.feeds.count(), 1);
    fixture.feeds.end().await;
}

#[tokio::test]
async fn uses_time_in_document() {
    let at = now_ms() / 1_000 - 30;
    let document = format!(r#"{{"p":2,"t":{at}}}"#);
    let keys = "pointer = '/p'\ntimestamp_pointer = '/t'";
    let mut fixture = Fixture::start(&document, &[keys]).await;
    assert_eq!(fixture.price("T0 2").await.observed_at, at * 1_000);
    fixture.feeds.end().await;
}

#[tokio::test]
async fn rejects_time_ahead_in_any_unit() {
    let at = now_ms() - 30_000;
    let keys = "pointer = '/p'\ntimestamp_pointer = '/t'";
    let mut fixture = Fixture::start(&format!(r#"{{"p":1,"t":{at}000}}"#), &[keys]).await;
    assert_eq!(fixture.price("T0 1").await.observed_at, at);
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
        fixture.page.answer(document(price, t));
        let state = fixture.feeds.until_state(0, "refused").await;
        let reason = state.reason().unwrap();
        assert!(reason.contains("ahead of this machine's clock"), "{reason}");
        fixture.page.answer(document(1, format!("{at}000000")));
        fixture.feeds.until_state(0, "live").await;
        assert_eq!(fixture.price("T0 1").await.observed_at, at);
    }
    fixture.feeds.end().await;
}

#[tokio::test]
async fn recovers_from_bad_answers() {
    let mut fixture = Fixture::start(
        r#"{"p":"1.50"}"#,
        &["pointer = '/p'\ntimeout_ms = 1000\nmax_bytes = 1000"],
    )
    .await;
    fixture.price("T0 1.50").await;
    let document = |text: &str| PageAnswer::Document(text.to_owned());
    for (answer, state, words) in [
        (document("<html>"), "connecting", "not JSON"),
        (document("{\"p\":"), "connecting", "not JSON"),
        (
            PageAnswer::Status(500, Vec::new()),
            "connecting",
            "HTTP 500",
        ),
        (PageAnswer::Status(404, Vec::new()), "refused", "HTTP 404"),
        (
            PageAnswer::Status(403, Vec::new()),
            "refused",
            "is the key in `headers` or `url` correct?",
        ),
        (
            PageAnswer::Status(302, vec!["Location: http://127.0.0.1:1/".to_owned()]),
            "refused",
            "set `url` to the location at 127.0.0.1 that",
        ),
        (
            document(&format!("{{\"p\":1,\"x\":\"{}\"}}", "y".repeat(2_000))),
            "connecting",
            "1000 bytes",
        ),
        (
            PageAnswer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"p\":".to_vec()),
            "connecting",
            "connection failed",
        ),
        (
            PageAnswer::Raw(b"garbage\r\n\r\n".to_vec()),
            "connecting",
            "connection failed",
        ),
        (PageAnswer::Nothing, "connecting", "no data for"),
        (
            PageAnswer::Status(429, Vec::new()),
            "connecting",
            "answered HTTP 429",
        ),
        (document("{\"q\":1}"), "refused", "no value at \"/p\""),
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
        fixture.recovers_from(answer, state, words).await;
    }
    fixture.feeds.end().await;
}

#[tokio::test]
async fn invalid_price_does_not_affect_others() {
    let document = |p: &str| PageAnswer::Document(format!(r#"{{"p":{p},"q":7}}"#));
    let mut fixture =
        Fixture::start(r#"{"p":1,"q":7}"#, &["pointer = '/p'", "pointer = '/q'"]).await;
    fixture.price("T0 1").await;
    for bad in ["0", "-1", "1e99", "null", "\"x\"", "[]"] {
        let before = fixture.page.requests().len();
        fixture.page.answer(document(bad));
        // The second of them was made after the answer to the first was read.
        within_limit("fetches", fixture.page.wait_for_requests(before + 3)).await;
        fixture.price("T1 7").await;
    }
    fixture.page.answer(document("2"));
    let price = within_limit("the next price", async {
        loop {
            let ticks = fixture.feeds.take_ticks().await;
            let mut of = ticks.into_iter().filter(|tick| tick.token.as_str() == "T0");
            if let Some(tick) = of.find(|tick| tick.price != 1) {
                return tick.price.to_plain_string();
            }
        }
    });
    assert_eq!(price.await, "2");
    fixture.feeds.end().await;
}

#[tokio::test]
async fn honors_retry_after() {
    let mut fixture = Fixture::start(r#"{"p":1}"#, &["pointer = '/p'"]).await;
    fixture.price("T0 1").await;
    let before = Instant::now();
    let lines = vec!["Retry-After: 2".to_owned()];
    fixture.page.answer_once(PageAnswer::Status(429, lines));
    fixture
        .page
        .answer(PageAnswer::Document(r#"{"p":3}"#.to_owned()));
    fixture.price("T0 3").await;
    assert!(before.elapsed() >= Duration::from_secs(2));
    fixture.feeds.end().await;
}

#[tokio::test]
async fn document_without_price_is_refused() {
    for (document, keys, words) in [
        (r#"{"p":{}}"#, "pointer = '/p'", "at \"/p\" in the document"),
        (
            r#"{"p":1,"t":1000000000}"#,
            "pointer = '/p'\ntimestamp_pointer = '/t'",
            "more than a year ago",
        ),
    ] {
        let fixture = Fixture::start(document, &[keys]).await;
        let state = fixture.feeds.until_state(0, "refused").await;
        let reason = state.reason().unwrap_or_default();
        assert!(reason.contains(words), "{reason}");
        fixture.feeds.end().await;
    }
}

#[tokio::test]
async fn logs_missing_and_restored_price_once() {
    let log = LogLines::capture();
    let document = |text: &str| PageAnswer::Document(text.to_owned());
    let mut fixture = Fixture::start(r#"{"p":1}"#, &["pointer = '/p'"]).await;
    fixture.price("T0 1").await;
    fixture.page.answer(document(r#"{"p":"N/A"}"#));
    fixture.feeds.until_state(0, "refused").await;
    // The second of them was made after the answer to the first was read.
    let before = fixture.page.requests().len();
    within_limit("fetches", fixture.page.wait_for_requests(before + 2)).await;
    assert_eq!(log.count("no price in the document"), 1);
    assert_eq!(log.count("WARN"), 1);
    assert_eq!(log.count("document has a price again"), 0);
    fixture.page.answer(document(r#"{"p":2}"#));
    fixture.price("T0 2").await;
    fixture.feeds.until_state(0, "live").await;
    assert_eq!(log.count("document has a price again"), 1);
    assert_eq!(log.count("WARN"), 1);
    fixture.feeds.end().await;
}

#[tokio::test]
async fn user_agent_can_be_overridden() {
    let keys = "pointer = '/p'\nheaders = { 'User-Agent' = 'another/1' }";
    let mut fixture = Fixture::start(r#"{"p":1}"#, &[keys]).await;
    fixture.price("T0 1").await;
    let head = fixture.page.requests()[0].to_ascii_lowercase();
    assert!(head.contains("user-agent: another/1"), "{head}");
    assert!(!head.contains("chaincast"), "{head}");
    fixture.feeds.end().await;
}

#[test]
fn feed_is_named_by_host_in_config_order() {
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
    // Another URL does not rename the others.
    urls.push("https://a.example:8443/");
    let after = named(&urls);
    assert_eq!(after[..2], before);
    assert_eq!(after[2], "http@a.example:8443 T2");
}
