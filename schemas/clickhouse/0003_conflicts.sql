-- Every record of an event id that was accepted, by content: the least and the greatest content hash
-- differ where two records disagree (a conflict). No replay can disturb it: min, max and a set of
-- records are the same however often and in whatever order they are written.
CREATE TABLE IF NOT EXISTS identities
(
    account_id  String,
    kind        LowCardinality(String),
    event_id    String,
    revision    UInt32,
    topic       LowCardinality(String),
    month       Date,
    min_hash    SimpleAggregateFunction(min, UInt64),
    max_hash    SimpleAggregateFunction(max, UInt64),
    stands      SimpleAggregateFunction(max, UInt128) COMMENT 'the version that wins',
    records     SimpleAggregateFunction(groupUniqArrayArray, Array(Tuple(UInt64, UInt128)))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(month)
ORDER BY (account_id, kind, event_id, revision, month, topic);

-- A text's two rows are one record. The monthly lines are made from states, which come by the second.
CREATE MATERIALIZED VIEW IF NOT EXISTS identities_of TO identities DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    account_id,
    kind,
    event_id,
    revision,
    topic,
    month,
    content_hash              AS min_hash,
    content_hash              AS max_hash,
    version                   AS stands,
    [(content_hash, version)] AS records
FROM rated
WHERE line NOT IN ('carrier_fees', 'phone_numbers', 'recording_storage', 'subscriptions');

CREATE MATERIALIZED VIEW IF NOT EXISTS identities_of_states TO identities DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    account_id,
    kind,
    event_id,
    revision,
    topic,
    toStartOfMonth(from_at)   AS month,
    content_hash              AS min_hash,
    content_hash              AS max_hash,
    version                   AS stands,
    [(content_hash, version)] AS records
FROM states;

-- Rows that a conflict's winner leaves standing beside it (its twin has another month or line):
-- found by the audit, within a minute, and left out of every reading of money.
CREATE TABLE IF NOT EXISTS losers
(
    account_id  String,
    month       Date,
    line        LowCardinality(String),
    identity    String,
    revision    UInt32,
    version     UInt128,
    loses       UInt8,
    found_at    DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(found_at)
ORDER BY (account_id, month, line, identity, revision, version);

CREATE OR REPLACE VIEW rated_rows DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * EXCEPT (version, content_hash)
FROM rated
FINAL
WHERE (account_id, month, line, identity, revision, version) NOT IN (
    SELECT account_id, month, line, identity, revision, version FROM losers FINAL WHERE loses);

CREATE OR REPLACE VIEW statement_lines DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    account_id,
    month,
    line,
    direction,
    media,
    registered,
    countIf(rated.status != 'voided')                  AS row_count,
    sum(rated.billed)                                  AS billed,
    sum(rated.billed_seconds)                          AS billed_seconds,
    sum(rated.segments)                                AS segments,
    sum(rated.charge)                                  AS charge,
    sum(tax_federal) + sum(tax_state) + sum(tax_local) AS tax,
    countIf(tax_federal + tax_state + tax_local != 0)  AS taxed_count,
    any(rated.currency)                                AS currency
FROM rated
FINAL
WHERE (account_id, month, line, identity, revision, version) NOT IN (
    SELECT account_id, month, line, identity, revision, version FROM losers FINAL WHERE loses)
GROUP BY account_id, month, line, direction, media, registered;

CREATE OR REPLACE VIEW statement_totals DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    account_id,
    month,
    sum(statement_lines.charge)               AS charge,
    sum(statement_lines.tax)                  AS tax,
    charge + tax                              AS exact_total,
    roundBankers(exact_total, 2)              AS total,
    any(statement_lines.currency)             AS currency
FROM statement_lines
GROUP BY account_id, month;
