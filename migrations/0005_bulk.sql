-- Loads at the speed of COPY.

-- A trigger a row took most of a load's time. One writer a chain stores and takes back a block's rows in one
-- transaction, which is what the keys were for.
ALTER TABLE transactions
    DROP CONSTRAINT transactions_chain_id_block_number_fkey,
    DROP CONSTRAINT transactions_chain_id_hash_key;
ALTER TABLE logs DROP CONSTRAINT logs_chain_id_block_number_fkey;
ALTER TABLE transfers DROP CONSTRAINT transfers_chain_id_block_number_fkey;

-- Not a constraint, so that it can be left out of a load and built after it like the others.
CREATE UNIQUE INDEX transactions_hash ON transactions (chain_id, hash);

-- The logs of one transaction are found among those of its block by the primary key.
DROP INDEX logs_transaction;

-- Indexes that a large load left out, to be built when it is done, by whoever writes then.
CREATE TABLE deferred_indexes (
    name       text PRIMARY KEY,
    definition text NOT NULL, -- the statement that makes it
    since      timestamptz NOT NULL DEFAULT now()
);

-- When the height of a dropped block was first seen to be final: its retention counts from there.
ALTER TABLE dropped_blocks ADD COLUMN final_at timestamptz;
CREATE INDEX dropped_blocks_final ON dropped_blocks (final_at);
