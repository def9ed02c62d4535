-- Events of configured contracts, transfers of every token standard, and what tokens say of themselves.

-- A contract as it is, or was, configured: another definition is another row, decoded anew.
CREATE TABLE contracts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id        bigint NOT NULL REFERENCES chains,
    name            text NOT NULL, -- lower case, as in channels
    shown           text NOT NULL, -- as configured
    definition      bytea NOT NULL CHECK (octet_length(definition) = 32),
    position        integer NOT NULL, -- order in the configuration
    addresses       bytea[] NOT NULL, -- of the contracts, or of their factory
    factory_event   text, -- signature; null without a factory
    events          text[] NOT NULL, -- signatures
    start_block     bigint NOT NULL CHECK (start_block >= 0),
    -- Logs of the blocks from here to decoded_through are decoded; downward from where the definition became known.
    decoded_from    bigint NOT NULL CHECK (decoded_from >= 0),
    decoded_through bigint NOT NULL CHECK (decoded_through >= -1),
    -- The factory's own logs were read down to here.
    found_from      bigint NOT NULL CHECK (found_from >= 0),
    -- When it was no longer configured so: its rows are deleted step by step, and shown to nobody.
    retired_at      timestamptz
);
-- One definition a name and chain is in force.
CREATE UNIQUE INDEX contracts_name ON contracts (chain_id, name) WHERE retired_at IS NULL;

CREATE TABLE contract_events (
    contract_id       bigint NOT NULL, -- of contracts; no foreign key, which would look it up for every row
    chain_id          bigint NOT NULL,
    block_number      bigint NOT NULL,
    log_index         integer NOT NULL,
    transaction_index integer NOT NULL,
    event             text NOT NULL,
    address           bytea NOT NULL CHECK (octet_length(address) = 20),
    args              json NOT NULL, -- json, not jsonb: the arguments keep the order of the ABI
    -- A contract's events newest first and by range of blocks; a log that is read twice stays one event; and what a
    -- reorg drops, contract by contract.
    PRIMARY KEY (contract_id, block_number, log_index)
);
-- ?event= newest first.
CREATE INDEX contract_events_event ON contract_events (contract_id, event, block_number, log_index);
-- ?address= newest first, among the many contracts of a factory.
CREATE INDEX contract_events_address ON contract_events (contract_id, address, block_number, log_index);

-- What factories announced.
CREATE TABLE contract_addresses (
    contract_id  bigint NOT NULL REFERENCES contracts,
    address      bytea NOT NULL CHECK (octet_length(address) = 20),
    block_number bigint NOT NULL,
    log_index    integer NOT NULL,
    PRIMARY KEY (contract_id, address)
);
-- What a reorg drops.
CREATE INDEX contract_addresses_block ON contract_addresses (contract_id, block_number);

-- Every token contract that moved something, and what it says of itself, read once.
CREATE TABLE token_contracts (
    chain_id bigint NOT NULL REFERENCES chains,
    address  bytea NOT NULL CHECK (octet_length(address) = 20),
    standard smallint NOT NULL CHECK (standard IN (20, 721, 1155)),
    name     text,
    symbol   text,
    decimals smallint CHECK (decimals BETWEEN 0 AND 255),
    attempts smallint NOT NULL DEFAULT 0,
    tried_at timestamptz,
    read_at  timestamptz, -- null until it is read, or known to say nothing
    failed   boolean NOT NULL DEFAULT false, -- it says nothing that can be used
    seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, address)
);
-- What is left to be read, and only that.
CREATE INDEX token_contracts_unread ON token_contracts (chain_id, attempts, seen_at) WHERE read_at IS NULL;

-- Transfers of ERC-721 and ERC-1155 in logs that are stored already, as new blocks give them.
CREATE FUNCTION chaincast_word(data bytea, at bigint) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT AS $$
    -- The uint256 at an offset in bytes; null where the data ends before.
    SELECT CASE WHEN at >= 0 AND at + 32 <= octet_length(data) THEN
        (SELECT sum(('x' || encode(substr(data, (at + 1 + 4 * i)::int, 4), 'hex'))::bit(32)::bigint::numeric
                    * scale.value)
         FROM (VALUES (0, 26959946667150639794667015087019630673637144422540572481103610249216::numeric),
                      (1, 6277101735386680763835789423207666416102355444464034512896),
                      (2, 1461501637330902918203684832716283019655932542976),
                      (3, 340282366920938463463374607431768211456),
                      (4, 79228162514264337593543950336),
                      (5, 18446744073709551616),
                      (6, 4294967296),
                      (7, 1)) AS scale (i, value))
    END
$$;

INSERT INTO transfers (chain_id, block_number, log_index, transaction_index, token_address, from_address, to_address,
    amount, position, standard, token_id, transaction_hash)
SELECT chain_id, block_number, log_index, transaction_index, address, substr(topic1, 13), substr(topic2, 13),
    1, 0, 721, chaincast_word(topic3, 0), transaction_hash
FROM logs
WHERE topic0 = '\xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef'
    AND topic3 IS NOT NULL AND octet_length(data) = 0
ON CONFLICT DO NOTHING;

INSERT INTO transfers (chain_id, block_number, log_index, transaction_index, token_address, from_address, to_address,
    amount, position, standard, token_id, transaction_hash)
SELECT chain_id, block_number, log_index, transaction_index, address, substr(topic2, 13), substr(topic3, 13),
    chaincast_word(data, 32), 0, 1155, chaincast_word(data, 0), transaction_hash
FROM logs
WHERE topic0 = '\xc3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62'
    AND topic3 IS NOT NULL AND octet_length(data) = 64
ON CONFLICT DO NOTHING;

-- A batch has two arrays of one length behind their offsets; offsets and lengths that are absurd are clamped to where
-- no data is.
WITH batches AS MATERIALIZED (
    SELECT l.*, least(chaincast_word(data, 0), 1000000000)::bigint AS ids,
        least(chaincast_word(data, 32), 1000000000)::bigint AS amounts
    FROM logs l
    WHERE topic0 = '\x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb'
        AND topic3 IS NOT NULL AND octet_length(data) >= 64
), counted AS MATERIALIZED (
    SELECT b.*, least(chaincast_word(data, ids), 1000000000)::bigint AS count,
        least(chaincast_word(data, amounts), 1000000000)::bigint AS other
    FROM batches b
)
INSERT INTO transfers (chain_id, block_number, log_index, transaction_index, token_address, from_address, to_address,
    amount, position, standard, token_id, transaction_hash)
SELECT chain_id, block_number, log_index, transaction_index, address, substr(topic2, 13), substr(topic3, 13),
    chaincast_word(data, amounts + 32 + 32 * n), n, 1155, chaincast_word(data, ids + 32 + 32 * n), transaction_hash
FROM counted, generate_series(0, CASE WHEN count <= 10000 AND count = other
    AND ids + 32 + 32 * count <= octet_length(data) AND amounts + 32 + 32 * count <= octet_length(data)
    THEN count - 1 ELSE -1 END) AS n
ON CONFLICT DO NOTHING;

DROP FUNCTION chaincast_word;

INSERT INTO token_contracts (chain_id, address, standard)
SELECT chain_id, token_address, max(standard) FROM transfers GROUP BY chain_id, token_address
ON CONFLICT DO NOTHING;
