"""Tokens: who may read which account. Read once, from a TOML file.

[tokens]
long-random-text = "acct-1"     # this account alone
other-long-text = "*"           # every account
"""

import hashlib
import hmac
import tomllib
from collections.abc import Mapping
from pathlib import Path

EVERY_ACCOUNT = "*"


class TokensError(ValueError):
    """A file of tokens that can't be used; the message is one line and never shows a token."""


class Tokens:
    """The known tokens, kept as their hashes."""

    def __init__(self, accounts: Mapping[str, str]) -> None:
        self._accounts = [(_hash(token), account) for token, account in accounts.items()]

    def account_of(self, token: str) -> str | None:
        """The account of a token, `*` for every one, or None for a token that is not known.

        Every known token is compared, in constant time, whichever it is.
        """
        given, found = _hash(token), None
        for known, account in self._accounts:
            if hmac.compare_digest(known, given):
                found = account
        return found


def load_tokens(path: Path) -> Tokens:
    """The tokens of a file. Raises TokensError when it is missing, malformed or has none."""
    try:
        tokens = tomllib.loads(path.read_text(encoding="utf-8")).get("tokens")
    except OSError as error:
        raise TokensError(f"tokens file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TokensError(f"tokens file {path} is not TOML: {error}") from None
    if not isinstance(tokens, dict) or not tokens:
        raise TokensError(f'tokens file {path}: no [tokens]; add a line token = "account"')
    for number, (token, account) in enumerate(tokens.items(), start=1):
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise TokensError(f"tokens file {path}: token {number} is not plain ASCII text")
        if not isinstance(account, str) or not account:
            raise TokensError(f"tokens file {path}: token {number} names no account")
    return Tokens(tokens)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
