"""The web: one account's usage as JSON, as a stream, as a file and as a page; health and metrics.

Owns HTTP. Reads go through `streams.store`; nothing here knows the tables or the rates.
"""
