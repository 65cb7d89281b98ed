"""What keeps workers from their work, in words: what they say in their heartbeats, what the disk says, who stopped.

Limit: a heartbeat older than ten minutes by this machine's clock is not believed; a worker that cannot write at all
cannot say so, but then the disk shows it here, too.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from waterz_spool.errors import printable
from waterz_spool.report.living import Living
from waterz_spool.report.words import clock
from waterz_spool.spool import Spool

_BELIEVED_S = 600.0
_HOSTS_SHOWN = 4

_WORDS = {  # what it is, and what to do
    "ENOSPC": ("no space left", "free space"),
    "EDQUOT": ("the quota is used up", "free space within the quota"),
    "EROFS": ("the file system is read-only", "mount it writable"),
    "EACCES": ("permission denied", "let the workers' user read and write there"),
    "EPERM": ("permission denied", "let the workers' user read and write there"),
    "EIO": ("input/output errors", "look after the disk or its server"),
    "ESTALE": ("stale file handles", "look after the file server, or mount it again"),
}
_NO_INODES = ("no inodes left (too many files)", "remove files")


class Trouble(msgspec.Struct, frozen=True):
    """One thing that is wrong: what it is, the same as long as it lasts, and a line about it."""

    what: str
    line: str


def troubles(spool: Spool) -> list[Trouble]:
    """All that is wrong at present, as far as it shows from here.

    Raises:
        OSError: The spool cannot be read from here.
    """
    shown = _shown_by_disk(spool.root)
    said = _said_by_workers(spool)
    names = dict.fromkeys([*said, *shown])
    found = [Trouble(name, _line(name, spool.root, shown, *said.get(name, (None, [])))) for name in names]
    return found + list(_stopped(spool))


def _shown_by_disk(root: Path) -> dict[str, tuple[str, str]]:
    """Names of errors that a write would meet, with words for them."""
    facts = os.statvfs(root)
    found = {}
    if facts.f_bavail == 0:
        found["ENOSPC"] = _WORDS["ENOSPC"]
    elif facts.f_files and facts.f_favail == 0:
        found["ENOSPC"] = _NO_INODES
    if facts.f_flag & os.ST_RDONLY:
        found["EROFS"] = _WORDS["EROFS"]
    return found


def _said_by_workers(spool: Spool) -> dict[str, tuple[float, list[str]]]:
    """By the name of the error: for how long, and on which hosts."""
    found: dict[str, tuple[float, list[str]]] = {}
    living = Living(spool)
    for wid, beat in spool.complaints():
        if living.age_s(wid) < max(_BELIEVED_S, 10 * spool.settings.lease_s):
            lasted_s, hosts = found.get(beat.trouble, (0.0, []))
            found[beat.trouble] = (max(lasted_s, beat.trouble_s), [*hosts, beat.host])
    return found


def _line(name: str, root: Path, shown: dict[str, tuple[str, str]], lasted_s: float | None, hosts: list[str]) -> str:
    number = getattr(errno, name, 0)
    what, cure = shown.get(name) or _WORDS.get(name) or (os.strerror(number).lower(), "look after the file server")
    since = "" if lasted_s is None else f" since {clock(lasted_s)}"
    names = sorted(set(hosts))
    more = ", .." if len(names) > _HOSTS_SHOWN else ""
    who = f" ({', '.join(map(printable, names[:_HOSTS_SHOWN]))}{more})" if names else ""
    return f"{what} in {root}{since}{who}: {cure}; work resumes by itself"


def _stopped(spool: Spool) -> Iterator[Trouble]:
    for host, number in sorted(spool.hosts.stopped().items()):
        why = printable(spool.hosts.why(host, number)) or "it keeps failing tasks that succeed on other hosts"
        yield Trouble(
            f"{host} stopped", f"{host} takes no work: {why}; when it is well: waterz-spool resume --host {host}"
        )
