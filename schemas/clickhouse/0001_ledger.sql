-- The ledger: one row per charge. The key is made from the event, so a row written twice is one
-- row; `version` falls as the log position rises, so the first record wins in any order of writing.
CREATE TABLE IF NOT EXISTS rated
(
    account_id      String,
    month           Date                    COMMENT 'first day of the month, in the account''s zone',
    line            LowCardinality(String),
    identity        String                  COMMENT 'what is charged once: the event, an AMD''s call, a thing',
    revision        UInt32,
    kind            LowCardinality(String),
    event_id        String,
    direction       LowCardinality(String),
    from_number     String,
    to_number       String,
    group_id        String,
    campaign_id     String,
    call_id         String,
    occurred_at     DateTime64(6, 'UTC'),
    answered_at     Nullable(DateTime64(6, 'UTC')),
    ended_at        Nullable(DateTime64(6, 'UTC')),
    event_status    LowCardinality(String),
    media           LowCardinality(String),
    device          LowCardinality(String),
    sender          LowCardinality(String),
    carrier         LowCardinality(String),
    registered      LowCardinality(String),
    segments        UInt16,
    raw_seconds     UInt32,
    billed_seconds  UInt32,
    billed          UInt32                  COMMENT 'in the unit',
    unit            LowCardinality(String),
    unit_price      Decimal(18, 9)          COMMENT 'for `per` units',
    per             UInt32,
    connection_fee  Decimal(18, 9),
    charge          Decimal(18, 9),
    tax_federal     Decimal(18, 9),
    tax_state       Decimal(18, 9),
    tax_local       Decimal(18, 9),
    tax_status      LowCardinality(String),
    tax_rule        LowCardinality(String),
    currency        LowCardinality(String),
    tariff          LowCardinality(String),
    tariff_version  LowCardinality(String),
    rule            LowCardinality(String),
    status          LowCardinality(String)  COMMENT 'TM Forum TMF635',
    content_hash    UInt64                  COMMENT 'of the event; two for one identity are a conflict',
    topic           LowCardinality(String),
    partition       Int32,
    offset          Int64,
    logged_at       DateTime64(3, 'UTC')    COMMENT 'the broker''s timestamp',
    version         UInt128
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(month)
ORDER BY (account_id, month, line, identity, revision)
-- A statement reads one account's month, a thousand rows or two: small granules read little more.
SETTINGS index_granularity = 2048;

-- What events told of things that are billed by the month. The month's charges are made from it.
CREATE TABLE IF NOT EXISTS states
(
    account_id    String,
    kind          LowCardinality(String),
    event_id      String,
    revision      UInt32,
    line          LowCardinality(String),
    thing         String,
    billed_as     String,
    from_at       DateTime64(6, 'UTC'),
    until_at      Nullable(DateTime64(6, 'UTC')),
    seconds       UInt32,
    number        String,
    number_type   LowCardinality(String),
    product       LowCardinality(String),
    call_id       String,
    content_hash  UInt64,
    topic         LowCardinality(String),
    partition     Int32,
    offset        Int64,
    logged_at     DateTime64(3, 'UTC'),
    version       UInt128
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (account_id, kind, event_id, revision);

-- Events that have no price yet; `resolved` 1 once they are rated.
CREATE TABLE IF NOT EXISTS parked
(
    topic      LowCardinality(String),
    partition  Int32,
    offset     Int64,
    kind       LowCardinality(String),
    account_id String,
    event_id   String,
    reason     LowCardinality(String),
    message    String,
    event      String                COMMENT 'the event as JSON, without a text''s body',
    logged_at  DateTime64(3, 'UTC'),
    parked_at  DateTime64(3, 'UTC'),
    resolved   UInt8
)
ENGINE = ReplacingMergeTree(resolved)
ORDER BY (topic, partition, offset);

-- Dead letters: records that are no event, with a reason a person can act on.
CREATE TABLE IF NOT EXISTS rejected
(
    topic          LowCardinality(String),
    partition      Int32,
    offset         Int64,
    kind           LowCardinality(String),
    reason         LowCardinality(String),
    message        String,
    key            String,
    raw            String                COMMENT 'the value''s first bytes',
    raw_bytes      UInt32                COMMENT 'of the whole value',
    raw_hash       String                COMMENT 'BLAKE2b-128 of the whole value',
    headers        String,
    engine_version LowCardinality(String),
    logged_at      DateTime64(3, 'UTC'),
    rejected_at    DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(rejected_at)
ORDER BY (topic, partition, offset);

-- A receipt per written stretch of a partition, written last, so that gaps can be audited.
CREATE TABLE IF NOT EXISTS receipts
(
    topic        LowCardinality(String),
    partition    Int32,
    first_offset Int64,
    last_offset  Int64,
    records      UInt32,
    events       UInt32               COMMENT 'rated, with their rows in `rated`',
    rows         UInt32,
    states       UInt32,
    parked       UInt32,
    rejected     UInt32,
    charge       Decimal(38, 9),
    written_at   DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (topic, partition, first_offset, last_offset);
