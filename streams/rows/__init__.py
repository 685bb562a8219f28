"""What becomes of records: outcomes, positions in the log, batches of rows. No I/O."""
