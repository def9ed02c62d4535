-- What somebody listens to: updates of tx:HASH and address:ADDR are stored for these alone. A watch lives as long as
-- its row. It ends together with its channel and its updates, so that whoever comes back later is told of the hole.
CREATE TABLE watches (
    key               bytea PRIMARY KEY CHECK (octet_length(key) IN (20, 32)), -- an address, or a transaction's hash
    channel_id        bigint NOT NULL UNIQUE REFERENCES channels,
    since             bigint NOT NULL CHECK (since >= 0), -- where the channel stood when the watch began
    until             timestamptz NOT NULL,
    -- The rest is of transactions alone: what is known of one, and on which chain.
    status            text NOT NULL DEFAULT 'unknown'
        CHECK (status IN ('unknown', 'pending', 'included', 'reorged', 'replaced', 'dropped')),
    chain_id          bigint REFERENCES chains,
    sender            bytea CHECK (octet_length(sender) = 20),
    nonce             numeric(20, 0) CHECK (nonce >= 0),
    -- The block that holds it or, when it was replaced, the other one.
    block_number      bigint,
    block_hash        bytea CHECK (octet_length(block_hash) = 32),
    transaction_index integer,
    succeeded         boolean,
    replaced_by       bytea CHECK (octet_length(replaced_by) = 32),
    missing_since     timestamptz, -- when the node was first found not to know it any more
    confirmed         boolean NOT NULL DEFAULT false, -- told to be, or as deep when the watch began
    settled           boolean NOT NULL DEFAULT false -- its block is final
);
CREATE INDEX watches_until ON watches (until);
-- What a new block confirms.
CREATE INDEX watches_young ON watches (chain_id) WHERE status = 'included' AND NOT confirmed AND NOT settled;
-- What a reorg takes back, or finality settles.
CREATE INDEX watches_block ON watches (chain_id, block_number) WHERE NOT settled AND block_number IS NOT NULL;
-- What a transaction of the same sender and nonce replaces.
CREATE INDEX watches_nonce ON watches (chain_id, sender, nonce) WHERE block_number IS NULL AND sender IS NOT NULL;
-- What the node is asked about.
CREATE INDEX watches_waiting ON watches (key)
    WHERE octet_length(key) = 32 AND block_number IS NULL AND status IN ('unknown', 'pending', 'reorged');

-- How many watches there are, and where a new one's channel begins: above every seq that an ended watch's channel had.
CREATE TABLE watching (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    count bigint NOT NULL DEFAULT 0 CHECK (count >= 0),
    floor bigint NOT NULL DEFAULT 0 CHECK (floor >= 0)
);
INSERT INTO watching DEFAULT VALUES;

-- Blocks from which on a transaction counts as confirmed, as configured when the indexer last started.
ALTER TABLE chains ADD COLUMN confirmations bigint NOT NULL DEFAULT 12 CHECK (confirmations > 0);

-- A contract's creation belongs to its address, too. Creations are few, and so is what this index holds.
CREATE INDEX transactions_contract ON transactions (chain_id, contract_address, block_number, transaction_index)
    WHERE contract_address IS NOT NULL;

-- Begins watches, all of them seen by whoever commits blocks from now on: the lock waits for the commits that have
-- looked watches up, which hold it shared. Statements of a function have a snapshot each, so what those commits stored
-- is seen here. Those for which there is no room are left out of the answer.
CREATE FUNCTION begin_watches(_keys bytea[], _names text[], _seconds bigint, _most bigint)
RETURNS TABLE (_key bytea, _since bigint) LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    _room  bigint;
    _floor bigint;
    _new   bytea[];
BEGIN
    PERFORM pg_advisory_xact_lock(1667785065, 1);
    UPDATE watches SET until = greatest(until, clock_timestamp() + make_interval(secs => _seconds))
    WHERE key = ANY (_keys);
    SELECT _most - count, floor INTO _room, _floor FROM watching FOR UPDATE;
    _new := array(SELECT k FROM unnest(_keys) WITH ORDINALITY AS t (k, at)
                  WHERE NOT EXISTS (SELECT FROM watches WHERE key = k) ORDER BY at LIMIT greatest(_room, 0));
    -- Not "moved": gateways that compare what moved have nothing to fetch here.
    INSERT INTO channels (name, seq, updated_at)
    SELECT n, _floor, 'epoch' FROM unnest(_keys, _names) AS t (k, n) WHERE k = ANY (_new) ORDER BY n;
    INSERT INTO watches (key, channel_id, since, until)
    SELECT k, c.id, c.seq, clock_timestamp() + make_interval(secs => _seconds)
    FROM unnest(_keys, _names) AS t (k, n) JOIN channels c ON c.name = n WHERE k = ANY (_new);
    UPDATE watching SET count = count + cardinality(_new);
    UPDATE watches w SET status = 'included', chain_id = t.chain_id, sender = t.from_address, nonce = t.nonce,
        block_number = t.block_number, block_hash = b.hash, transaction_index = t.transaction_index,
        succeeded = t.status = 1, confirmed = c.head_number - t.block_number + 1 >= c.confirmations,
        settled = coalesce(t.block_number <= c.finalized_number, false)
    FROM chains c JOIN transactions t ON t.chain_id = c.chain_id
        JOIN blocks b ON b.chain_id = t.chain_id AND b.number = t.block_number
    WHERE w.key = ANY (_new) AND octet_length(w.key) = 32 AND t.hash = w.key;
    RETURN QUERY SELECT key, since FROM watches WHERE key = ANY (_keys);
END $$;

-- Ends up to so many watches whose time is over, with their channels and updates; returns how many.
CREATE FUNCTION end_watches(_limit bigint) RETURNS bigint LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    _ids bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(1667785065, 1);
    WITH gone AS (
        DELETE FROM watches WHERE key IN (
            SELECT key FROM watches WHERE until < clock_timestamp() ORDER BY until LIMIT _limit)
        RETURNING channel_id)
    SELECT coalesce(array_agg(channel_id), '{}') INTO _ids FROM gone;
    UPDATE watching SET count = count - cardinality(_ids),
        floor = greatest(floor, (SELECT max(seq) + 1 FROM channels WHERE id = ANY (_ids)));
    DELETE FROM updates WHERE channel_id = ANY (_ids);
    DELETE FROM channels WHERE id = ANY (_ids);
    RETURN cardinality(_ids);
END $$;
