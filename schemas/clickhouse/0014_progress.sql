-- Up to which instant all that was received is committed: told by whoever works on a partition, every
-- two seconds. A page says by it whether what it shows is live, behind, or by nobody's work.
CREATE TABLE IF NOT EXISTS progress
(
    consumer_group LowCardinality(String),
    partition      Int32,
    partitions     Int32                COMMENT 'how many the group has',
    as_of          DateTime64(3, 'UTC') COMMENT 'all that the log took before it is in the ledger',
    told_at        DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(told_at)
ORDER BY (consumer_group, partition);
