"""Exports: the header that names a downloaded file."""

import re


def attachment(account: str, month: str, extension: str) -> dict[str, str]:
    """The header that names the file: `usage-acme-2026-11.csv`."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", f"usage-{account}-{month}.{extension}")
    return {"Content-Disposition": f'attachment; filename="{name}"'}
