//! Telling a web page from the answer of a service: a URL that names a web server is a common mistake.

/// What errors report in place of the page.
pub const WEB_PAGE: &str = "a web page (HTML), not JSON-RPC: is this the URL of a node?";

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
