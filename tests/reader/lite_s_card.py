"""A FeliCa Lite-S card without hardware: what it keeps, what it lets be written, and its MACs, computed by pyDes.

Written from the card's side, and on purpose with none of the server's code. As a real card it answers up to 4 blocks
in one reading, takes one block in one writing (two where the second is a MAC), makes MACs only after a challenge was
written, forgets it without power, and never shows its key. Run as a program it lies on nfcpy's `udp` reader.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import nfc.clf
from nfc.tag.tt3 import Type3TagEmulation
from pyDes import CBC, triple_des

from app.demo.card import hold
from tests.live import ROOT, read_until

SYSTEM = "88B4"
PMM = "00F1FFFFFFFFFFFF"
"""F1 is the chip, RC-S966. The FF bytes declare the longest response times; a real card's `00F1000000014300` promises
answers within 2 ms, in which another process on a busy machine may not even have been woken."""

READ, WRITE = 0x000B, 0x0009
RC, MAC, ID, D_ID, SER_C, SYS_C, CKV, CK, MC = range(0x80, 0x89)
WCNT, MAC_A, STATE = 0x90, 0x91, 0x92

_LOCKED_BY_MC = (ID, SER_C, CKV, CK)
_MAX_READ = 4


class LiteSCard:
    """`card_key` as a 3DES library takes it. `replay`, a block 81, is answered as MAC by a card that is none.
    `leaves_at`: when this block was written the card leaves the reader once, without an answer.
    """

    def __init__(
        self,
        idm: bytes,
        card_key: bytes = bytes(16),
        *,
        replay: bytes | None = None,
        leaves_at: int | None = None,
    ) -> None:
        self.idm = idm
        self.replay = replay
        self.leaves_at = leaves_at
        self.blocks: dict[int, bytes] = {number: bytes(16) for number in range(15)}
        self.blocks |= {
            ID: idm + bytes(8),
            D_ID: idm + bytes.fromhex(PMM),
            SER_C: bytes(16),
            SYS_C: bytes.fromhex(SYSTEM).ljust(16, b"\0"),
            CKV: bytes(16),
            CK: _turned(card_key),
            MC: bytes.fromhex("FFFFFF0107").ljust(16, b"\0"),
        }
        self.writes = 0
        self.power_up()

    def power_up(self) -> None:
        self._session: tuple[bytes, bytes] | None = None  # its key and the first half of the challenge
        self._reader_is_known = False
        self._read: list[bytes] = []
        self._written: list[tuple[int, bytes]] = []

    def equip(self, tag: Type3TagEmulation) -> None:
        self.power_up()
        tag.add_service(READ, self.read, None)
        tag.add_service(WRITE, self.read, self._write_unless_gone)

    def _write_unless_gone(self, number: int, data: bytes, begin: bool, end: bool) -> bool:
        taken = self.write(number, data, begin, end)
        if number == self.leaves_at:
            self.leaves_at = None
            raise nfc.clf.BrokenLinkError("the card was taken away")
        return taken

    def read(self, number: int, begin: bool, end: bool) -> bytes | None:
        """One block of a reading; None is the card's refusal."""
        if begin:
            self._read = []
        block = self._block(number)
        if block is None or len(self._read) == _MAX_READ:
            return None
        self._read.append(block)
        return block

    def write(self, number: int, data: bytes, begin: bool, end: bool) -> bool:
        """One block of a writing; nothing is written before the last of them is there."""
        if begin:
            self._written = []
        self._written.append((number, bytes(data)))
        if not end:
            return len(self._written) == 1
        (number, data), *mac_a = self._written
        if not mac_a:
            return self._take(number, data, with_mac=False)
        if len(mac_a) > 1 or mac_a[0][0] != MAC_A or mac_a[0][1] != self._mac_of_writing(number, data):
            return False
        return self._take(number, data, with_mac=True)

    def _block(self, number: int) -> bytes | None:
        match number:
            case 0x80 | 0x87:  # RC and CK are never shown
                return bytes(16)
            case 0x81:
                return self._mac_of_reading()
            case 0x90:
                return self._count()
            case 0x92:
                return bytes([self._reader_is_known]).ljust(16, b"\0")
        return self.blocks.get(number)

    def _mac_of_reading(self) -> bytes | None:
        if self.replay is not None:
            return self.replay
        if self._session is None or not self._read:
            return None
        key, iv = self._session
        return _mac(key, iv, b"".join(self._read)).ljust(16, b"\0")

    def _mac_of_writing(self, number: int, data: bytes) -> bytes | None:
        """MAC_A: over the count of writes, the two block numbers and the data, with the key's halves exchanged."""
        if self._session is None:
            return None
        key, iv = self._session
        count = self._count()
        covered = count[:4] + bytes([number, 0, MAC_A, 0]) + data
        return _mac(key[8:] + key[:8], iv, covered) + count[:8]

    def _take(self, number: int, data: bytes, *, with_mac: bool) -> bool:
        if number == RC:
            challenge = _turned(data)
            key = triple_des(_turned(self.blocks[CK]), CBC, bytes(8)).encrypt(challenge)
            self._session = key, challenge[:8]
            return True
        if number == STATE:
            self._reader_is_known = with_mac and data[0] == 1
        elif self._may_write(number, with_mac=with_mac):
            # the ID's first half is the IDm, whatever is written
            self.blocks[number] = self.idm + data[8:] if number == ID else data
        else:
            return False
        self.writes += 1
        return True

    def _may_write(self, number: int, *, with_mac: bool) -> bool:
        config = self.blocks[MC]
        if number in (CK, CKV) and config[5] == 1 and with_mac and self._reader_is_known:
            return True
        return number in range(15) or (config[2] == 0xFF and number in (*_LOCKED_BY_MC, MC))

    def _count(self) -> bytes:
        return self.writes.to_bytes(3, "little").ljust(16, b"\0")


def _mac(key: bytes, iv: bytes, covered: bytes) -> bytes:
    mac: bytes = triple_des(key, CBC, iv).encrypt(_turned(covered))[-8:]
    return mac[::-1]


def _turned(data: bytes) -> bytes:
    return b"".join(bytes(reversed(data[i : i + 8])) for i in range(0, len(data), 8))


@contextmanager
def lite_s_card_on_reader(
    *,
    idm: bytes,
    card_key: bytes,
    port: int,
    replay: bytes | None = None,
    leaves_at: int | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Such a card, in a process of its own, for as long as the block lasts."""
    options = ["--idm", idm.hex(), "--key", card_key.hex(), "--port", str(port)]
    options += ["--replay", replay.hex()] if replay is not None else []
    options += ["--leaves-at", str(leaves_at)] if leaves_at is not None else []
    command = [sys.executable, "-W", "error", "-m", "tests.reader.lite_s_card", *options]
    environment: Mapping[str, str] = {**os.environ, "PYTHONUTF8": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    ) as process:
        try:
            read_until(process, "on the reader")
            yield process
        finally:
            process.terminate()


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--idm", type=bytes.fromhex, required=True)
    options.add_argument("--key", type=bytes.fromhex, required=True)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--replay", type=bytes.fromhex)
    options.add_argument("--leaves-at", type=int)
    chosen = options.parse_args()
    card = LiteSCard(chosen.idm, chosen.key, replay=chosen.replay, leaves_at=chosen.leaves_at)
    print("on the reader", flush=True)
    hold(f"01{chosen.idm.hex()}{PMM}{SYSTEM}", port=chosen.port, power_up=card.equip)


if __name__ == "__main__":
    main()
