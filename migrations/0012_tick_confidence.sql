-- Half of what the source itself says that it may be off, in units of the quote; null when it says nothing.
ALTER TABLE ticks ADD COLUMN confidence numeric CHECK (confidence >= 0);
