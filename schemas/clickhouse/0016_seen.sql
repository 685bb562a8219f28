-- Whether an event, or a detection's call, was seen with other facts before: by its hash alone, so that
-- what was recently written is looked up at the same cost whatever the history. Small granules: a look-up
-- reads one of each part. Two facts of one hash are a suspect; `accepted` and `rated` decide.
CREATE TABLE IF NOT EXISTS seen
(
    event  UInt64,
    facts  UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (event, facts)
SETTINGS index_granularity = 128, index_granularity_bytes = 0, min_bytes_for_wide_part = 0, merge_selector_base = 10;

CREATE MATERIALIZED VIEW IF NOT EXISTS seen_of_accepted TO seen DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    cityHash64(account_id, kind = 'dial' ? 'call' : kind, event_id, revision) AS event,
    cityHash64(content_hash, month, line)                                    AS facts
FROM accepted;

CREATE MATERIALIZED VIEW IF NOT EXISTS seen_of_rated TO seen DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    cityHash64('detection', account_id, identity, revision) AS event,
    cityHash64(month)                                       AS facts
FROM rated
WHERE line = 'ai_voice_detection';

INSERT INTO seen
SELECT cityHash64(account_id, kind = 'dial' ? 'call' : kind, event_id, revision), cityHash64(content_hash, month, line)
FROM accepted;

INSERT INTO seen
SELECT cityHash64('detection', account_id, identity, revision), cityHash64(month)
FROM rated
WHERE line = 'ai_voice_detection';

-- The millisecond of the log's clock, as a version has it, counted down. An index of a folded constant is
-- never used: those of before go.
ALTER TABLE counterfoils DROP INDEX IF EXISTS logged;
ALTER TABLE accepted DROP INDEX IF EXISTS logged;
ALTER TABLE counterfoils ADD INDEX IF NOT EXISTS logged_down bitShiftRight(bitShiftLeft(version, 2), 82) TYPE minmax;
ALTER TABLE counterfoils MATERIALIZE INDEX logged_down;
ALTER TABLE accepted ADD INDEX IF NOT EXISTS logged_down bitShiftRight(bitShiftLeft(version, 2), 82) TYPE minmax;
ALTER TABLE accepted MATERIALIZE INDEX logged_down;
