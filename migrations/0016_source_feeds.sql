-- What metrics and logs call the feed that reads a source outside the chains; null for sources on a chain.
ALTER TABLE price_sources ADD COLUMN feed text;
