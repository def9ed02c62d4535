//! Detects HTML pages in place of JSON answers: a URL of a web server is a common mistake.

/// Replaces the page in error messages.
pub const WEB_PAGE: &str = "a web page (HTML), not JSON-RPC: is this the URL of a node?";

/// The error text for an HTTP answer without JSON-RPC: the status, and the body, which is [`WEB_PAGE`] if it is a page.
/// For statuses that nodes do not return, it asks whether the URL is that of a node.
pub fn non_json_error(status: u16, status_text: &str, body: &str) -> String {
    const NOT_FROM_NODES: [u16; 3] = [404, 405, 501];
    match body {
        WEB_PAGE => format!("HTTP status {status_text} with {WEB_PAGE}"),
        "" if NOT_FROM_NODES.contains(&status) => {
            format!("HTTP status {status_text}: is this the URL of a node?")
        }
        "" => format!("HTTP status {status_text}"),
        body if NOT_FROM_NODES.contains(&status) => {
            format!("HTTP status {status_text}: {body}: is this the URL of a node?")
        }
        body => format!("HTTP status {status_text} {body}"),
    }
}

/// Whether a text is, or starts like, an HTML document.
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
    fn error_for_non_node_status_asks_for_url() {
        let text = non_json_error(405, "405 Method Not Allowed", "");
        assert_eq!(
            text,
            "HTTP status 405 Method Not Allowed: is this the URL of a node?"
        );
        let text = non_json_error(501, "501 Not Implemented", WEB_PAGE);
        assert_eq!(
            text,
            format!("HTTP status 501 Not Implemented with {WEB_PAGE}")
        );
        assert_eq!(
            non_json_error(502, "502 Bad Gateway", "no backend"),
            "HTTP status 502 Bad Gateway no backend"
        );
    }

    #[test]
    fn recognizes_only_html() {
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
