"""What lies outside of the program, in one hand: files, time and names that nobody else has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from waterz_spool.spool.disk.atomic import RECORD_CAP_BYTES, put_if_absent, read_settled
from waterz_spool.spool.disk.clock import Clock, SystemClock, Tokens, random_token
from waterz_spool.spool.disk.fileops import FileOps


@dataclass(frozen=True)
class World:
    """All that a test replaces.

    Attributes:
        ops: The file operations.
        clock: Where time comes from.
        tokens: Where unique names come from.
    """

    ops: FileOps
    clock: Clock
    tokens: Tokens

    @classmethod
    def real(cls) -> World:
        """This machine's."""
        return cls(FileOps(), SystemClock(), random_token)

    def put(self, path: Path, data: bytes) -> bool:
        """Put a record under a name unless the name is taken; see `put_if_absent`."""
        return put_if_absent(self.ops, path, data, self.tokens())

    def read(self, path: Path, cap_bytes: int = RECORD_CAP_BYTES) -> bytes | None:
        """The content, or None when the name is (or seems) absent; see `read_settled`."""
        return read_settled(self.ops, path, cap_bytes)
