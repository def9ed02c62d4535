-- What a client needs to have a header exactly, and what explorers show. Null in rows of before. The lengths have no
-- constraints: these would read every row when they are added.
ALTER TABLE blocks
    ADD COLUMN ommers_hash              bytea,
    ADD COLUMN logs_bloom               bytea,
    ADD COLUMN withdrawals_root         bytea,   -- EIP-4895
    ADD COLUMN parent_beacon_block_root bytea,   -- EIP-4788
    ADD COLUMN requests_hash            bytea,   -- EIP-7685
    ADD COLUMN block_access_list_hash   bytea,   -- EIP-7928
    ADD COLUMN withdrawals              bytea,   -- RLP of the list (EIP-4895); null where there is none or it is not known
    ADD COLUMN size_proved              boolean; -- whether size was computed, and not the node's word

ALTER TABLE transactions
    ADD COLUMN access_list           bytea,          -- RLP (EIP-2930)
    ADD COLUMN authorization_list    bytea,          -- RLP (EIP-7702)
    ADD COLUMN blob_versioned_hashes bytea,          -- one after the other (EIP-4844)
    ADD COLUMN max_fee_per_blob_gas  numeric(78, 0),
    ADD COLUMN blob_gas_price        numeric(78, 0); -- from the receipt
