"""Bearer tokens: made here, shown once, kept as a hash. A token is 256 random bits, so a plain hash is enough."""

import hashlib
import os
import secrets
from pathlib import Path
from typing import Literal

from structlog.typing import FilteringBoundLogger

from services.inventory.ledger import Ledger, Work
from services.inventory.repository import access
from services.inventory.repository.access import Token

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")  # each may do what those before it may
PREFIX = "kf_"
FILE = "admin.token"


class TokenFileError(Exception):
    """The file of the first token cannot be written or read; the message says why."""


def hash_of(secret: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(secret.encode()).hexdigest()


def issue(work: Work, name: str, scope: Scope, secret: str | None = None) -> tuple[Token, str]:
    """A new token and its secret, which is known to nobody else."""
    secret = secret or PREFIX + secrets.token_urlsafe(32)
    token = Token(secrets.token_hex(6), name, scope, work.now)
    access.add_token(work.session, token, hash_of(secret))
    return token, secret


def allows(held: str, needed: Scope) -> bool:
    """Whether a token of scope `held` may do what needs `needed`."""
    return held in SCOPES and SCOPES.index(held) >= SCOPES.index(needed)


async def ensure_admin(ledger: Ledger, data: Path, log: FilteringBoundLogger) -> None:
    """See that the token in `<data>/admin.token` lets an administrator in; at the first start it is written.

    A file that is there is believed, so that a new database keeps the old token. Raises TokenFileError.
    """
    path = data / FILE
    held = _read(path)
    if held:
        await ledger.transact(lambda work: _let_in(work, held))
    elif not await ledger.read(lambda session: any(token.scope == "admin" for token in access.tokens(session))):
        secret = PREFIX + secrets.token_urlsafe(32)
        _write(path, secret)
        await ledger.transact(lambda work: _let_in(work, secret))
        log.info("the admin token was written; keep it as you keep a password", file=str(path))


def _let_in(work: Work, secret: str) -> None:
    if access.token_of_hash(work.session, hash_of(secret)) is None:
        issue(work, "admin", "admin", secret)


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise TokenFileError(f"the admin token {path} cannot be read: {error}") from None


def _write(path: Path, secret: str) -> None:
    try:
        # Made empty with its mode first: at no moment may another user read it.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(f"{secret}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TokenFileError(f"the admin token {path} cannot be written: {error.strerror}") from None
