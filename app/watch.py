"""What a worker looks after now and then, by itself: the loop that its parts have in common."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod

from flask import Flask

from app.issuer import NoIssuer
from app.settings import Settings

LOOK_EVERY_S = 20.0


class Watch(ABC):
    """One of as many as you like. Each says in `look` what it does, and in `log` where it tells of it."""

    log: logging.Logger

    def __init__(self, app: Flask, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self.stopping = threading.Event()

    @abstractmethod
    def look(self) -> None:
        """Do what is due. May raise anything."""

    def stop(self) -> None:
        """Finish what is in hand, then return from `run`."""
        self.stopping.set()

    def run(self) -> None:
        """Look until `stop`. Whatever goes wrong is logged and tried again: mail does not stop for it."""
        while not self.stopping.is_set():
            try:
                self.look()
            except NoIssuer:
                self.log.info("no issuer yet")
            except Exception as error:
                self.log.exception("not done (%s); trying again", type(error).__name__)
            self.stopping.wait(LOOK_EVERY_S)
