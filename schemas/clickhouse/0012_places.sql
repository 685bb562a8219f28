-- A place is used again where a topic is made anew or a file has another's name: what is kept by its
-- place is kept by its record too. What was written before has 0: of each place one record.
ALTER TABLE parked
    ADD COLUMN IF NOT EXISTS record_hash UInt64 COMMENT 'of its bytes and the broker''s timestamp' AFTER offset,
    MODIFY ORDER BY (topic, partition, offset, record_hash);
ALTER TABLE rejected
    ADD COLUMN IF NOT EXISTS record_hash UInt64 COMMENT 'of its bytes and the broker''s timestamp' AFTER offset,
    MODIFY ORDER BY (topic, partition, offset, record_hash);
ALTER TABLE receipts
    ADD COLUMN IF NOT EXISTS first_logged_at DateTime64(3, 'UTC') COMMENT 'the least of its records; 1970 where it was not kept' AFTER last_offset,
    ADD COLUMN IF NOT EXISTS last_logged_at DateTime64(3, 'UTC') COMMENT 'the greatest' AFTER first_logged_at,
    MODIFY ORDER BY (topic, partition, first_offset, last_offset, first_logged_at);

-- Which letter a replay brings back is told by where the log took it: a header may be anyone's.
ALTER TABLE replays
    ADD COLUMN IF NOT EXISTS place String COMMENT 'topic/partition/offset/record hash, as the log took it' AFTER attempt;
