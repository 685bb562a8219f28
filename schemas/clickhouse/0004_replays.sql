-- Dead letters sent again: how often, by where the record lay first. Written after the log has it.
CREATE TABLE IF NOT EXISTS replays
(
    origin      String            COMMENT 'topic/partition/offset of the first letter',
    attempt     UInt32            COMMENT 'the first is 1',
    replayed_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(replayed_at)
ORDER BY (origin, attempt);
