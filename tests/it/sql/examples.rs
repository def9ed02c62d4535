//! What statements contain that is known only at run time, with examples of each.

/// An expression within the text of a statement.
pub struct Example {
    /// Relative to the root of the repository.
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
        "crates/store/src/chain/indexes.rs",
        "names.join(\", \")",
        &["transactions_from, logs_address_topic"],
    ),
    example(
        "crates/store/src/chain/indexes.rs",
        "name",
        &["transfers_to"],
    ),
    example(
        "crates/store/src/chain/indexes.rs",
        "&statement",
        &[
            "CREATE INDEX example ON logs (chain_id, address)",
            "CREATE INDEX CONCURRENTLY example ON logs (chain_id, address)",
        ],
    ),
    example("crates/store/src/ticks.rs", "name", &["ticks_rest"]),
    // Settings.
    example("crates/store/src/dedicated.rs", "idle", &["7"]),
    example(
        "crates/store/src/dedicated.rs",
        "lease.as_millis()",
        &["10000"],
    ),
    example(
        "crates/store/src/dedicated.rs",
        "lease.as_millis() / 3",
        &["3333"],
    ),
    example("crates/store/src/dedicated.rs", "what", &["chain:1"]),
    example(
        "crates/store/src/pool.rs",
        "config.statement_timeout_ms",
        &["30000"],
    ),
    example(
        "crates/store/src/pool.rs",
        "IDLE_IN_TRANSACTION.as_millis()",
        &["10000"],
    ),
    example(
        "crates/store/src/read_pool.rs",
        "statement_timeout_ms",
        &["30000"],
    ),
    // Leases.
    example(
        "crates/store/src/writer/mod.rs",
        "self.lease.stream().name()",
        &["chain:1", "prices"],
    ),
    example(
        "crates/store/src/writer/mod.rs",
        "self.lease.term()",
        &["7"],
    ),
    // Passed on.
    example("crates/store/src/read_pool.rs", "query", &[]),
    example(
        "crates/store/src/read_pool.rs",
        "UnnamedStatement(query)",
        &[],
    ),
];
