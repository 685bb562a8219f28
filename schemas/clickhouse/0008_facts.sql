-- Every fact of an event that a rule reads or a reader asks for is on its row: a row can be rated again
-- from itself. Rows of before have none of these, and were dialed.
ALTER TABLE rated
    ADD COLUMN IF NOT EXISTS user_id     String                  COMMENT 'whose use it was' AFTER call_id,
    ADD COLUMN IF NOT EXISTS team        LowCardinality(String)  AFTER user_id,
    ADD COLUMN IF NOT EXISTS verdict     LowCardinality(String)  COMMENT 'of a voice detection' AFTER team,
    ADD COLUMN IF NOT EXISTS encoding    LowCardinality(String)  COMMENT 'of a text: gsm7 or ucs2' AFTER verdict,
    ADD COLUMN IF NOT EXISTS number_type LowCardinality(String)  AFTER registered,
    ADD COLUMN IF NOT EXISTS product     LowCardinality(String)  AFTER number_type,
    ADD COLUMN IF NOT EXISTS recorded    LowCardinality(String)  COMMENT 'true, false, or nobody said' AFTER product,
    ADD COLUMN IF NOT EXISTS dialed      Bool DEFAULT true       COMMENT 'false: refused before dialing' AFTER recorded,
    ADD COLUMN IF NOT EXISTS stood_us    Int64                   COMMENT 'of an asset whose month is prorated' AFTER rule;

-- A campaign is told of like an asset, and costs nothing: its line is empty.
ALTER TABLE states
    ADD COLUMN IF NOT EXISTS name        String                  AFTER call_id,
    ADD COLUMN IF NOT EXISTS detection   Nullable(Bool)          COMMENT 'whether a campaign has it on' AFTER name,
    ADD COLUMN IF NOT EXISTS user_id     String                  AFTER detection,
    ADD COLUMN IF NOT EXISTS team        LowCardinality(String)  AFTER user_id;

-- A view keeps the columns that there were when it was made.
CREATE OR REPLACE VIEW rated_rows DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * EXCEPT (version, content_hash)
FROM rated
FINAL
WHERE (account_id, month, line, identity, revision, version) NOT IN (
    SELECT account_id, month, line, identity, revision, version FROM losers FINAL WHERE loses);
