ALTER TABLE chains
    -- Checks of what no root is over that were off for a block up to verified_through, by their keys.
    ADD COLUMN unproved text[] NOT NULL DEFAULT '{}',
    -- The block that genesis_hash is of: the first indexed one where no node has block 0.
    ADD COLUMN identity_number bigint NOT NULL DEFAULT 0 CHECK (identity_number >= 0);
-- What was off before is not known, but that senders of history are not recovered unless asked for.
UPDATE chains SET unproved = '{senders}' WHERE verified_through IS NOT NULL AND index_mode = 'blocks';
