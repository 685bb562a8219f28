-- The views read with their definer's rights, so that a reader of money needs no table's grant.

-- For invoicing and every other reader of money: exact decimals, each charge once.
CREATE VIEW IF NOT EXISTS rated_rows DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * EXCEPT (version, content_hash)
FROM rated
FINAL;

-- The sums behind a statement's lines. Filter on account_id and month.
CREATE VIEW IF NOT EXISTS statement_lines DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
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
GROUP BY account_id, month, line, direction, media, registered;

-- What an account owes for a month: rounded to cents once, here (half to even).
CREATE VIEW IF NOT EXISTS statement_totals DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    account_id,
    month,
    sum(rated.charge)                                  AS charge,
    sum(tax_federal) + sum(tax_state) + sum(tax_local) AS tax,
    charge + tax                                       AS exact_total,
    roundBankers(exact_total, 2)                       AS total,
    any(rated.currency)                                AS currency
FROM rated
FINAL
GROUP BY account_id, month;
