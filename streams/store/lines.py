"""Lists of lines as SQL has them, from the one table of lines."""

from rater.lines import MONTHLY_LINES

# For `line IN (...)`: the lines that are made once a month, and not by an event.
MONTHLY_LINES_SQL = ", ".join(f"'{name}'" for name in MONTHLY_LINES)
