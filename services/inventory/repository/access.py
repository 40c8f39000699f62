"""Who may use the API, and the answers that repeated requests get again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select

from services.inventory.models import AnswerRow, TokenRow
from services.inventory.repository.database import Session


@dataclass(frozen=True)
class Token:
    """A bearer token as it is known here: not the secret itself."""

    id: str
    name: str
    scope: str
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class Answer:
    """What a request was answered; `request` is a digest of what was asked."""

    request: str
    status: int
    body: dict[str, Any]


def token_of_hash(session: Session, hash: str) -> Token | None:
    """The token with that hash, also a revoked one."""
    row = session.scalars(select(TokenRow).where(TokenRow.hash == hash)).first()
    return _read(row) if row else None


def tokens(session: Session) -> list[Token]:
    """All tokens, the oldest first."""
    return [_read(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.created_at, TokenRow.id))]


def add_token(session: Session, token: Token, hash: str) -> None:
    """Let a token in."""
    session.add(TokenRow(id=token.id, name=token.name, scope=token.scope, hash=hash, created_at=token.created_at))


def revoke_token(session: Session, id: str, now: datetime) -> bool:
    """Let a token in no more. False where there is none with that id."""
    row = session.get(TokenRow, id)
    if row is not None and row.revoked_at is None:
        row.revoked_at = now
    return row is not None


def answer(session: Session, key: str, token: str) -> Answer | None:
    """What the request with this Idempotency-Key was answered."""
    row = session.get(AnswerRow, (key, token))
    return Answer(row.request, row.status, row.body) if row else None


def remember_answer(session: Session, key: str, token: str, answer: Answer, now: datetime, until: datetime) -> None:
    """Keep an answer; those from before `until` are forgotten."""
    session.execute(delete(AnswerRow).where(AnswerRow.created_at < until))
    values = {"request": answer.request, "status": answer.status, "body": answer.body, "created_at": now}
    session.add(AnswerRow(key=key, token=token, **values))


def _read(row: TokenRow) -> Token:
    return Token(row.id, row.name, row.scope, row.created_at, row.revoked_at)
