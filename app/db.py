"""The database: one engine, one typed base, one place that commits.

`transaction()` is the only commit of the web tier (the ledger's poster commits on its own connection). Services
flush; they never commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import sqlalchemy.exc
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import ARRAY, DateTime, Engine, LargeBinary, MetaData, Text, Uuid, create_engine
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, registry, scoped_session
from sqlalchemy.types import TypeEngine

from app.errors import DomainError
from app.settings import Settings

_METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_TYPES: dict[Any, TypeEngine[Any]] = {
    str: Text(),
    UUID: Uuid(),
    datetime: DateTime(timezone=True),
    bytes: LargeBinary(),
    list[str]: ARRAY(Text()),
    list[UUID]: ARRAY(Uuid()),
    dict[str, Any]: JSONB(),
}


class Base(DeclarativeBase):
    """Base of every model. Types follow the annotation; constraint names are stable, so migrations can name them."""

    registry = registry(metadata=_METADATA, type_annotation_map=_TYPES)  # Flask-SQLAlchemy wants it in a registry


PLANS_BY_KEY = (
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
    " -c plan_cache_mode=force_generic_plan"
)
"""Connection options where every statement finds its rows by key: a plan made while a table was empty would
otherwise keep its sequential scan for the life of the connection; and a plan for just these keys, made anew at every
call, takes longer than the rows do."""

ENDS_WITH_ITS_HOST: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
"""Connection parameters (libpq, section 32.1.2) by which a host that fell silent is given up within seconds: no
time limit of the server's own helps when the network swallows its answers."""


def worker_connection(database_url: str, *, name: str) -> psycopg.Connection[Any]:
    """A connection for a part of the worker, of its own: every statement its own transaction, rows found by key
    whatever a table's statistics say. PostgreSQL shows it as `kumiai <name>`."""
    return psycopg.connect(
        database_url,
        **ENDS_WITH_ITS_HOST,
        autocommit=True,
        options=PLANS_BY_KEY,
        application_name=f"kumiai {name}",
    )


LOOKUPS = "kumiai.lookups"
"""Where app/lookup.py keeps what it made, so that `dispose` can close it."""

WRITING, READING = 20, 10
"""The most connections of one web process: for transactions, and for single reads.

With one for app/lookup.py and one for the ledger's poster, two processes stay well below the 100 that PostgreSQL
admits by default. More requests at a time wait for one, a matter of milliseconds, instead of being refused it.
"""

PATIENCE_S = 5.0
"""How long a request waits for a connection before it is told to come back later."""

DATABASE_AWAY = (psycopg.OperationalError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.TimeoutError)
"""What it looks like when PostgreSQL is restarting, out of reach, or has no connection left for us."""

Made = TypeVar("Made")

db = SQLAlchemy(model_class=Base, disable_autonaming=True)


def init_app(app: Flask, settings: Settings) -> None:
    """Bind the app to its PostgreSQL."""
    app.config["SQLALCHEMY_DATABASE_URI"] = sqlalchemy_url(settings.database_url)
    quiet = {"hide_parameters": True}  # an error's text goes to the log, and parameters are addresses and names
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        **quiet,
        **_pool(WRITING),
        "connect_args": ENDS_WITH_ITS_HOST,
    }
    db.init_app(app)
    app.extensions["kumiai.reading"] = create_engine(
        app.config["SQLALCHEMY_DATABASE_URI"],
        **quiet,
        connect_args={**ENDS_WITH_ITS_HOST, "autocommit": True},
        **_pool(READING),
        pool_reset_on_return=None,  # without a transaction there is nothing to reset
    )


def _pool(connections: int) -> dict[str, Any]:
    return {"pool_size": connections, "max_overflow": 0, "pool_timeout": PATIENCE_S}


def sqlalchemy_url(database_url: str) -> str:
    """`postgresql://…` as SQLAlchemy wants it, with the psycopg 3 driver named."""
    scheme, _, rest = database_url.partition("://")
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError("DATABASE_URL must begin with postgresql://")
    return f"postgresql+psycopg://{rest}"


def session() -> scoped_session[Session]:
    """This request's session. It begins a transaction with its first statement."""
    return db.session


def autocommit() -> Engine:
    """The engine for a single read that needs no transaction: one round trip instead of three."""
    engine = current_app.extensions["kumiai.reading"]
    assert isinstance(engine, Engine)
    return engine


def dispose() -> None:
    """Close this app's connections."""
    for lookup in current_app.extensions.pop(LOOKUPS, {}).values():
        lookup.close()
    db.engine.dispose()
    autocommit().dispose()


def extension(name: str, make: Callable[[], Made]) -> Made:
    """What this app keeps under `name` for as long as it lives, made at the first call."""
    kept = current_app.extensions
    if name not in kept:
        kept[name] = make()
    made: Made = kept[name]
    return made


def database_url() -> str:
    """The address of this app's database, for those who need a connection of their own."""
    settings = current_app.extensions["kumiai.settings"]
    assert isinstance(settings, Settings)
    return settings.database_url


def in_transaction() -> bool:
    """Whether this request holds a transaction open. The ledger refuses to be called then (a deadlock nobody sees)."""
    registry = db.session.registry
    return registry.has() and registry().in_transaction()


@contextmanager
def transaction() -> Iterator[scoped_session[Session]]:
    """One unit of work: commit at the end, roll back on an error, except errors that keep their changes."""
    session = db.session
    assert not in_transaction(), "transaction() does not nest: one commit per request, in one place"
    try:
        yield session
    except DomainError as error:
        if error.keeps_changes:
            session.commit()
        else:
            session.rollback()
        raise
    except BaseException:
        session.rollback()
        raise
    else:
        session.commit()
