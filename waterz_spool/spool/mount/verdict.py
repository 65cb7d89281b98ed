"""What two hosts measured of the spool's file system, and what follows for those that open the spool.

``spool.json`` never changes while the spool lives, because all workers must agree on it; a measurement comes later and
may be repeated. So each verdict is a record of its own beside it, put there once: ``doctor.<n>.json``, the highest
number holds. Guarantee: from a verdict follow only things in which workers may differ without harm: whether a worker's
lock is believed as a hint, and whether the spool is opened at all. Limit: it speaks for the two hosts and mounts that
measured; a third one may be mounted with other options, and a wrong hint then costs work done in vain.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from waterz_spool.errors import SetupError
from waterz_spool.spool.disk.atomic import read_settled
from waterz_spool.spool.disk.fileops import FileOps
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.log.formats import SpoolSettings, decode, encode
from waterz_spool.spool.log.layout import SpoolLayout, verdict_number


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``doctor.<n>.json``: what two sides of one file system found, immutable."""

    v: int = 1
    n: str
    hosts: tuple[str, str]
    t: float  # seconds since the epoch by the server; display only
    machines: int  # 2; 1 when both sides were mounts of one machine
    unsafe: str = ""  # why nothing may be coordinated here; empty when safe
    locks: bool = False  # whether a lock excludes the other side, and ends with its holder
    late_s: float = 0.0  # how late a file rewritten in place was seen: what heartbeats need
    listed_s: float = 0.0  # how late a new name was listed
    absent_s: float = 0.0  # how long a name looked for too early stayed absent
    skew_s: float = 0.0  # between the hosts' clocks

    @property
    def shared_locks(self) -> bool:
        """Whether locks of other hosts may be believed as a hint."""
        return self.locks and self.machines > 1

    @property
    def least_lease_s(self) -> float:
        """The shortest lease, of six beats, in which a live worker is seen to beat three times."""
        return 6 * self.late_s


def newest_verdict(ops: FileOps, layout: SpoolLayout) -> Verdict | None:
    """The verdict that holds for this folder, whether it is a spool yet or not; None when there is none to be seen."""
    try:
        numbers = [number for name in ops.listdir(layout.root) if (number := verdict_number(name))]
    except FileNotFoundError:
        return None
    path = layout.verdict(max(numbers, default=0))
    data = read_settled(ops, path) if numbers else None
    return None if data is None else decode(data, Verdict, path)


def put_verdict(world: World, layout: SpoolLayout, verdict: Verdict) -> Path:
    """Record a verdict under the next number; it holds for whoever opens the spool from now on."""
    number = 1 + max((verdict_number(name) for name in world.ops.listdir(layout.root)), default=0)
    while not world.put(layout.verdict(number), encode(verdict)):
        number += 1
    return layout.verdict(number)


def settings_after(settings: SpoolSettings, verdict: Verdict | None, root: Path) -> SpoolSettings:
    """What a spool's settings become by a verdict.

    Raises:
        SetupError: The file system is unsafe.
    """
    if verdict is None:
        return settings
    if verdict.unsafe:
        raise SetupError(
            f"the spool's file system is unsafe: {verdict.unsafe}",
            where=str(root),
            todo="use another folder, or mount it otherwise and run `waterz-spool doctor --two-node` again",
        )
    if verdict.shared_locks:
        return msgspec.structs.replace(settings, locks="shared")
    return msgspec.structs.replace(settings, locks="off") if settings.locks == "shared" else settings
