use super::*;

#[test]
fn classify_uses_message_of_same_code() {
    for (code, message, expected) in [
        (
            -32005,
            "query returned more than 10000 results",
            Refusal::TooLarge,
        ),
        (
            -32005,
            "daily request count exceeded, request rate limited",
            Refusal::RateLimited,
        ),
        (-32005, "limit exceeded", Refusal::RateLimited),
        (-32000, "limit exceeded", Refusal::TooLarge),
        (-32008, "Response is too big", Refusal::TooLarge),
        (
            -32003,
            "response size should not greater than 10000000 bytes",
            Refusal::TooLarge,
        ),
        (-32600, "batch too large", Refusal::TooLarge),
        (
            -32007,
            "50/second request limit reached",
            Refusal::RateLimited,
        ),
        (429, "", Refusal::RateLimited),
        (-32_097, "no", Refusal::RateLimited),
        (0, "HTTP 429", Refusal::RateLimited),
        (0, "block 0x4290 is not there", Refusal::Other),
        (
            0,
            "Too Many Requests: more than 25 per second",
            Refusal::RateLimited,
        ),
        (
            -32_600,
            "too many requests in batch, 100 at most",
            Refusal::TooLarge,
        ),
        (
            -32_602,
            "invalid argument 0: hex number too large",
            Refusal::Other,
        ),
        (-32_001, "not whitelisted", Refusal::Other),
        // jsonrpsee
        (
            -32_005,
            "Batched requests are not supported by this server",
            Refusal::Other,
        ),
        (
            -32_010,
            "The batch request was too large",
            Refusal::TooLarge,
        ),
        (
            -32_009,
            "Server is busy, try again later",
            Refusal::RateLimited,
        ),
        // Nethermind
        (
            -32_005,
            "Too many logs requested. Max logs per response is 20000.",
            Refusal::TooLarge,
        ),
        (-32_005, "Batch size limit exceeded", Refusal::TooLarge),
        (
            -32_005,
            "Unable to start new queued requests. Too many queued requests. Queued calls 500",
            Refusal::RateLimited,
        ),
        (
            -32_016,
            "eth_getLogs request was canceled due to enabled timeout.",
            Refusal::Other,
        ),
        // Besu
        (
            -32_005,
            "Requested range exceeds maximum RPC range limit",
            Refusal::TooLarge,
        ),
        (
            -32_005,
            "Requested range exceeds maximum range limit",
            Refusal::TooLarge,
        ),
        // Erigon
        (
            -32_000,
            "batch limit 100 exceeded (can increase by --rpc.batch.limit). Requested batch of size: 200",
            Refusal::TooLarge,
        ),
        // geth
        (-32_002, "request timed out", Refusal::Other),
        (-32_602, "invalid block range params", Refusal::Other),
        // reth
        (
            -32_602,
            "query exceeds max block range 100000",
            Refusal::TooLarge,
        ),
        // BNB Smart Chain
        (
            -32_000,
            "exceed maximum block range: 5000",
            Refusal::TooLarge,
        ),
        // Infura
        (
            -32_005,
            "project ID request rate exceeded",
            Refusal::RateLimited,
        ),
        // Alchemy
        (
            -32_600,
            "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range.",
            Refusal::TooLarge,
        ),
        // Ankr
        (-32_062, "Block range is too wide", Refusal::TooLarge),
        (
            -32_090,
            "Too many requests, reason: call rate limit exhausted, retry in 10s",
            Refusal::RateLimited,
        ),
        // dRPC
        (
            31,
            "Batch of more than 3 requests are not allowed on free tier",
            Refusal::TooLarge,
        ),
        (
            30,
            "Request timeout on the free tier, please upgrade your tier to the paid one",
            Refusal::Other,
        ),
        // proxyd
        (
            -32_012,
            "too many RPC calls in batch request",
            Refusal::TooLarge,
        ),
        (-32_016, "over rate limit", Refusal::RateLimited),
        (-32_020, "backend response too large", Refusal::TooLarge),
        // Chainstack
        (
            -32_000,
            "You've exceeded the RPS limit available on the current plan",
            Refusal::RateLimited,
        ),
        (0, "Too many concurrent requests", Refusal::RateLimited),
        // A block number is no status.
        (0, "block 429 not found", Refusal::Other),
        (-32_000, "error: header 429 is missing", Refusal::Other),
        (0, "429", Refusal::RateLimited),
        (0, "HTTP/1.1 429", Refusal::RateLimited),
        (
            0,
            "request failed with status code 429",
            Refusal::RateLimited,
        ),
        (0, "error 429 from the proxy", Refusal::RateLimited),
        (
            -32000,
            "Your app has exceeded its compute units per second capacity",
            Refusal::RateLimited,
        ),
        (
            -32601,
            "the method does not exist/is not available",
            Refusal::Other,
        ),
        (-32000, "header not found", Refusal::Other),
    ] {
        assert_eq!(classify(code, message), expected, "{code} {message}");
    }
}

#[test]
fn transient_errors_differ_from_unsupported_methods() {
    let method = "eth_getBlockReceipts";
    for (code, message) in [
        (-32_603, "Internal error"),
        (-32_603, ""),
        (-32_603, "method handler crashed"),
        (-32_002, "request timed out"),
        (
            -32_016,
            "eth_getLogs request was canceled due to enabled timeout.",
        ),
        (0, "Internal server error"),
        (-32_000, "Unable to complete request at this time."),
        (19, "Temporary internal error. Please retry"),
        (-32_011, "no backends available for method"),
        (-32_600, "Must be authenticated!"),
        (401, "no key"),
    ] {
        assert!(is_transient(code, message), "{code} {message}");
        assert!(
            !is_method_unavailable(method, code, message),
            "{code} {message}"
        );
    }
    for (code, message) in [
        (-32_601, "no"),
        (-32_604, "Method not enabled"),
        (-32_004, "Method eth_getBlockReceipts is not supported"),
        (
            -32_603,
            "the method eth_getBlockReceipts does not exist/is not available",
        ),
        (-32_603, "not implemented"),
        (0, "eth_getBlockReceipts is not available on the free tier"),
    ] {
        assert!(
            is_method_unavailable(method, code, message),
            "{code} {message}"
        );
    }
    for message in [
        "Batched requests are not supported by this server",
        "batch requests are disabled",
        "JSON-RPC batches are not allowed",
    ] {
        assert!(
            rejects_batches(message) && !is_transient(0, message),
            "{message}"
        );
    }
    for message in ["invalid request", "unsupported", "no arrays here"] {
        assert!(!is_transient(-32_600, message), "{message}");
        assert!(!rejects_batches(message), "{message}");
    }
}
