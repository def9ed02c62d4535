-- The last moment in which a tick that an announced price stands on is fresh, with the rate that converts it; moves with
-- observed_at. Null of prices that were announced before this was stored.
ALTER TABLE prices ADD COLUMN expires_at timestamptz;
