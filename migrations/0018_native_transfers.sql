-- Transfers of the chain's own coin: logs of the system address since Ethereum's Amsterdam fork (EIP-7708), and the values of
-- transactions before it, which are read where they are stored.
ALTER TABLE blocks
    ADD COLUMN slot_number bigint; -- EIP-7843; null before the Amsterdam fork

ALTER TABLE chains
    ADD COLUMN native_transfers_from bigint; -- the first indexed block in which native transfers are logs; null while there is none

ALTER TABLE transfers
    ALTER COLUMN token_address DROP NOT NULL, -- null for the chain's own coin
    DROP CONSTRAINT transfers_standard_check,
    -- What is stored passed the narrower check before: no row has to be read again.
    ADD CONSTRAINT transfers_standard_check CHECK (standard IN (0, 20, 721, 1155)) NOT VALID, -- the number of the EIP, 0 for the chain's own coin
    ADD CONSTRAINT transfers_token_check CHECK ((token_address IS NULL) = (standard = 0)) NOT VALID;

-- The values of transactions of an address, whatever else it sent and received without any.
CREATE INDEX transactions_value_from ON transactions (chain_id, from_address, block_number, transaction_index)
    WHERE value > 0 AND status IS DISTINCT FROM 0;
CREATE INDEX transactions_value_to ON transactions (chain_id, to_address, block_number, transaction_index)
    WHERE value > 0 AND status IS DISTINCT FROM 0;

-- Logs of the system address were taken for transfers of a token. Only a chain that noted this token has any.
UPDATE transfers r SET standard = 0, token_address = NULL
FROM token_contracts m
WHERE m.address = '\xfffffffffffffffffffffffffffffffffffffffe' AND r.chain_id = m.chain_id AND r.token_address = m.address
    AND r.standard = 20;
DELETE FROM transfers r USING token_contracts m
WHERE m.address = '\xfffffffffffffffffffffffffffffffffffffffe' AND r.chain_id = m.chain_id AND r.token_address = m.address;
DELETE FROM token_contracts WHERE address = '\xfffffffffffffffffffffffffffffffffffffffe';

-- Burned amounts, of which no transfer was made.
INSERT INTO transfers (chain_id, block_number, log_index, transaction_index, token_address, from_address, to_address,
    amount, position, standard, transaction_hash)
SELECT l.chain_id, l.block_number, l.log_index, l.transaction_index, NULL, substr(l.topic1, 13),
    '\x0000000000000000000000000000000000000000', word.value, 0, 0, l.transaction_hash
FROM chains c
JOIN logs l ON l.chain_id = c.chain_id AND l.address = '\xfffffffffffffffffffffffffffffffffffffffe'
    AND l.topic0 = '\xcc16f5dbb4873280815c1ee09dbd06736cffcc184412cf7a71a0fdb75d397ca5'
    AND l.topic1 IS NOT NULL AND l.topic2 IS NULL AND octet_length(l.data) = 32
CROSS JOIN LATERAL (
    SELECT sum(get_byte(l.data, 31 - i) * power(256::numeric, i)) AS value FROM generate_series(0, 31) AS i
) AS word
ON CONFLICT DO NOTHING;

UPDATE chains c SET native_transfers_from = first.number
FROM (SELECT chain_id, min(block_number) AS number FROM transfers WHERE standard = 0 GROUP BY chain_id) AS first
WHERE first.chain_id = c.chain_id;
