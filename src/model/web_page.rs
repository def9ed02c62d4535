//! Telling a web page from the answer of a service: a URL that names a web server is a common mistake.

/// What errors report in place of the page.
pub const WEB_PAGE: &str = "a web page (HTML), not JSON-RPC: is this the URL of a node?";

/// What an error says of an HTTP answer without JSON-RPC: its status, how that is shown, and the body's words, which are
/// [`WEB_PAGE`] in place of a page. Statuses that no node gives to a call ask whether the URL is that of one.
pub fn without_json(status: u16, shown: &str, words: &str) -> String {
    const NOT_OF_NODES: [u16; 3] = [404, 405, 501];
    match words {
        WEB_PAGE => format!("HTTP status {shown}: it answered with {WEB_PAGE}"),
        "" if NOT_OF_NODES.contains(&status) => {
            format!("HTTP status {shown}: is this the URL of a node?")
        }
        "" => format!("HTTP status {shown}"),
        words if NOT_OF_NODES.contains(&status) => {
            format!("HTTP status {shown}: {words}: is this the URL of a node?")
        }
        words => format!("HTTP status {shown} {words}"),
    }
}

/// Whether a text is, or begins like, an HTML document.
pub fn is_web_page(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(256).collect();
    let start = start.to_ascii_lowercase();
    ["<!doctype html", "<html", "<head", "<body"]
        .iter()
        .any(|tag| start.contains(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_other_servers_ask_for_the_url() {
        let text = without_json(405, "405 Method Not Allowed", "");
        assert_eq!(
            text,
            "HTTP status 405 Method Not Allowed: is this the URL of a node?"
        );
        let text = without_json(501, "501 Not Implemented", WEB_PAGE);
        assert_eq!(
            text,
            format!("HTTP status 501 Not Implemented: it answered with {WEB_PAGE}")
        );
        assert_eq!(
            without_json(502, "502 Bad Gateway", "no backend"),
            "HTTP status 502 Bad Gateway no backend"
        );
    }

    #[test]
    fn recognises_html_and_nothing_else() {
        for page in [
            "<!DOCTYPE html><p>It works",
            "\n <HTML lang=en>",
            "HTTP status 405 <html><head>",
        ] {
            assert!(is_web_page(page), "{page}");
        }
        for other in [
            "",
            "limit < 5",
            "{\"error\":\"<html>\"}".split_at(9).0,
            "null",
        ] {
            assert!(!is_web_page(other), "{other}");
        }
    }
}
