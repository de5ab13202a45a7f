"""`kumiai bulk …`: grants and corrections from a file, by the office itself. `kumiai worker` does the work."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from app.db import transaction
from app.errors import DomainError, NotFound
from app.money import format_yen
from app.office.database import database
from app.wallet.bulk import results as result_files
from app.wallet.bulk import service
from app.wallet.bulk.sentences import reason
from app.wallet.bulk.upload import FileTooLarge, received
from app.wallet.bulk.upload import upload as make_job
from app.web.terminal import say

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)
_EXAMINED_WITHIN_S = 30
_LOOK_EVERY_S = 0.2
_SHOWN_PROBLEMS = 20


@click.group()
def bulk() -> None:
    """Many grants and corrections at once, from a file."""


@bulk.command()
@click.argument("file", type=_FILE)
def upload(file: Path) -> None:
    """Upload FILE (.csv, or .jsonl) and have it examined. Nothing moves yet."""
    file_format = "jsonl" if file.suffix in (".jsonl", ".ndjson") else "csv"
    with _office():
        try:
            with file.open("rb") as stream, received(stream) as content, transaction():
                job_id, _ = make_job(
                    content,
                    client_id=service.OFFICE,
                    upload_key=secrets.token_hex(16),
                    file_format=file_format,
                    file_name=file.name,
                )
        except FileTooLarge:
            raise click.ClickException(say("bulk.too_large")) from None
        deadline_s = time.monotonic() + _EXAMINED_WITHIN_S
        while _view(job_id)["state"] == "examining":
            if time.monotonic() > deadline_s:
                raise click.ClickException(f"{job_id}\n{say('bulk.waits')}")
            time.sleep(_LOOK_EVERY_S)
        _show(job_id)


@bulk.command("list")
def list_() -> None:
    """The newest jobs."""
    with _office(), transaction():
        lines = [f"{job.id}  {say(f'bulk.state.{job.state}')}  {job.file_name}" for job in service.jobs()]
    for line in lines:
        click.echo(line)


@bulk.command()
@click.argument("job", type=click.UUID)
def show(job: UUID) -> None:
    """How far a job has come, and what is wrong with its lines."""
    with _office():
        _show(job)


@bulk.command()
@click.argument("job", type=click.UUID)
@click.option("--skip-bad-lines", is_flag=True, help="Run the good lines although others are bad.")
@click.option("--same-file", is_flag=True, help="The very same file was run before, and is meant again.")
@click.option("--notify", help="Whom to mail when it is done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def start(job: UUID, skip_bad_lines: bool, same_file: bool, notify: str | None, yes: bool) -> None:
    """Run a job, and watch it. Ctrl-C ends the watching only."""
    with _office():
        left_yen = _view(job)["left_sum_yen"]
        if not yes and not click.confirm(say("bulk.start_sure", left=format_yen(left_yen))):
            raise click.ClickException(say("bulk.not_started"))
        with transaction():
            service.start(
                job,
                client_id=service.OFFICE,
                expected_sum_yen=left_yen,
                skip_bad_lines=skip_bad_lines,
                same_file=same_file,
                notify=notify,
            )
        _watch(job)
        _show(job)


@bulk.command()
@click.argument("job", type=click.UUID)
def stop(job: UUID) -> None:
    """Stop a running job after the lines in hand."""
    with _office():
        with transaction():
            service.stop(job, client_id=service.OFFICE)
        _show(job)


@bulk.command()
@click.argument("job", type=click.UUID)
def discard(job: UUID) -> None:
    """Be rid of a job that was never started."""
    with _office(), transaction():
        service.discard(job, client_id=service.OFFICE)
    click.echo(say("bulk.discarded"))


@bulk.command()
@click.argument("job", type=click.UUID)
@click.option("--out", type=_NEW_FILE, required=True, help="A .csv or .jsonl file to write.")
def results(job: UUID, out: Path) -> None:
    """Write what became of each line into a file."""
    write = result_files.as_json_lines if out.suffix in (".jsonl", ".ndjson") else result_files.as_csv
    with _office():
        with transaction():
            service.check_results(service.job_of(job, client_id=service.OFFICE))
        with out.open("w", encoding="utf-8", newline="") as file:
            file.writelines(write(job, say=partial(reason, say=say)))


def _watch(job_id: UUID) -> None:
    shown = _view(job_id)
    with click.progressbar(length=shown["good_lines"], label=say("bulk.progress")) as bar:
        while True:
            bar.update(shown["done_lines"] - bar.pos)
            if shown["state"] != "running":
                return
            time.sleep(_LOOK_EVERY_S)
            shown = _view(job_id)


def _view(job_id: UUID) -> dict[str, Any]:
    with transaction():
        return service.view(service.job_of(job_id, client_id=service.OFFICE))


def _show(job_id: UUID) -> None:
    shown = _view(job_id)
    values = {
        "id": shown["id"],
        "state": say(f"bulk.state.{shown['state']}"),
        "lines": shown["lines"],
        "good": shown["good_lines"],
        "bad": shown["bad_lines"],
        "accepted": shown["accepted_lines"],
        "refused": shown["refused_lines"],
        "moved": format_yen(shown["moved_yen"]),
        "left": format_yen(shown["left_sum_yen"]),
    }
    click.echo(say("bulk.shown", **values))
    if shown["problem"]:
        wrong = reason(shown["problem"], say)
        line = shown["problem"]["line"]
        click.echo(say("bulk.file_line", line=line, reason=wrong) if line else wrong)
    with transaction():
        problems, more = service.bad_rows(job_id, after=0, limit=_SHOWN_PROBLEMS)
    for number, each in problems:
        click.echo(say("bulk.line", line=number, field=each["field"] or "", reason=reason(each, say)))
    if more is not None:
        click.echo("…")


@contextmanager
def _office() -> Iterator[None]:
    """The database, with every refusal said in a sentence."""
    with database():
        try:
            yield
        except NotFound:
            raise click.ClickException(say("bulk.none")) from None
        except DomainError as error:
            said = (say(f"error.{error.code}{part}", **error.detail) for part in ("", ".cure"))
            raise click.ClickException("\n".join(said)) from None
