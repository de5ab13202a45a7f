"""Refusals of bulk jobs as a whole. What is wrong with a file or a line is no error of the call (problems.py)."""

from __future__ import annotations

from app.errors import DomainError


class BulkStateWrong(DomainError):
    """What was asked cannot be done with a job in its present state."""

    code, status = "bulk_state_wrong", 409


class BulkResultsGone(DomainError):
    """The lines of a job that was over long ago are not kept. What moved is in the ledger."""

    code, status = "bulk_results_gone", 410


class BulkHasBadLines(DomainError):
    """Some lines cannot be run, and nobody said that they may be skipped."""

    code, status = "bulk_has_bad_lines", 409


class BulkSumDiffers(DomainError):
    """The sum that the caller expects to move is not the one that would."""

    code, status = "bulk_sum_differs", 409


class BulkSameFile(DomainError):
    """The very same file was started before, and nobody said that this is meant."""

    code, status = "bulk_same_file", 409


class BulkTooManyJobs(DomainError):
    """So many jobs of this client are not over yet that it may begin no other."""

    code, status = "bulk_too_many_jobs", 429
