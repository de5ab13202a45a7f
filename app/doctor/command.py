"""`kumiai doctor`: every setting that departs from RFC 9700 or from the production checklist, with what to do."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator

import click
import psycopg

from app.doctor import client_checks, database_checks, settings_checks
from app.doctor.finding import Connection, DatabaseCheck, Environment, Finding, Level, connect
from app.settings import development_environment
from app.web.terminal import aligned, say

_COLOURS = {Level.NOTE: "cyan", Level.WARNING: "yellow", Level.CRITICAL: "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For monitoring: one object with every finding.")
def doctor(as_json: bool) -> None:
    """Check the settings, the database and the clients; exit status 1 where something is critical."""
    findings = sorted(examine(development_environment()), key=lambda finding: -finding.level)
    worst = max((finding.level for finding in findings), default=Level.OK)
    if as_json:
        click.echo(json.dumps(_report(findings, worst), ensure_ascii=False, indent=2))
    else:
        _print(findings)
    sys.exit(1 if worst is Level.CRITICAL else 0)


def examine(environment: Environment) -> Iterator[Finding]:
    """Everything that is to be said. Where one thing is wrong, the rest is still looked at as far as it can be."""
    for check in settings_checks.CHECKS:
        yield from check(environment)
    try:
        with connect(environment.get("DATABASE_URL", "")) as connection:
            yield from _database(connection, environment)
    except psycopg.Error as error:
        yield Finding(code="no_database", level=Level.CRITICAL, values={"error": type(error).__name__})


def _database(connection: Connection, environment: Environment) -> Iterator[Finding]:
    for check in database_checks.SERVER_CHECKS:
        yield from check(connection, environment)
    unmigrated = list(database_checks.migrated(connection, environment))
    yield from unmigrated
    checks: tuple[DatabaseCheck, ...] = database_checks.CONTENT_CHECKS + client_checks.CHECKS
    for check in () if unmigrated else checks:
        yield from check(connection, environment)


def _print(findings: list[Finding]) -> None:
    """One table: how much it matters, what it is, and under it what to do."""
    lines = []
    for finding in findings:
        lines.append((_level(finding.level), say(f"doctor.{finding.code}", **finding.values)))
        lines.append(("", "→ " + say(f"doctor.{finding.code}.cure", **finding.values)))
    levels = [finding.level for finding in findings for _ in range(2)]
    for level, line in zip(levels, aligned(lines) if lines else (), strict=True):
        click.secho(line, fg=_COLOURS[level])
    count = Counter(finding.level for finding in findings)
    if not findings:
        click.secho(say("doctor.well"), fg="green")
        return
    click.echo(
        say(
            "doctor.sum",
            critical=count[Level.CRITICAL],
            warning=count[Level.WARNING],
            note=count[Level.NOTE],
        )
    )


def _report(findings: list[Finding], worst: Level) -> dict[str, object]:
    return {
        "level": worst.name.lower(),
        "findings": [
            {
                "code": finding.code,
                "level": finding.level.name.lower(),
                "what": say(f"doctor.{finding.code}", **finding.values),
                "cure": say(f"doctor.{finding.code}.cure", **finding.values),
            }
            for finding in findings
        ],
    }


def _level(level: Level) -> str:
    return say(f"doctor.level.{level.name.lower()}")
