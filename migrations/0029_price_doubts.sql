-- Whether the number of an announced price was in doubt and not only of too few venues, of a stale one while it was fresh;
-- null of prices that were announced before this was stored.
ALTER TABLE prices ADD COLUMN doubtful boolean;
