"""Where cards come from. A source is a port; this one speaks to any reader nfcpy knows (`usb`, or `udp:` in tests).

Only raw blocks are read here; what they say is the server's to judge. Block 1, the bearer's name, is not read.
"""

from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import nfc
import nfc.tag
from nfc.clf import ContactlessFrontend, RemoteTarget
from nfc.tag.tt3 import BlockCode, ServiceCode, Type3Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class CardProfile:
    """Which system of a card to poll, and which blocks of which service to read."""

    system: int
    service: int
    blocks: tuple[int, ...]


FCF = CardProfile(system=0xFE00, service=0x1A8B, blocks=(0, 2, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCard:
    """One reading: the IDm of the profile's system (it differs per system) and the raw blocks, in hex."""

    idm: str
    blocks: Mapping[str, str]

    @property
    def last4(self) -> str:
        return self.idm[-4:]


class SourceError(Exception):
    """The reader or the card cannot be used. `code` names a sentence of the agent's catalogue."""

    code = ""


class NoReader(SourceError):
    code = "no_reader"


class ReaderForbidden(SourceError):
    code = "reader_forbidden"


class HoldAgain(SourceError):
    """The card left before it was read. Ask for it again."""

    code = "hold_again"


class WrongCard(SourceError):
    """A card, but none this profile knows: another kind, or a phone. Ask for the right one."""

    code = "wrong_card"


class Source(Protocol):
    """Something that reads cards."""

    def wait_for_card(self, timeout_s: float) -> ReadCard | None:
        """The next card, or None when nobody held one in time. Raises HoldAgain, WrongCard, NoReader."""


class NfcpySource:
    """A reader nfcpy knows, named by its path. A context manager. Raises NoReader, ReaderForbidden."""

    def __init__(self, path: str, profile: CardProfile = FCF) -> None:
        self._profile = profile
        try:
            self._reader = ContactlessFrontend(path)
        except OSError as error:
            raise (ReaderForbidden if error.errno == errno.EACCES else NoReader)(path) from error
        # A card answers a poll for its very system, whatever its first one is; what answers only other polls is
        # the wrong card. One other kind per round, so that the right card never waits for all of them.
        self._others = itertools.cycle([RemoteTarget("212F"), RemoteTarget("106A"), RemoteTarget("106B")])

    def __enter__(self) -> NfcpySource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    def wait_for_card(self, timeout_s: float) -> ReadCard | None:
        """See Source."""
        wanted = RemoteTarget("212F", sensf_req=bytearray.fromhex(f"00{self._profile.system:04X}0100"))
        ends_at = time.monotonic() + timeout_s
        while time.monotonic() < ends_at:
            found = self._sense(wanted)
            if found is None and self._sense(next(self._others)) is not None:
                found = self._sense(wanted, times=2)  # or did the right card come just now?
                if found is None:
                    raise WrongCard
            if found is not None:
                return self._read(found)
        return None

    def _sense(self, target: RemoteTarget, *, times: int = 1) -> RemoteTarget | None:
        try:
            return self._reader.sense(target, iterations=times)
        except nfc.clf.UnsupportedTargetError:
            return None
        except OSError as error:
            raise NoReader from error

    def _read(self, found: RemoteTarget) -> ReadCard:
        profile = self._profile
        tag = nfc.tag.activate(self._reader, found)
        if not isinstance(tag, Type3Tag):
            raise WrongCard
        service = ServiceCode(profile.service >> 6, profile.service & 0x3F)
        try:
            # One command for all blocks: they cannot come from two cards.
            data = tag.read_without_encryption([service], [BlockCode(number) for number in profile.blocks])
        except nfc.tag.TagCommandError as error:
            # Above 0xFF the card itself answered, with its status: it has no such service.
            raise (WrongCard if error.errno > 0xFF else HoldAgain) from error
        blocks = {str(number): data[i * 16 : i * 16 + 16].hex() for i, number in enumerate(profile.blocks)}
        return ReadCard(idm=tag.idm.hex().upper(), blocks=blocks)
