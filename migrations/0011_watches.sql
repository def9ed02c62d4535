-- The one gateway whose clients have listened since a watch began: it may let go of it before its time. NULL once there
-- was another.
ALTER TABLE watches ADD COLUMN gateway text;

-- As before, and whose it is. And no commit waits for the search of a whole table: while a large load goes on without the
-- index of hashes, what is stored of a transaction is left to the writer, which asks the node for its block.
DROP FUNCTION begin_watches(bytea[], text[], bigint, bigint);
CREATE FUNCTION begin_watches(
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
            UPDATE watches w SET status = 'included', chain_id = t.chain_id, sender = t.from_address,
                nonce = t.nonce, block_number = t.block_number, block_hash = b.hash,
                transaction_index = t.transaction_index, succeeded = t.status = 1,
                confirmed = c.head_number - t.block_number + 1 >= c.confirmations,
                settled = coalesce(t.block_number <= c.finalized_number, false)
            FROM chains c JOIN transactions t ON t.chain_id = c.chain_id
                JOIN blocks b ON b.chain_id = t.chain_id AND b.number = t.block_number
            WHERE w.key = ANY (_new) AND octet_length(w.key) = 32 AND t.hash = w.key;
        END IF;
    END IF;
    RETURN QUERY SELECT key, since FROM watches WHERE key = ANY (_keys);
END $$;
