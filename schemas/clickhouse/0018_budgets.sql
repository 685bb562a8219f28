-- What accounts mean to spend in a month. A row is a version of a budget; the newest stands.
CREATE TABLE IF NOT EXISTS budgets
(
    account_id  String,
    name        String,
    amount      Decimal(18, 9)         COMMENT 'a month, with tax, in the account''s currency',
    lines       Array(String)          COMMENT 'of the statement; none is all',
    campaign_id String,
    user_id     String,
    removed     UInt8,
    set_at      DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(set_at)
ORDER BY (account_id, name);

-- What was told of them: written before it is sent, so that a worker that is killed leaves none out. The id
-- is made of what is told: two workers that tell the same have one row.
CREATE TABLE IF NOT EXISTS alerts
(
    account_id  String,
    month       Date,
    alert_id    String,
    budget      String,
    what        LowCardinality(String) COMMENT 'actual, forecast or runaway',
    percent     UInt16                 COMMENT 'of the amount; 0 of a runaway',
    amount      Decimal(18, 9)         COMMENT 'of the budget then',
    spent       Decimal(38, 9)         COMMENT 'spent, foretold, or of a runaway the minute''s cost',
    currency    LowCardinality(String),
    sentence    String,
    told_at     DateTime64(6, 'UTC'),
    INDEX told told_at TYPE minmax
)
ENGINE = ReplacingMergeTree(told_at)
ORDER BY (account_id, month, alert_id);

-- Each attempt to send one.
CREATE TABLE IF NOT EXISTS deliveries
(
    account_id  String,
    alert_id    String,
    channel     LowCardinality(String) COMMENT 'topic or webhook',
    attempt     UInt8,
    sent        UInt8,
    answer      String                 COMMENT 'a status or an error in words; no address, no secret',
    tried_at    DateTime64(6, 'UTC'),
    INDEX tried tried_at TYPE minmax
)
ENGINE = ReplacingMergeTree(tried_at)
ORDER BY (account_id, alert_id, channel, attempt);
