"""The till's settings, from the environment. Where `make run` runs, the demo's are found by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEMO = Path("instance/demo.env")
"""KEY=VALUE lines that `make run` writes; looked for in the current directory."""

_REQUIRED = ("KUMIAI_TILL_SERVER", "KUMIAI_TILL_CLIENT_ID", "KUMIAI_TILL_CLIENT_SECRET")


class SettingMissing(Exception):
    """A setting is not there; its name is the message."""

    code = "setting_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class TillSettings:
    """`reader` is a path of nfcpy, `spool` the file of taps that are not answered yet."""

    server: str
    client_id: str
    client_secret: str = field(repr=False)
    reader: str
    spool: Path

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> TillSettings:
        """Read `env`, or the demo's file where env says nothing of the till. Raises SettingMissing."""
        env = {name: value for name, value in env.items() if value}
        reader, spool = "usb", Path.home() / ".kumiai" / "till.sqlite3"
        if not any(name in env for name in _REQUIRED) and DEMO.is_file():
            env = {**_lines(DEMO), **env}
            reader, spool = "udp:localhost:54321", DEMO.parent / "till.sqlite3"
        for name in _REQUIRED:
            if name not in env:
                raise SettingMissing(name)
        server, client_id, client_secret = (env[name] for name in _REQUIRED)
        return cls(
            server=server,
            client_id=client_id,
            client_secret=client_secret,
            reader=env.get("KUMIAI_TILL_READER", reader),
            spool=Path(env.get("KUMIAI_TILL_SPOOL", spool)),
        )


def _lines(path: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip() for name, equals, value in lines if equals}
