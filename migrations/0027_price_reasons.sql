-- Why an announced price was degraded or stale, such as 'few_venues'; null while it was neither, and of prices that were
-- announced before this was known.
ALTER TABLE prices ADD COLUMN reason text;
