-- The canonical chain. Rows of dropped blocks move to dropped_blocks.
CREATE TABLE chains (
    chain_id         bigint PRIMARY KEY CHECK (chain_id > 0),
    genesis_hash     bytea NOT NULL CHECK (octet_length(genesis_hash) = 32),
    start_block      bigint NOT NULL CHECK (start_block >= 0),
    head_number      bigint,
    head_hash        bytea,
    safe_number      bigint,
    finalized_number bigint,
    finalized_hash   bytea,
    verified_through bigint,
    -- The node's own head when it was last asked: lag is this less head_number.
    node_head        bigint,
    -- When it last answered.
    node_seen_at     timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CHECK ((head_number IS NULL) = (head_hash IS NULL))
);

CREATE TABLE blocks (
    chain_id          bigint NOT NULL REFERENCES chains,
    number            bigint NOT NULL CHECK (number >= 0),
    hash              bytea NOT NULL CHECK (octet_length(hash) = 32),
    parent_hash       bytea NOT NULL CHECK (octet_length(parent_hash) = 32),
    timestamp         bigint NOT NULL,
    miner             bytea NOT NULL CHECK (octet_length(miner) = 20),
    gas_used          bigint NOT NULL CHECK (gas_used >= 0),
    gas_limit         bigint NOT NULL CHECK (gas_limit >= 0),
    base_fee_per_gas  numeric(78, 0) CHECK (base_fee_per_gas >= 0),
    difficulty        numeric(78, 0) NOT NULL CHECK (difficulty >= 0),
    size              bigint,
    state_root        bytea NOT NULL,
    transactions_root bytea NOT NULL,
    receipts_root     bytea NOT NULL,
    extra_data        bytea NOT NULL,
    mix_hash          bytea,
    nonce             bytea,
    blob_gas_used     bigint,
    excess_blob_gas   bigint,
    transaction_count integer NOT NULL CHECK (transaction_count >= 0),
    log_count         integer NOT NULL CHECK (log_count >= 0),
    indexed_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, number),
    UNIQUE (chain_id, hash)
);

CREATE TABLE transactions (
    chain_id                 bigint NOT NULL,
    block_number             bigint NOT NULL,
    transaction_index        integer NOT NULL,
    hash                     bytea NOT NULL CHECK (octet_length(hash) = 32),
    from_address             bytea NOT NULL CHECK (octet_length(from_address) = 20),
    to_address               bytea CHECK (octet_length(to_address) = 20),
    contract_address         bytea CHECK (octet_length(contract_address) = 20),
    value                    numeric(78, 0) NOT NULL CHECK (value >= 0),
    nonce                    numeric(20, 0) NOT NULL CHECK (nonce >= 0),
    input                    bytea NOT NULL,
    type                     smallint NOT NULL,
    gas_limit                bigint NOT NULL,
    gas_price                numeric(78, 0),
    max_fee_per_gas          numeric(78, 0),
    max_priority_fee_per_gas numeric(78, 0),
    -- From the receipt:
    status                   smallint, -- 1 success, 0 failure, null before Byzantium
    gas_used                 bigint NOT NULL,
    cumulative_gas_used      bigint NOT NULL,
    effective_gas_price      numeric(78, 0) NOT NULL,
    PRIMARY KEY (chain_id, block_number, transaction_index),
    UNIQUE (chain_id, hash),
    FOREIGN KEY (chain_id, block_number) REFERENCES blocks ON DELETE CASCADE
);
CREATE INDEX transactions_from ON transactions (chain_id, from_address, block_number, transaction_index);
CREATE INDEX transactions_to ON transactions (chain_id, to_address, block_number, transaction_index);

CREATE TABLE logs (
    chain_id          bigint NOT NULL,
    block_number      bigint NOT NULL,
    log_index         integer NOT NULL,
    transaction_index integer NOT NULL,
    address           bytea NOT NULL CHECK (octet_length(address) = 20),
    topic0            bytea,
    topic1            bytea,
    topic2            bytea,
    topic3            bytea,
    data              bytea NOT NULL,
    PRIMARY KEY (chain_id, block_number, log_index),
    FOREIGN KEY (chain_id, block_number) REFERENCES blocks ON DELETE CASCADE
);
CREATE INDEX logs_transaction ON logs (chain_id, block_number, transaction_index);
CREATE INDEX logs_address_topic ON logs (chain_id, address, topic0, block_number, log_index);

-- ERC-20 Transfer events (three topics and one word of data).
CREATE TABLE transfers (
    chain_id          bigint NOT NULL,
    block_number      bigint NOT NULL,
    log_index         integer NOT NULL,
    transaction_index integer NOT NULL,
    token_address     bytea NOT NULL CHECK (octet_length(token_address) = 20),
    from_address      bytea NOT NULL CHECK (octet_length(from_address) = 20),
    to_address        bytea NOT NULL CHECK (octet_length(to_address) = 20),
    amount            numeric(78, 0) NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (chain_id, block_number, log_index),
    FOREIGN KEY (chain_id, block_number) REFERENCES blocks ON DELETE CASCADE
);
CREATE INDEX transfers_from ON transfers (chain_id, from_address, block_number, log_index);
CREATE INDEX transfers_to ON transfers (chain_id, to_address, block_number, log_index);

-- What reorgs dropped, whole and by hash, for audit.
CREATE TABLE dropped_blocks (
    chain_id   bigint NOT NULL REFERENCES chains,
    hash       bytea NOT NULL,
    number     bigint NOT NULL,
    content    jsonb NOT NULL, -- block, transactions, logs, transfers and ticks as they were stored
    dropped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, hash, dropped_at)
);
CREATE INDEX dropped_blocks_number ON dropped_blocks (chain_id, number);
