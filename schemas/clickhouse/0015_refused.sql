-- Of a dead letter that is an event by its JSON: whose it is, and why it was refused. Read with the
-- definer's rights, so that a reader who asks what became of an event reads no raw record.
CREATE VIEW IF NOT EXISTS refused DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    JSONExtractString(raw, 'account_id') AS account_id,
    JSONExtractString(raw, 'id')         AS event_id,
    kind,
    reason,
    message,
    logged_at,
    topic,
    partition,
    offset
FROM rejected
FINAL;
