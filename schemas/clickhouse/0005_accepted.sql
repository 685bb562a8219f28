-- Every record of an event that was accepted, by content: two contents of one event are a conflict.
-- Takes the place of the aggregate `identities`: a row a record merges for a quarter of the work, and
-- no replay disturbs it either, for a row's key is all of it.
CREATE TABLE IF NOT EXISTS accepted
(
    account_id    String,
    kind          LowCardinality(String),
    event_id      String,
    revision      UInt32,
    topic         LowCardinality(String),
    month         Date,
    content_hash  UInt64,
    version       UInt128
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(month)
ORDER BY (account_id, kind, event_id, revision, topic, content_hash, version);

-- A text's two rows are one record. The monthly lines are made from states, which come by the second.
CREATE MATERIALIZED VIEW IF NOT EXISTS accepted_of_rated TO accepted DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT account_id, kind, event_id, revision, topic, month, content_hash, version
FROM rated
WHERE line NOT IN ('carrier_fees', 'phone_numbers', 'recording_storage', 'subscriptions');

CREATE MATERIALIZED VIEW IF NOT EXISTS accepted_of_states TO accepted DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT account_id, kind, event_id, revision, topic, toStartOfMonth(from_at) AS month, content_hash, version
FROM states;

INSERT INTO accepted (account_id, kind, event_id, revision, topic, month, content_hash, version)
SELECT account_id, kind, event_id, revision, topic, month, record.1, record.2
FROM identities ARRAY JOIN records AS record;

-- A batch makes a part in each of these, several times a second: merged by tens they cost half the
-- work of merges by fives, and a reading of one account's month still finds few parts.
ALTER TABLE rated MODIFY SETTING merge_selector_base = 10;
ALTER TABLE accepted MODIFY SETTING merge_selector_base = 10;
ALTER TABLE states MODIFY SETTING merge_selector_base = 10;
ALTER TABLE receipts MODIFY SETTING merge_selector_base = 10;
