"""What a check says. A check is a small function: it looks, and yields a finding for each thing it does not like.

The sentence a person reads is in the translations under `doctor.<code>`, what to do under `doctor.<code>.cure`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import psycopg

from app.db import ENDS_WITH_ITS_HOST

Environment = Mapping[str, str]
Connection = psycopg.Connection[tuple[Any, ...]]


class Level(IntEnum):
    """How much it matters. `CRITICAL` makes the exit status 1."""

    OK = 0
    NOTE = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One departure from RFC 9700 or from the production checklist."""

    code: str
    level: Level
    values: dict[str, object] = field(default_factory=dict)


SettingsCheck = Callable[[Environment], Iterator[Finding]]
DatabaseCheck = Callable[[Connection, Environment], Iterator[Finding]]


def connect(database_url: str) -> Connection:
    """A connection to look with. Each statement is its own transaction, so that one that fails spoils no other."""
    return psycopg.connect(database_url, **ENDS_WITH_ITS_HOST, autocommit=True, options="-c statement_timeout=30s")


def production(environment: Environment) -> bool:
    return environment.get("KUMIAI_ENV", "production") == "production"


def critical_in_production(environment: Environment) -> Level:
    """The level of what is right for development and never for members' money."""
    return Level.CRITICAL if production(environment) else Level.NOTE
