"""The tables. Declarations are kept as JSON beside the columns that are searched; events exactly as they came."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, Integer, LargeBinary, Text, TypeDecorator, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Moment(TypeDecorator[datetime]):
    """A point in time, in UTC to the microsecond, on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite compares texts: they are all written in UTC and without an offset."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Always with UTC as its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


COLUMN_TYPES = {str: Text, datetime: Moment, dict[str, Any]: JSON, int: BigInteger}


class Base(DeclarativeBase):
    """All tables of inventory."""

    type_annotation_map = COLUMN_TYPES


class ResourceRow(Base):
    """A subnet, image, profile or webhook, or the site (`kind` "site", `name` "site")."""

    __tablename__ = "resources"
    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    spec: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class MachineRow(Base):
    """A machine, with the state of its latest install beside its declaration."""

    __tablename__ = "machines"
    name: Mapped[str] = mapped_column(primary_key=True)
    spec: Mapped[dict[str, Any]]
    profile: Mapped[str | None] = mapped_column(index=True)
    address: Mapped[str | None] = mapped_column(unique=True)
    external_id: Mapped[str | None] = mapped_column(index=True)
    install_id: Mapped[str | None]
    state: Mapped[str | None] = mapped_column(index=True)
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class MacRow(Base):
    """A hardware address and the one machine that it belongs to."""

    __tablename__ = "macs"
    mac: Mapped[str] = mapped_column(primary_key=True)
    machine: Mapped[str] = mapped_column(ForeignKey("machines.name", ondelete="CASCADE"), index=True)


class TagRow(Base):
    """A tag of a machine."""

    __tablename__ = "tags"
    machine: Mapped[str] = mapped_column(ForeignKey("machines.name", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    __table_args__ = (Index("ix_tags_key_value", "key", "value"),)


class InstallRow(Base):
    """One install of one machine. It outlives the machine: `machine` is the name, not a reference."""

    __tablename__ = "installs"
    id: Mapped[str] = mapped_column(primary_key=True)
    machine: Mapped[str]
    mac: Mapped[str | None]
    profile: Mapped[str]
    image: Mapped[str]
    limits: Mapped[dict[str, Any]]
    ordered_at: Mapped[datetime]
    ordered_by: Mapped[str]
    token: Mapped[str | None]  # opens the answer file; forgotten when the install ends
    state: Mapped[str]
    milestone: Mapped[str]
    deadline_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    entered_at: Mapped[datetime]
    life: Mapped[dict[str, Any]]
    __table_args__ = (
        Index("ix_installs_machine_ordered_at", "machine", "ordered_at"),
        Index("ix_installs_ordered_at_id", "ordered_at", "id"),
        Index("ix_installs_state", "state"),
        Index("ix_installs_deadline_at", "deadline_at"),
    )


class EventRow(Base):
    """An event as it was published. `seq` is its place in the history, which is that in the stream unless the stream
    lost its end: always higher than all that were stored before. None for our own until it came back from there.

    `mac`, `machine` and `install_id` hold what the event says or what was found out since: by `address`, the machine
    that held the address at that time; by `time`, the install that was in force.
    """

    __tablename__ = "events"
    id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int | None]
    type: Mapped[str]
    time: Mapped[datetime]
    mac: Mapped[str | None]
    machine: Mapped[str | None]
    install_id: Mapped[str | None]
    ip: Mapped[str | None]
    found_by_address: Mapped[bool]
    found_by_time: Mapped[bool]
    document: Mapped[str]
    __table_args__ = (
        Index("ix_events_seq", "seq"),
        Index("ix_events_machine_seq", "machine", "seq"),
        Index("ix_events_type_seq", "type", "seq"),
        Index("ix_events_mac_time", "mac", "time"),
        Index("ix_events_ip_time", "ip", "time"),
        Index("ix_events_install_id_time", "install_id", "time"),
        Index("ix_events_time", "time"),
        Index("ix_events_unpublished", "id", sqlite_where=text("seq IS NULL"), postgresql_where=text("seq IS NULL")),
    )


class RejectedRow(Base):
    """A message of the stream that is no event of the catalogue: kept, as nothing is dropped."""

    __tablename__ = "rejected"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    subject: Mapped[str]
    reason: Mapped[str]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class DeliveryRow(Base):
    """An event on its way to a webhook."""

    __tablename__ = "deliveries"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    webhook: Mapped[str]
    event_id: Mapped[str]
    state: Mapped[str]  # pending | delivered | dead
    attempts: Mapped[int]
    due_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    error: Mapped[str]
    __table_args__ = (
        Index("ix_deliveries_webhook_event_id", "webhook", "event_id", unique=True),
        Index("ix_deliveries_state_webhook_id", "state", "webhook", "id"),
    )


class TokenRow(Base):
    """A bearer token of the API; only its hash is kept."""

    __tablename__ = "tokens"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    scope: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class AnswerRow(Base):
    """The answer that a request with an Idempotency-Key got, to be given again for the same request."""

    __tablename__ = "answers"
    key: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]
    status: Mapped[int]
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(index=True)
