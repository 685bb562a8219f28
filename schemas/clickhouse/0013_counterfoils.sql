-- Of each row of `rated` and `states` what stays when the row is gone: its key's hash, its version and
-- what it came to. Written by views of the same inserts, and merged by the same rule, so that whatever
-- stands here stands there; the audit compares them. Rows of before have none, and are not compared.
CREATE TABLE IF NOT EXISTS counterfoils
(
    account_id  String,
    row         UInt64                  COMMENT 'a hash of the rest of the row''s key',
    month       Date,
    line        LowCardinality(String)  COMMENT 'empty of a state',
    version     UInt128,
    amount      Decimal(18, 9)          COMMENT 'the charge with its taxes'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(month)
ORDER BY (account_id, row)
SETTINGS merge_selector_base = 10;

CREATE MATERIALIZED VIEW IF NOT EXISTS counterfoils_of_rated TO counterfoils DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    account_id,
    cityHash64(month, line, identity, revision)                AS row,
    month,
    line,
    version,
    rated.charge + tax_federal + tax_state + tax_local         AS amount
FROM rated;

CREATE MATERIALIZED VIEW IF NOT EXISTS counterfoils_of_states TO counterfoils DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    account_id,
    cityHash64(kind, event_id, revision)                       AS row,
    toStartOfMonth(from_at)                                    AS month,
    ''                                                         AS line,
    version,
    toDecimal64(0, 9)                                          AS amount
FROM states;

-- What was written recently is looked for by the log's clock, which is in a version: parts of before have
-- none of it, and are not read.
ALTER TABLE counterfoils ADD INDEX IF NOT EXISTS logged bitAnd(version, toUInt128('85070591730234615865843651857942052863')) TYPE minmax;
ALTER TABLE accepted ADD INDEX IF NOT EXISTS logged bitAnd(version, toUInt128('85070591730234615865843651857942052863')) TYPE minmax;
ALTER TABLE accepted MATERIALIZE INDEX logged;
ALTER TABLE states ADD INDEX IF NOT EXISTS logged logged_at TYPE minmax;
ALTER TABLE states MATERIALIZE INDEX logged;
ALTER TABLE receipts ADD INDEX IF NOT EXISTS written written_at TYPE minmax;
ALTER TABLE receipts MATERIALIZE INDEX written;

-- How far a slow walk through the whole ledger has come: whoever goes on with it begins there.
CREATE TABLE IF NOT EXISTS walks
(
    name      LowCardinality(String),
    position  String                  COMMENT 'the last that was looked at',
    began_at  DateTime64(3, 'UTC')    COMMENT 'this time round',
    moved_at  DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(moved_at)
ORDER BY name;
