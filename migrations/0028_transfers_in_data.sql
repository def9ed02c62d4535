-- Transfers whose parties and token id are data, as contracts from before ERC-721 was settled emit them (CryptoKitties and its
-- kin): those in logs that are stored already, as new blocks give them. Reads all logs once; readers and the rows of others
-- are not locked.
WITH made AS (
    INSERT INTO transfers (chain_id, block_number, log_index, transaction_index, token_address, from_address, to_address,
        amount, position, standard, token_id, transaction_hash)
    SELECT l.chain_id, l.block_number, l.log_index, l.transaction_index, l.address, substr(l.data, 13, 20),
        substr(l.data, 45, 20), 1, 0, 721, word.value, l.transaction_hash
    FROM logs l
    CROSS JOIN LATERAL (
        SELECT sum(get_byte(l.data, 95 - i) * power(256::numeric, i)) AS value FROM generate_series(0, 31) AS i
    ) AS word
    WHERE l.topic0 = '\xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef' AND l.topic1 IS NULL
        AND octet_length(l.data) = 96
        -- What is no address makes it another event of the same signature.
        AND substr(l.data, 1, 12) = '\x000000000000000000000000' AND substr(l.data, 33, 12) = '\x000000000000000000000000'
        -- The chain's own coin has no such transfers.
        AND l.address <> '\xfffffffffffffffffffffffffffffffffffffffe'
    ON CONFLICT DO NOTHING
    RETURNING chain_id, token_address
)
INSERT INTO token_contracts (chain_id, address, standard)
SELECT DISTINCT chain_id, token_address, 721 FROM made
ON CONFLICT DO NOTHING;
