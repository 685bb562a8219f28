-- Offsets that hold no record for a reader are no gap: markers of transactions, and what these took back.
ALTER TABLE receipts
    ADD COLUMN IF NOT EXISTS skipped Array(Int64) COMMENT 'offsets before and between its records that hold none: the first and the last of each range, one after the other' AFTER last_offset;
