"""Where cards come from. A source is a port; this one speaks to any reader nfcpy knows (`usb`, or `udp:` in tests).

Only raw blocks are read here; what they say, and whether a card's proof is one, is the server's to judge. Block 1 of
a student card, the bearer's name, is not read.
"""

from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

import nfc
import nfc.tag
from nfc.clf import ContactlessFrontend, RemoteTarget
from nfc.tag.tt3 import BlockCode, ServiceCode, Type3Tag

Prove = Callable[[Type3Tag, bytes], Mapping[str, str]]
"""Has a card answer a challenge (16 bytes); gives the blocks that prove it, in hex. Raises HoldAgain, WrongCard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardProfile:
    """Which system of a card to poll, and which blocks of which service to read: none where its IDm is all we want.

    `name` is what the server calls the profile. `prove` is there where such a card can answer a challenge.
    """

    name: str
    system: int
    service: int
    blocks: tuple[int, ...]
    prove: Prove | None = None


FCF = CardProfile(name="fcf", system=0xFE00, service=0x1A8B, blocks=(0, 2, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCard:
    """One reading: the IDm of the profile's system (it differs per system) and the raw blocks, in hex.

    `profile` is the name of the profile by which the card was found. `proof` has the blocks by which it answered the
    challenge: empty where there was none, or the card answers none.
    """

    idm: str
    blocks: Mapping[str, str]
    profile: str = FCF.name
    proof: Mapping[str, str] = field(default_factory=dict)

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

    def wait_for_card(self, timeout_s: float, challenge: bytes | None = None) -> ReadCard | None:
        """The next card, or None when nobody held one in time. A card that can answers the challenge in the same
        touch. Raises HoldAgain, WrongCard, NoReader.
        """


@contextmanager
def card_answers() -> Iterator[None]:
    """Around commands to a card: what went wrong, in words of ours. Raises HoldAgain, WrongCard, NoReader."""
    try:
        yield
    except nfc.tag.TagCommandError as error:
        # Above 0xFF the card itself answered, with its status: it has no such service, or does not do that.
        raise (WrongCard if error.errno > 0xFF else HoldAgain) from error
    except OSError as error:
        raise NoReader from error


class NfcpySource:
    """A reader nfcpy knows, named by its path. A context manager. Raises NoReader, ReaderForbidden.

    It looks for cards of the profiles, in their order: one that is of two is read as the first. Student cards only,
    where nothing else is said.
    """

    def __init__(self, path: str, *profiles: CardProfile) -> None:
        self._profiles = profiles or (FCF,)
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

    def wait_for_card(self, timeout_s: float, challenge: bytes | None = None) -> ReadCard | None:
        """See Source."""
        found = self.wait_for_tag(timeout_s)
        return None if found is None else _read(*found, challenge)

    def wait_for_tag(self, timeout_s: float) -> tuple[CardProfile, Type3Tag] | None:
        """The next card, not read yet, and by which profile it was found. Raises HoldAgain, WrongCard, NoReader."""
        ends_at = time.monotonic() + timeout_s
        while time.monotonic() < ends_at:
            found = self._look()
            if found is None and self._sense(next(self._others)) is not None:
                found = self._look(times=2)  # or did the right card come just now?
                if found is None:
                    raise WrongCard
            if found is not None:
                profile, target = found
                tag = nfc.tag.activate(self._reader, target)
                if not isinstance(tag, Type3Tag):
                    raise WrongCard
                return profile, tag
        return None

    def _look(self, *, times: int = 1) -> tuple[CardProfile, RemoteTarget] | None:
        """One round: is there a card of any profile?"""
        for profile in self._profiles:
            wanted = RemoteTarget("212F", sensf_req=bytearray.fromhex(f"00{profile.system:04X}0100"))
            found = self._sense(wanted, times=times)
            if found is not None:
                return profile, found
        return None

    def _sense(self, target: RemoteTarget, *, times: int = 1) -> RemoteTarget | None:
        try:
            return self._reader.sense(target, iterations=times)
        except nfc.clf.UnsupportedTargetError:
            return None
        except OSError as error:
            raise NoReader from error


def _read(profile: CardProfile, tag: Type3Tag, challenge: bytes | None) -> ReadCard:
    return ReadCard(
        idm=tag.idm.hex().upper(),
        blocks=_blocks(tag, profile),
        profile=profile.name,
        proof=profile.prove(tag, challenge) if profile.prove is not None and challenge is not None else {},
    )


def _blocks(tag: Type3Tag, profile: CardProfile) -> dict[str, str]:
    if not profile.blocks:
        return {}
    service = ServiceCode(profile.service >> 6, profile.service & 0x3F)
    with card_answers():
        # One command for all blocks: they cannot come from two cards.
        data = tag.read_without_encryption([service], [BlockCode(number) for number in profile.blocks])
    return {str(number): data[i * 16 : i * 16 + 16].hex() for i, number in enumerate(profile.blocks)}
