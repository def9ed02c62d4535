-- Transfers of every token standard, and chains of which only logs are indexed.
ALTER TABLE transfers
    ADD COLUMN position integer NOT NULL DEFAULT 0 CHECK (position >= 0), -- within the log: an ERC-1155 batch has many
    ADD COLUMN standard smallint NOT NULL DEFAULT 20 CHECK (standard IN (20, 721, 1155)), -- the number of its EIP
    ADD COLUMN token_id numeric(78, 0) CHECK (token_id >= 0), -- null for ERC-20
    ADD COLUMN transaction_hash bytea CHECK (octet_length(transaction_hash) = 32), -- null where transactions are stored
    DROP CONSTRAINT transfers_pkey,
    ADD PRIMARY KEY (chain_id, block_number, log_index, position);

ALTER TABLE logs
    ADD COLUMN transaction_hash bytea CHECK (octet_length(transaction_hash) = 32); -- null where transactions are stored
