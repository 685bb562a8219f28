-- Dead letters that an operator has looked at and laid aside.
CREATE TABLE IF NOT EXISTS dismissed
(
    topic        LowCardinality(String),
    partition    Int32,
    offset       Int64,
    record_hash  UInt64,
    dismissed_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(dismissed_at)
ORDER BY (topic, partition, offset, record_hash);
