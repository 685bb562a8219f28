"""The ledger: all that speaks SQL to ClickHouse or to the engine in the process."""
