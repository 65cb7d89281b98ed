"""What two hosts find out about a file system together, each doing the same at the same time.

Every step ends with an exchange, after which both know what either has done. Durations are measured by one clock each,
from the moment at which the other side's word was read, so the hosts' clocks are never compared for them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from waterz_spool.spool.disk.atomic import UndecidedError, link_if_absent
from waterz_spool.spool.disk.machine import Identity, take_lock
from waterz_spool.spool.log.formats import SpoolSettings
from waterz_spool.spool.mount.meeting import POLL_S, TALK_S, Side
from waterz_spool.spool.mount.probe import SKEW_MAX_S, Check, fail, ok, warn
from waterz_spool.spool.mount.verdict import Verdict

RACES = 200
WORDS = 10
_ROUND = 10
SEEN_S = 40.0  # how long a name may stay unseen before we give up
_FREED_S = 5.0
_HOLD = """import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
time.sleep(600)"""


class Found(msgspec.Struct, kw_only=True):
    """What one side found; lists are numbers of names won."""

    host: str
    boot: str
    device: int
    ahead_s: float = 0.0  # of the server's clock
    links: list[int] = []
    files: list[int] = []
    excluded: bool = False  # our lock kept the other side out, and let it in afterwards
    freed: bool = True  # a lock was free soon after its holder was killed
    late_s: float = 0.0
    listed_s: float = 0.0
    absent_s: float = 0.0
    renamed_s: float = 0.0


class PairProbe:
    """One side's part.

    Args:
        side: The table at which both sit.
        host: This host's name.
    """

    def __init__(self, side: Side, host: str) -> None:
        self._side, self._ops, self._clock = side, side.ops, side.clock
        self._folder = side.folder
        boot = Identity.of_this_process("", host).boot
        self.found = Found(host=host, boot=boot, device=os.stat(side.folder).st_dev)  # noqa: PTH116 - the client's

    def run(self) -> tuple[Found, Found]:
        """Everything; what seat a found, and what seat b found.

        Raises:
            TryAgainError: The other side fell silent.
        """
        before = self._clock.wall()
        self.found.ahead_s = (before + self._clock.wall()) / 2 - self._side.say()
        self._talk()
        self._race_links()
        self._race_files()
        self._locks()
        self._killed_holder()
        self._names()
        other = msgspec.convert(self._side.exchange(self.found), Found)
        return (self.found, other) if self._side.seat == "a" else (other, self.found)

    def _talk(self) -> None:
        """How late a box rewritten in place is read: the way of heartbeats."""
        for _ in range(WORDS):
            began = self._clock.monotonic()
            self._side.exchange()
            self.found.late_s = max(self.found.late_s, round(self._clock.monotonic() - began, 3))

    def _race_links(self) -> None:
        """Both link every name, as claims and outcomes are."""
        who = f"racer {self._side.seat}".encode()
        source = self._folder / f"racer.{self._side.seat}"
        self._ops.write_new(source, who)
        doubts = []
        for number in self._race():
            try:
                if link_if_absent(self._ops, source, self._folder / f"link.{number}", who):
                    self.found.links.append(number)
            except UndecidedError:
                doubts.append(number)
        self._side.exchange()
        # Who was in doubt (a lost answer, an old cache) looks again when all is decided.
        end = self._clock.monotonic() + SEEN_S
        while doubts and self._clock.monotonic() < end:
            held = {number: self._reads(f"link.{number}") for number in doubts}
            self.found.links += [number for number in doubts if held[number] == who]
            doubts = [number for number in doubts if held[number] is None]
            self._side.pause(POLL_S)
        self._side.exchange()

    def _reads(self, name: str) -> bytes | None:
        try:
            return self._ops.read(self._folder / name, 100)
        except OSError:
            return None

    def _race(self) -> Iterator[int]:
        """Names to try, in rounds that both begin together, from opposite ends: somewhere they collide."""
        for first in range(0, RACES, _ROUND):
            self._side.exchange(poll_s=POLL_S / 10)
            names = range(first, first + _ROUND)
            yield from names if self._side.seat == "a" else reversed(names)

    def _race_files(self) -> None:
        """Both create every name with O_EXCL."""
        for number in self._race():
            try:
                self._ops.write_new(self._folder / f"file.{number}", b"")
                self.found.files.append(number)
            except OSError:
                continue
        self._side.exchange()

    def _locks(self) -> None:
        """Each in turn holds a lock that the other tries to take, then lets it go."""
        for holder in "ab":
            path = self._folder / f"lock.{holder}"
            if holder == self._side.seat:
                held = take_lock(path)
                self._side.exchange()
                kept_out = self._side.exchange() is False
                if held is not None:
                    held.release()
                self._side.exchange()
                let_in = self._side.exchange() is True
                self.found.excluded = held is not None and kept_out and let_in
            else:
                self._side.exchange()
                self._side.exchange(self._can_take(path))
                self._side.exchange()
                self._side.exchange(self._can_take(path))

    def _can_take(self, path: Path) -> bool:
        lock = take_lock(path)
        if lock is not None:
            lock.release()
        return lock is not None

    def _killed_holder(self) -> None:
        """A process of seat a holds a lock and is killed: how soon does seat b get it?"""
        path = self._folder / "lock.killed"
        if self._side.seat == "a":
            with subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE) as child:
                try:
                    assert child.stdout is not None
                    child.stdout.readline()
                    self._side.exchange()
                    self._side.exchange()
                finally:
                    child.send_signal(signal.SIGKILL)
            self._side.exchange()
            self._side.exchange()
        else:
            self._side.exchange()
            held = not self._can_take(path)
            self._side.exchange()
            self._side.exchange()
            end = self._clock.monotonic() + _FREED_S
            while not (free := self._can_take(path)) and self._clock.monotonic() < end:
                self._side.pause(POLL_S)
            self.found.freed = held and free
            self._side.exchange()

    def _names(self) -> None:
        """Each makes and renames files in folders of its own; the other, who looked before, waits to see it.

        One folder is listed again and again, the other never: there a name's absence is remembered where that is done.
        """
        seat, other = self._side.seat, self._side.other
        for kind in ("listed", "blind"):
            self._ops.mkdir(self._folder / f"{kind}.{seat}")
        self._ops.write_new(self._folder / f"listed.{seat}" / "old", b"")
        self._side.exchange()
        self._reads(f"blind.{other}/new")
        self._listed("old")
        self._side.exchange()
        self._ops.write_new(self._folder / f"blind.{seat}" / "new", b"x")
        self._ops.write_new(self._folder / f"listed.{seat}" / "new", b"x")
        self._ops.rename(self._folder / f"listed.{seat}" / "old", self._folder / f"listed.{seat}" / "renamed")
        self._side.exchange()
        seen = self._wait_for({
            "listed_s": lambda: self._listed("new"),
            "renamed_s": lambda: self._listed("renamed") and not self._listed("old"),
            "absent_s": lambda: self._reads(f"blind.{other}/new") is not None,
        })  # fmt: skip
        for name, seconds in seen.items():
            setattr(self.found, name, seconds)
        self._side.exchange(limit_s=TALK_S + SEEN_S)

    def _listed(self, name: str) -> bool:
        try:
            return name in self._ops.listdir(self._folder / f"listed.{self._side.other}")
        except OSError:
            return False

    def _wait_for(self, signs: dict[str, Callable[[], bool]]) -> dict[str, float]:
        """Seconds until each sign is seen."""
        began = self._clock.monotonic()
        seen: dict[str, float] = {}
        while (waited := self._clock.monotonic() - began) < SEEN_S and len(seen) < len(signs):
            seen |= {name: round(waited, 2) for name, sign in signs.items() if name not in seen and sign()}
            self._side.pause(POLL_S)
        return {name: seen.get(name, SEEN_S) for name in signs}


def judge(a: Found, b: Found, nonce: str, t: float) -> Verdict:
    """The same verdict on both sides, from what both found."""
    return Verdict(
        n=nonce,
        hosts=(a.host, b.host),
        t=t,
        machines=1 if a.boot == b.boot else 2,
        unsafe=_unsafe(a, b),
        locks=a.excluded and b.excluded and b.freed,
        late_s=max(a.late_s, b.late_s),
        listed_s=max(a.listed_s, b.listed_s),
        absent_s=max(a.absent_s, b.absent_s),
        skew_s=round(abs(a.ahead_s - b.ahead_s), 2),
    )


def _unsafe(a: Found, b: Found) -> str:
    both, none = _races(a.links, b.links)
    if both:
        return f"of {RACES} links raced for by two hosts {both} had two winners"
    return f"of {RACES} links raced for by two hosts {none} had no winner" if none else ""


def _races(a: list[int], b: list[int]) -> tuple[int, int]:
    """How many names were won twice, and by nobody."""
    return len(set(a) & set(b)), RACES - len(set(a) | set(b))


def explain(verdict: Verdict, a: Found, b: Found, settings: SpoolSettings | None) -> Iterator[Check]:
    """What was found, one line each.

    Args:
        verdict: The verdict.
        a: What seat a found.
        b: What seat b found.
        settings: Those of the spool; None where there is none yet.
    """
    yield _who(verdict, a, b)
    if verdict.unsafe:
        yield fail("pair: links", verdict.unsafe, "use another folder: results would be wrong")
    else:
        yield ok("pair: links", f"{RACES} names, one winner each ({len(a.links)} and {len(b.links)})")
    both, none = _races(a.files, b.files)
    if both or none:
        yield warn("pair: O_EXCL", f"of {RACES} names {both} had two winners, {none} none; nothing rests on it")
    else:
        yield ok("pair: O_EXCL", f"{RACES} names, one winner each ({len(a.files)} and {len(b.files)})")
    yield _locks(verdict, a, b)
    yield _caches(verdict, settings)
    yield ok(
        "pair: names", f"new ones listed after {verdict.listed_s:.1f} s, renamed ones after {_renamed(a, b):.1f} s"
    )
    more = " or more" if verdict.absent_s >= SEEN_S else ""
    yield ok("pair: absence", f"a name looked for too early was found after {verdict.absent_s:.1f} s{more}")
    text = f"the two hosts' clocks are {verdict.skew_s:.1f} s apart"
    apart = verdict.skew_s > SKEW_MAX_S
    yield (
        warn("pair: clocks", text, "set them (NTP); only times shown are wrong") if apart else ok("pair: clocks", text)
    )


def _renamed(a: Found, b: Found) -> float:
    return max(a.renamed_s, b.renamed_s)


def _who(verdict: Verdict, a: Found, b: Found) -> Check:
    text = f"{a.host} and {b.host}"
    if verdict.machines > 1:
        return ok("pair", text)
    if a.device == b.device:
        return warn("pair", f"{text}: one machine, one mount; this says nothing about others", "run it on two hosts")
    return warn("pair", f"{text}: two mounts of one machine; locks are not judged by that", "run it on two hosts")


def _locks(verdict: Verdict, a: Found, b: Found) -> Check:
    if not (a.excluded and b.excluded):
        return warn(
            "pair: locks",
            "do not exclude across hosts: they are not used, a killed worker's segment waits for the lease",
            "mount with locks (NFS without nolock or local_lock, Lustre with flock) for faster recovery",
        )
    if not b.freed:
        return warn("pair: locks", f"not free {_FREED_S:.0f} s after their holder was killed: they are not used")
    used = ", used to notice killed workers" if verdict.shared_locks else ""
    return ok("pair: locks", f"exclude across hosts, end with their holder{used}")


def _caches(verdict: Verdict, settings: SpoolSettings | None) -> Check:
    text = f"a file rewritten in place was seen after {verdict.late_s:.2f} s at most"
    if settings is not None and settings.lease_s < 3 * (settings.beat_s + verdict.late_s):
        todo = f"make a new spool with spool.lease_s of {verdict.least_lease_s:.0f} or more"
        return warn("pair: beats", f"{text}, the lease of {settings.lease_s:g} s is too short for that", todo)
    return ok("pair: beats", text)
