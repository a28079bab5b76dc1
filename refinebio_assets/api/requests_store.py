"""What the API has to remember by itself: tokens, the datasets that clients put together, a key.

SQLite by default, any database that SQLAlchemy knows where its address is given. Everything
else is in the catalogue, or under datasets/ once a dataset is asked for. A dataset's row is
changed only as it was read (`revision`), so that two requests at once cannot both start it.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Engine

_tables = sql.MetaData()
_tokens = sql.Table(
    "api_tokens",
    _tables,
    sql.Column("id", sql.String(36), primary_key=True),
    sql.Column("is_activated", sql.Boolean, nullable=False),
    sql.Column("created_at", sql.String(40), nullable=False),
)
_datasets = sql.Table(
    "api_datasets",
    _tables,
    sql.Column("id", sql.String(36), primary_key=True),
    sql.Column("revision", sql.Integer, nullable=False),
    sql.Column("made_as", sql.String(32), index=True),
    sql.Column("content", sql.Text, nullable=False),
)
_keys = sql.Table(
    "api_keys",
    _tables,
    sql.Column("name", sql.String(40), primary_key=True),
    sql.Column("value", sql.String(200), nullable=False),
)


@dataclass(frozen=True)
class AccessToken:
    """A token that a client has."""

    id: str
    is_activated: bool


@dataclass(frozen=True)
class DatasetWish:
    """A dataset as a client has put it together.

    Attributes
    ----------
    data
        Experiment -> samples, with ALL replaced by what it means.
    made_as
        Id of the dataset under datasets/ that was started for it; None before.
    started_with
        When it was started, from which address, by which program.
    """

    id: str
    data: Mapping[str, list[str]]
    aggregate_by: str = "EXPERIMENT"
    scale_by: str = "NONE"
    quantile_normalize: bool = True
    quant_sf_only: bool = False
    svd_algorithm: str = "NONE"
    email_address: str | None = None
    email_ccdl_ok: bool = False
    notify_me: bool = True
    made_as: str | None = None
    started_with: Mapping[str, Any] = field(default_factory=dict)
    created_at: str = ""
    last_modified: str = ""
    revision: int = 0


class RequestsStore:
    """The store; may be used by many threads and processes at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        _tables.create_all(engine)

    # --- tokens -----------------------------------------------------------------------

    def new_token(self, *, activated: bool) -> AccessToken:
        """Make a token."""
        token = AccessToken(str(uuid.uuid4()), activated)
        row = {"id": token.id, "is_activated": activated, "created_at": _now()}
        with self._engine.begin() as database:
            database.execute(_tokens.insert().values(row))
        return token

    def token(self, name: str) -> AccessToken | None:
        """The token of that id."""
        question = sql.select(_tokens.c.id, _tokens.c.is_activated).where(_tokens.c.id == name)
        with self._engine.connect() as database:
            found = database.execute(question).first()
        return AccessToken(found.id, found.is_activated) if found else None

    def set_activated(self, name: str, activated: bool) -> None:
        """Activate a token, or take that back."""
        change = _tokens.update().where(_tokens.c.id == name).values(is_activated=activated)
        with self._engine.begin() as database:
            database.execute(change)

    # --- datasets ---------------------------------------------------------------------

    def new_dataset(self, wish: DatasetWish) -> DatasetWish:
        """Keep a new dataset; its id is given here."""
        now = _now()
        kept = replace(wish, id=str(uuid.uuid4()), created_at=now, last_modified=now, revision=1)
        with self._engine.begin() as database:
            database.execute(_datasets.insert().values(_row(kept)))
        return kept

    def dataset(self, name: str) -> DatasetWish | None:
        """The dataset of that id."""
        question = sql.select(_datasets).where(_datasets.c.id == name)
        with self._engine.connect() as database:
            found = database.execute(question).first()
        return _wish(found) if found else None

    def change_dataset(self, wish: DatasetWish) -> DatasetWish | None:
        """Keep a dataset as it was changed; None if another request has changed it meanwhile."""
        kept = replace(wish, last_modified=_now(), revision=wish.revision + 1)
        change = (
            _datasets.update()
            .where(_datasets.c.id == wish.id, _datasets.c.revision == wish.revision)
            .values(_row(kept))
        )
        with self._engine.begin() as database:
            changed = database.execute(change).rowcount
        return kept if changed else None

    def started_as(self, made: list[str]) -> dict[str, list[str]]:
        """Id under datasets/ -> the clients' datasets that were started as it."""
        question = sql.select(_datasets.c.made_as, _datasets.c.id).where(
            _datasets.c.made_as.in_(made)
        )
        found: dict[str, list[str]] = {}
        with self._engine.connect() as database:
            for made_as, name in database.execute(question):
                found.setdefault(made_as, []).append(name)
        return found

    def all_datasets(self) -> list[DatasetWish]:
        """Every dataset."""
        with self._engine.connect() as database:
            return [_wish(row) for row in database.execute(sql.select(_datasets))]

    # --- the key ----------------------------------------------------------------------

    def signing_key(self) -> bytes:
        """The key that signs addresses to download from; made once, the same for all servers."""
        question = sql.select(_keys.c.value).where(_keys.c.name == "signing")
        with self._engine.connect() as database:
            found = database.execute(question).scalar()
        if found is None:
            row = {"name": "signing", "value": secrets.token_hex(32)}
            try:
                with self._engine.begin() as database:
                    database.execute(_keys.insert().values(row))
            except sql.exc.IntegrityError:  # another server was first
                return self.signing_key()
            found = row["value"]
        return bytes.fromhex(str(found))


def open_store(address: str | None, default: Path) -> RequestsStore:
    """The store at an address of SQLAlchemy's form; by default, a SQLite file."""
    if address is None:
        default.parent.mkdir(parents=True, exist_ok=True)
        address = f"sqlite:///{default}"
    engine = sql.create_engine(address)
    if engine.dialect.name == "sqlite":
        sql.event.listen(engine, "connect", _set_up_sqlite)
    return RequestsStore(engine)


def _set_up_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA busy_timeout = 10000")
    cursor.close()


def _row(wish: DatasetWish) -> dict[str, Any]:
    columns = {"id": wish.id, "revision": wish.revision, "made_as": wish.made_as}
    rest = {name: value for name, value in vars(wish).items() if name not in columns}
    return {**columns, "content": json.dumps(rest)}  # as text: the order has a meaning


def _wish(row: Any) -> DatasetWish:
    return DatasetWish(
        id=row.id, revision=row.revision, made_as=row.made_as, **json.loads(row.content)
    )


def _now() -> str:
    return datetime.now(UTC).isoformat()
