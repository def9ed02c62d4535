//! What statements contain that is known only at run time, with examples of each.

/// An expression within the text of a statement.
pub struct Example {
    /// Relative to `src`.
    pub file: &'static str,
    /// As written in the sources.
    pub expression: &'static str,
    /// None for a statement that is only passed on: it is checked where it is written.
    pub values: &'static [&'static str],
}

const fn example(
    file: &'static str,
    expression: &'static str,
    values: &'static [&'static str],
) -> Example {
    Example {
        file,
        expression,
        values,
    }
}

pub const EXAMPLES: &[Example] = &[
    // Names from the catalog.
    example(
        "store/chain/indexes.rs",
        "names.join(\", \")",
        &["transactions_from, logs_address_topic"],
    ),
    example("store/chain/indexes.rs", "name", &["transfers_to"]),
    example(
        "store/chain/indexes.rs",
        "&statement",
        &[
            "CREATE INDEX example ON logs (chain_id, address)",
            "CREATE INDEX CONCURRENTLY example ON logs (chain_id, address)",
        ],
    ),
    example("store/ticks.rs", "name", &["ticks_rest"]),
    // Settings.
    example("store/dedicated.rs", "idle", &["7"]),
    example("store/dedicated.rs", "lease.as_millis()", &["10000"]),
    example("store/dedicated.rs", "lease.as_millis() / 3", &["3333"]),
    example("store/dedicated.rs", "what", &["chain:1"]),
    example("store/pool.rs", "config.statement_timeout_ms", &["30000"]),
    example(
        "store/pool.rs",
        "IDLE_IN_TRANSACTION.as_millis()",
        &["10000"],
    ),
    example("store/read_pool.rs", "statement_timeout_ms", &["30000"]),
    // Leases.
    example(
        "store/writer/mod.rs",
        "self.lease.stream().name()",
        &["chain:1", "prices"],
    ),
    example("store/writer/mod.rs", "self.lease.term()", &["7"]),
    // Passed on.
    example("store/read_pool.rs", "query", &[]),
    example("store/read_pool.rs", "UnnamedStatement(query)", &[]),
];
