-- A row keeps the zone that told its month: what an old month shows does not come from today's book.
-- Rows that were written before have none.
ALTER TABLE rated ADD COLUMN IF NOT EXISTS zone LowCardinality(String) DEFAULT '' COMMENT 'that told the month' AFTER tariff_version;

CREATE OR REPLACE VIEW rated_rows DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * EXCEPT (version, content_hash)
FROM rated
FINAL
WHERE (account_id, month, line, identity, revision, version) NOT IN (
    SELECT account_id, month, line, identity, revision, version FROM losers FINAL WHERE loses);

-- As before, but that charges in two currencies are never one sum.
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
    currency
FROM rated
FINAL
WHERE (account_id, month, line, identity, revision, version) NOT IN (
    SELECT account_id, month, line, identity, revision, version FROM losers FINAL WHERE loses)
GROUP BY account_id, month, line, direction, media, registered, currency;

CREATE OR REPLACE VIEW statement_totals DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    account_id,
    month,
    sum(statement_lines.charge)               AS charge,
    sum(statement_lines.tax)                  AS tax,
    charge + tax                              AS exact_total,
    roundBankers(exact_total, 2)              AS total,
    currency
FROM statement_lines
GROUP BY account_id, month, currency;
