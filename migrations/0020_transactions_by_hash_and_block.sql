-- A transaction's key is its hash and its block: on some chains (Cosmos EVM) one that failed in a block is in a later
-- block again. So the index of hashes is not unique any more, neither the one that there is nor one that a large load
-- left out.
UPDATE deferred_indexes SET definition = replace(definition, 'CREATE UNIQUE INDEX', 'CREATE INDEX')
WHERE name = 'transactions_hash';
DROP INDEX IF EXISTS transactions_hash;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM deferred_indexes WHERE name = 'transactions_hash') THEN
        CREATE INDEX transactions_hash ON transactions (chain_id, hash);
    END IF;
END $$;

-- As before; of several blocks with the transaction, the one where it succeeded counts, or else the newest.
CREATE OR REPLACE FUNCTION begin_watches(
    _keys bytea[], _names text[], _seconds bigint, _most bigint, _gateway text DEFAULT NULL)
RETURNS TABLE (_key bytea, _since bigint) LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    _room  bigint;
    _floor bigint;
    _new   bytea[];
BEGIN
    PERFORM pg_advisory_xact_lock(1667785065, 1);
    UPDATE watches SET until = greatest(until, clock_timestamp() + make_interval(secs => _seconds)),
        gateway = CASE WHEN gateway = _gateway THEN gateway END
    WHERE key = ANY (_keys);
    SELECT _most - count, floor INTO _room, _floor FROM watching FOR UPDATE;
    _new := array(SELECT k FROM unnest(_keys) WITH ORDINALITY AS t (k, at)
                  WHERE NOT EXISTS (SELECT FROM watches WHERE key = k) ORDER BY at LIMIT greatest(_room, 0));
    -- Not "moved": gateways that compare what moved have nothing to fetch here.
    INSERT INTO channels (name, seq, updated_at)
    SELECT n, _floor, 'epoch' FROM unnest(_keys, _names) AS t (k, n) WHERE k = ANY (_new) ORDER BY n;
    INSERT INTO watches (key, channel_id, since, until, gateway)
    SELECT k, c.id, c.seq, clock_timestamp() + make_interval(secs => _seconds), _gateway
    FROM unnest(_keys, _names) AS t (k, n) JOIN channels c ON c.name = n WHERE k = ANY (_new);
    UPDATE watching SET count = count + cardinality(_new);
    IF EXISTS (SELECT FROM unnest(_new) AS t (k) WHERE octet_length(k) = 32) THEN
        -- With this no index is dropped until the end.
        LOCK TABLE transactions IN ACCESS SHARE MODE;
        IF NOT EXISTS (SELECT FROM deferred_indexes WHERE name = 'transactions_hash') THEN
            UPDATE watches w SET status = 'included', chain_id = f.chain_id, sender = f.from_address,
                nonce = f.nonce, block_number = f.block_number, block_hash = f.block_hash,
                transaction_index = f.transaction_index, succeeded = f.succeeded,
                confirmed = f.confirmed, settled = f.settled
            FROM unnest(_new) AS n (k), LATERAL (
                SELECT t.chain_id, t.from_address, t.nonce, t.block_number, b.hash AS block_hash,
                    t.transaction_index, t.status = 1 AS succeeded,
                    c.head_number - t.block_number + 1 >= c.confirmations AS confirmed,
                    coalesce(t.block_number <= c.finalized_number, false) AS settled
                FROM chains c JOIN transactions t ON t.chain_id = c.chain_id
                    JOIN blocks b ON b.chain_id = t.chain_id AND b.number = t.block_number
                WHERE t.hash = n.k
                ORDER BY t.status DESC NULLS LAST, t.block_number DESC LIMIT 1) AS f
            WHERE octet_length(n.k) = 32 AND w.key = n.k;
        END IF;
    END IF;
    RETURN QUERY SELECT key, since FROM watches WHERE key = ANY (_keys);
END $$;
