"""Tokens: who may do what with which account. A file of their hashes, read anew when it changes.

[tokens.support]
account = "*"            # every account; else one account's id
sha256 = "64 hex digits" # of the token, which `rater token create` shows once
scopes = ["read"]        # what it may do; without this, read
expires = 2026-12-31T00:00:00Z  # from then on it opens nothing; without this, it always does

A token is made here and long, so its plain SHA-256 can't be guessed back.
"""

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

EVERY_ACCOUNT = "*"
READ = "read"
MANAGE = "manage"  # budgets
OPERATE = "operate"  # what operators do
KIOSK = "kiosk"  # the display of one account at an address of its own, and nothing else
SCOPES = (READ, MANAGE, OPERATE, KIOSK)  # none has another in it
LEAST_LENGTH = 32  # characters; a shorter one is nobody's, whatever a file says
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
SHA256 = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


class TokensError(ValueError):
    """A file of tokens that can't be used; the message is one line and never shows a token."""


class Known(NamedTuple):
    """One token of the file: what it is called, what it opens and may do there, its hash, and until
    when.
    """

    name: str
    account: str
    sha256: str
    scopes: tuple[str, ...] = (READ,)
    expires: datetime | None = None


class Tokens:
    """The tokens of a file as it is now: what was revoked opens nothing from then on.

    A file that has become unusable opens nothing, either, until it is mended. Raises TokensError
    when it can't be used at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _seen(path)
        self._known = load_tokens(path)

    def find(self, token: str) -> Known | None:
        """The known token, or None. Every one is compared, in constant time, whichever it is."""
        if len(token) < LEAST_LENGTH:
            return None
        given, found = hash_of(token), None
        for known in self._now():
            if hmac.compare_digest(known.sha256, given):
                found = known
        return found

    def stands(self, known: Known) -> bool:
        """Whether a token that was found is still in the file, with the same account, and good."""
        return known in self._now()

    def _now(self) -> list[Known]:
        now = datetime.now(UTC)
        return [one for one in self._of_file() if one.expires is None or now < one.expires]

    def _of_file(self) -> list[Known]:
        seen = _seen(self._path)
        if seen is None or seen != self._seen:
            self._seen = seen
            try:
                self._known = load_tokens(self._path)
            except TokensError as error:
                if self._known:
                    log.error("no token is accepted: %s", error)
                self._known = []
        return self._known


def load_tokens(path: Path) -> list[Known]:
    """The tokens of a file. Raises TokensError when it is missing, malformed or not ours alone."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise TokensError(f"tokens file {path} is not UTF-8") from None
    except OSError as error:
        raise TokensError(f"tokens file {path}: {error.strerror}") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TokensError(f"tokens file {path} may be written by others: chmod go-w {path}")
    try:
        tokens = tomllib.loads(text).get("tokens", {})
    except tomllib.TOMLDecodeError:  # its message may repeat a token
        raise TokensError(f"tokens file {path} is not TOML") from None
    if not isinstance(tokens, dict) or not tokens:
        raise TokensError(f"tokens file {path}: no tokens; `rater token create` makes one")
    return [_known(path, n, name, entry) for n, (name, entry) in enumerate(tokens.items(), 1)]


def _known(path: Path, number: int, name: str, entry: object) -> Known:
    # A name that is none may be a token, of the time before they were hashed: it is not repeated.
    if not isinstance(entry, dict):
        raise TokensError(
            f"tokens file {path}: token {number} is not hashed; `rater token create` makes one"
        )
    account, sha256 = entry.get("account"), entry.get("sha256")
    if not NAME.fullmatch(name):
        raise TokensError(f"tokens file {path}: the name of token {number} is not plain letters")
    if not isinstance(account, str) or not account:
        raise TokensError(f"tokens file {path}: token {name} names no account")
    if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
        raise TokensError(f"tokens file {path}: token {name} has no sha256 of 64 hex digits")
    scopes = entry.get("scopes", [READ])
    if not isinstance(scopes, list) or not scopes or not all(one in SCOPES for one in scopes):
        raise TokensError(
            f"tokens file {path}: the scopes of token {name} are not of {', '.join(SCOPES)}"
        )
    expires = entry.get("expires")
    if expires is not None and (not isinstance(expires, datetime) or expires.tzinfo is None):
        raise TokensError(f"tokens file {path}: token {name} expires at no instant with its offset")
    return Known(name, account, sha256, tuple(scopes), expires)


def create_token(
    path: Path,
    name: str,
    account: str,
    scopes: Sequence[str] = (READ,),
    *,
    expires: datetime | None = None,
) -> str:
    """Adds a new token to the file, made where there is none, and returns it: it is kept nowhere.

    Raises TokensError for a name that is taken or no name, for an account with unprintables, for
    what is no scope, and for a display of every account.
    """
    if not NAME.fullmatch(name):
        raise TokensError(f"the name {name!r} is not of letters, digits, - and _, 64 at the most")
    if not account or not account.isprintable():
        raise TokensError(f"the account {account!r} is not printable text")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise TokensError(f"scopes are of {', '.join(SCOPES)}, not {', '.join(scopes)!r}")
    if KIOSK in scopes and account == EVERY_ACCOUNT:
        raise TokensError("a display shows one account: name it")
    known = load_tokens(path) if path.exists() and path.stat().st_size else []
    if any(one.name == name for one in known):
        raise TokensError(f"there is a token {name} already; revoke it, or choose another name")
    token = secrets.token_urlsafe(32)
    _write(path, [*known, Known(name, account, hash_of(token), tuple(scopes), expires)])
    return token


def revoke_token(path: Path, name: str) -> None:
    """Takes a token out of the file. Raises TokensError where there is none of that name."""
    known = load_tokens(path)
    left = [one for one in known if one.name != name]
    if left == known:
        raise TokensError(f"there is no token {name!r} in {path}")
    _write(path, left)


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _seen(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is changed or replaced; None where there is none."""
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def _write(path: Path, tokens: list[Known]) -> None:
    # In place: a file that is mounted into a container is not seen there when it is replaced.
    text = "# Made by `rater token`. The tokens themselves are kept nowhere.\n"
    for one in tokens:
        text += f"\n[tokens.{one.name}]\n"
        text += f"account = {json.dumps(one.account)}\nsha256 = {json.dumps(one.sha256)}\n"
        text += f"scopes = {json.dumps(one.scopes)}\n"
        if one.expires is not None:
            text += f"expires = {one.expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}\n"
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(text.encode())
    except OSError as error:
        raise TokensError(f"tokens file {path}: {error.strerror}") from None
