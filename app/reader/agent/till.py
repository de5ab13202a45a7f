"""One sale at the till, and what a sale left unanswered."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from enum import IntEnum

from app.reader.agent.screen import Screen
from app.reader.agent.server import Accepted, Answer, NotAuthorised, Refused, Server, Unknown
from app.reader.agent.source import HoldAgain, ReadCard, Source, WrongCard
from app.reader.agent.spool import Spool, SpoolError, Tap

ASK_AGAIN_AFTER_S = (0.3, 1.0, 2.0)
"""How long to wait before each further asking, while the clerk waits too."""

_LOG = logging.getLogger(__name__)


class Ending(IntEnum):
    """How a command ended; also its exit code. 1 is Python's, when it fails by itself; 2 is click's, for a wrong
    command line."""

    PAID = 0
    REFUSED = 10
    UNKNOWN = 11
    NOTHING_TAKEN = 12
    EARLIER_PAID = 13
    """The sale was not begun: a payment that an earlier one left behind turned out to be paid."""


class Till:
    """A till: taps go from the source through the spool to the server, and the screen says what became of them."""

    def __init__(self, *, spool: Spool, server: Server, screen: Screen) -> None:
        self._spool = spool
        self._server = server
        self._screen = screen

    def sale(self, source: Source, *, amount_yen: int, card_timeout_s: float) -> Ending:
        """Take one payment. Raises ServerError or SourceError while nothing was taken.

        What an earlier sale left behind comes first. Perhaps it was for this very customer, and the clerk began again
        after a crash: unless all of it was refused, this sale ends before it asks for a card.
        """
        self._server.sign_in()
        if self._spool.unfinished():
            earlier = self._ask_each()
            paid = [tap for tap, ending in earlier if ending is Ending.PAID]
            unknown = [tap for tap, ending in earlier if ending is Ending.UNKNOWN]
            if paid or unknown:
                self._screen.not_begun(amount_yen, paid=paid, unknown=unknown)
                return Ending.UNKNOWN if unknown else Ending.EARLIER_PAID
        card = self._wait_for_card(source, amount_yen, card_timeout_s)
        if card is None:
            return self.give_up("no_card")
        tap = self._spool.put(amount_yen=amount_yen, money=None, card=card)
        self._screen.asking()
        return self._ask(tap)

    def ask_unfinished(self) -> Ending:
        """Ask for every tap whose answer is not known. PAID here means: all are known now. Raises ServerError."""
        self._server.sign_in()
        endings = [ending for _, ending in self._ask_each()]
        return Ending.UNKNOWN if Ending.UNKNOWN in endings else Ending.PAID

    def _ask_each(self) -> list[tuple[Tap, Ending]]:
        """Ask for every tap whose answer is not known, oldest first, and say what became of each."""
        taps = self._spool.unfinished()
        self._screen.unfinished(len(taps))
        endings = []
        for tap in taps:
            self._screen.unfinished_one(tap)
            endings.append((tap, self._ask(tap)))
        return endings

    def give_up(self, code: str, detail: str = "") -> Ending:
        """Say why it ends here. Only a spool that can be read, and is empty, makes sure that nothing was paid."""
        try:
            unfinished = len(self._spool.unfinished())
        except SpoolError:
            self._screen.failure(code, detail, unfinished=None)
            return Ending.UNKNOWN
        self._screen.failure(code, detail, unfinished=unfinished)
        return Ending.UNKNOWN if unfinished else Ending.NOTHING_TAKEN

    def _wait_for_card(self, source: Source, amount_yen: int, timeout_s: float) -> ReadCard | None:
        self._screen.ask_for_card(amount_yen)
        ends_at = time.monotonic() + timeout_s
        said = ""
        while (left_s := ends_at - time.monotonic()) > 0:
            try:
                return source.wait_for_card(left_s)
            except (HoldAgain, WrongCard) as trouble:
                if trouble.code != said:  # once, not at every reading of a card that lies there
                    self._screen.card_trouble(trouble.code)
                said = trouble.code
        return None

    def _ask(self, tap: Tap) -> Ending:
        """Ask until the answer is known or patience ends; an unknown tap stays in the spool to be asked again.

        The answer is shown before it is settled: one that nobody saw is asked for again.
        """
        answer: Answer = Unknown(why="not asked yet")
        try:
            answer = self._send(tap)
            for wait_s in ASK_AGAIN_AFTER_S:
                if not isinstance(answer, Unknown):
                    break
                self._screen.asking_again()
                time.sleep(wait_s)
                answer = self._send(tap)
        except NotAuthorised as error:
            self._screen.cure(error.code)  # and the answer stays what it was: perhaps still unknown
        except KeyboardInterrupt:
            pass  # the clerk's patience ended
        self._screen.result(tap, answer)
        if not isinstance(answer, Unknown):
            self._settle(tap, answer)
        return _ENDING[type(answer)]

    def _send(self, tap: Tap) -> Answer:
        answer = self._server.send(tap)
        if isinstance(answer, Unknown):
            _LOG.warning("tap %s: %s", tap.tap_id, answer.why)
        return answer

    def _settle(self, tap: Tap, answer: Accepted | Refused) -> None:
        try:
            self._spool.settle(tap.tap_id, accepted=isinstance(answer, Accepted), answer=asdict(answer))
        except SpoolError as error:
            self._screen.cure(error.code)  # the answer was shown and stays true; it will be asked for once more


_ENDING = {Accepted: Ending.PAID, Refused: Ending.REFUSED, Unknown: Ending.UNKNOWN}
