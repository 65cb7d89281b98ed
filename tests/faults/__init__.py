"""File operations of a spool that go wrong by plan, in one process or in many.

A plan is JSON: ``{"seed": 1, "rules": [{"do": "fail", "op": "link", "path": "*.end", "errno": "ENOSPC"}]}``.
Of the rules that fit an operation the first decides. In a process with the variables of `with_plan`, every spool meets
the plan: at its start Python imports the ``sitecustomize`` of this folder, which puts `ops_by_plan` in the place of the
real operations.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from typing import Literal, TypeVar

import msgspec

from waterz_spool.spool.disk.fileops import BeatFile, Facts, FileOps, Look

T = TypeVar("T")

READS = ("listdir", "read", "digest", "facts", "look", "same_file")
CHANGES = (
    *("write_new", "link", "unlink", "mkdir", "make_parents", "rename", "remove_tree", "pin", "copy", "copy_mode"),
    *("set_mode", "seal", "sync_folder", "beat_file", "beat"),
)
VARIABLE = "WATERZ_FAULTS"
HERE = Path(__file__).parent
_OPENED = itertools.count()  # opening a spool again after a fault must not meet the same fault again


class FaultRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong, where, when and how often.

    ``fail`` is an error and nothing done; ``torn`` an error with half of a new file written; ``lose`` done, and an
    error for an answer; ``duplicate`` sent twice, with the answer to the second (as a client does that had none to
    the first); ``delay`` done later; ``drop`` acknowledged and never done, as a server forgets in a power cut.
    """

    do: Literal["fail", "torn", "lose", "duplicate", "delay", "drop"]
    op: str = "*"  # pattern of an operation's name; `READS` and `CHANGES` list them
    path: str = "*"  # pattern of the whole path; of a link or rename, the target's
    errno: str = "EIO"
    delay_s: float = 0.0
    skip: int = 0  # so many operations that fit pass first
    times: int = 0  # then so many go wrong; 0: all
    chance: float = 1.0
    from_s: float = 0.0  # an outage begins so long after the process opened its spool,
    for_s: float = 0.0  # and lasts so long; 0: for ever
    while_there: str = ""  # holds only while this file exists: one switch for many processes


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules, and the seed of their chances."""

    rules: tuple[FaultRule, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no file system could do."""
        for rule in self.rules:
            names = [name for name in (*READS, *CHANGES) if fnmatchcase(name, rule.op)]
            if not names or not hasattr(errno, rule.errno):
                raise ValueError(f"no such operation or error: {rule.op} {rule.errno}")
            if rule.do == "drop" and any(name in READS or name in ("beat_file", "pin", "copy") for name in names):
                raise ValueError(f"an operation with an answer cannot be dropped: {rule.op}")


class FaultyOps(FileOps):
    """Operations of another `FileOps`, some of which go wrong.

    Args:
        ops: What does them.
        plan: What goes wrong.
        clock: Seconds, for outages.
        sleep: How a delay passes.
    """

    def __init__(
        self,
        ops: FileOps,
        plan: FaultPlan,
        *,
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.ops = ops
        self._random = random or Random(plan.seed)
        self._clock = clock
        self._sleep = sleep
        self._guard = threading.Lock()  # a heart beats in a thread of its own
        self.use(plan.rules)

    def use(self, rules: Iterable[FaultRule], random: Random | None = None) -> None:
        """Forget the plan, take this one: counts and outages begin anew."""
        self._random = random or self._random
        self._rules = [_Armed(rule) for rule in rules]
        self._since = self._clock()

    def _pass(self, op: str, path: Path, act: Callable[[], T], dropped: Callable[[], T] | None = None) -> T:
        rule = self._due(op, path)
        if rule is None:
            return act()
        return self._go_wrong(rule, path, act, dropped)

    def _go_wrong(self, rule: FaultRule, path: Path, act: Callable[[], T], dropped: Callable[[], T] | None) -> T:
        if rule.do == "delay":
            self._sleep(rule.delay_s)
            return act()
        if rule.do == "duplicate":
            act()
            return act()
        if rule.do == "drop" and dropped is not None:
            return dropped()
        if rule.do == "lose":
            act()
        raise _error(rule, path)

    def _due(self, op: str, path: Path) -> FaultRule | None:
        with self._guard:
            now = self._clock() - self._since
            return next((armed.rule for armed in self._rules if armed.strikes(op, path, now, self._random)), None)

    def _change(self, op: str, path: Path, act: Callable[[], None]) -> None:
        self._pass(op, path, act, lambda: None)

    # ---- reading

    def listdir(self, folder: Path) -> list[str]:
        """See `FileOps`."""
        return self._pass("listdir", folder, lambda: self.ops.listdir(folder))

    def read(self, path: Path, cap_bytes: int) -> bytes:
        """See `FileOps`."""
        return self._pass("read", path, lambda: self.ops.read(path, cap_bytes))

    def digest(self, path: Path) -> tuple[int, str]:
        """See `FileOps`."""
        return self._pass("digest", path, lambda: self.ops.digest(path))

    def facts(self, path: Path) -> Facts:
        """See `FileOps`."""
        return self._pass("facts", path, lambda: self.ops.facts(path))

    def look(self, path: Path) -> Look:
        """See `FileOps`."""
        return self._pass("look", path, lambda: self.ops.look(path))

    def same_file(self, one: Path, other: Path) -> bool:
        """See `FileOps`."""
        return self._pass("same_file", one, lambda: self.ops.same_file(one, other))

    # ---- changing

    def write_new(self, path: Path, data: bytes) -> None:
        """See `FileOps`."""
        rule = self._due("write_new", path)
        if rule is None:
            self.ops.write_new(path, data)
            return
        if rule.do == "torn":
            with contextlib.suppress(OSError):
                self.ops.write_new(path, data[: len(data) // 2])
        self._go_wrong(rule, path, lambda: self.ops.write_new(path, data), lambda: None)

    def link(self, source: Path, target: Path) -> None:
        """See `FileOps`."""
        self._change("link", target, lambda: self.ops.link(source, target))

    def unlink(self, path: Path) -> None:
        """See `FileOps`."""
        self._change("unlink", path, lambda: self.ops.unlink(path))

    def mkdir(self, path: Path) -> None:
        """See `FileOps`."""
        self._change("mkdir", path, lambda: self.ops.mkdir(path))

    def make_parents(self, path: Path) -> None:
        """See `FileOps`."""
        self._change("make_parents", path, lambda: self.ops.make_parents(path))

    def rename(self, source: Path, target: Path) -> None:
        """See `FileOps`."""
        self._change("rename", target, lambda: self.ops.rename(source, target))

    def remove_tree(self, path: Path) -> None:
        """See `FileOps`."""
        self._change("remove_tree", path, lambda: self.ops.remove_tree(path))

    def seal(self, path: Path) -> tuple[int, str]:
        """See `FileOps`."""
        return self._pass("seal", path, lambda: self.ops.seal(path), lambda: self.ops.digest(path))

    def sync_folder(self, path: Path) -> None:
        """See `FileOps`."""
        self._change("sync_folder", path, lambda: self.ops.sync_folder(path))

    def copy_mode(self, source: Path, target: Path) -> None:
        """See `FileOps`."""
        self._change("copy_mode", target, lambda: self.ops.copy_mode(source, target))

    def set_mode(self, path: Path, mode: int) -> None:
        """See `FileOps`."""
        self._change("set_mode", path, lambda: self.ops.set_mode(path, mode))

    def pin(self, source: Path, target: Path) -> None:
        """See `FileOps`."""
        self._change("pin", target, lambda: self.ops.pin(source, target))

    def copy(self, source: Path, target: Path) -> None:
        """See `FileOps`."""
        self._change("copy", target, lambda: self.ops.copy(source, target))

    def beat_file(self, path: Path) -> BeatFile:
        """See `FileOps`; its writes are operations called ``beat``."""
        rule = self._due("beat_file", path)
        if rule is not None:
            raise _error(rule, path)
        return _FaultyBeat(self, self.ops.beat_file(path), path)

    def beat(self, file: BeatFile, path: Path, data: bytes) -> float:
        """One write of a heartbeat."""
        return self._pass("beat", path, lambda: file.write(data), lambda: 0.0)


def _error(rule: FaultRule, path: Path) -> OSError:
    number = getattr(errno, rule.errno)
    return OSError(number, f"{os.strerror(number)} (by plan)", str(path))


class _FaultyBeat:
    def __init__(self, ops: FaultyOps, file: BeatFile, path: Path) -> None:
        self._ops, self._file, self._path = ops, file, path

    def write(self, data: bytes) -> float:
        return self._ops.beat(self._file, self._path, data)

    def close(self) -> None:
        self._file.close()


class _Armed:
    """A rule and what is left of it."""

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        self._skip = rule.skip
        self._left = rule.times or -1

    def strikes(self, op: str, path: Path, now_s: float, random: Random) -> bool:
        """Count an operation; True when it goes wrong."""
        rule = self.rule
        if not self._left or not fnmatchcase(op, rule.op) or not fnmatchcase(str(path), rule.path):
            return False
        if now_s < rule.from_s or (rule.for_s and now_s >= rule.from_s + rule.for_s):
            return False
        if rule.while_there and not Path(rule.while_there).exists():
            return False
        if self._skip:
            self._skip -= 1
            return False
        if rule.chance < 1.0 and random.random() >= rule.chance:
            return False
        self._left -= 1
        return True


def ops_by_plan() -> FaultyOps:
    """The real operations behind the plan that ``WATERZ_FAULTS`` names."""
    plan = msgspec.json.decode(Path(os.environ[VARIABLE]).read_bytes(), type=FaultPlan)
    return FaultyOps(FileOps(), plan, random=Random(f"{plan.seed}.{os.getpid()}.{next(_OPENED)}"))


def with_plan(plan: Path) -> dict[str, str]:
    """Variables for processes that are to meet the plan in this file."""
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {VARIABLE: str(plan), "PYTHONPATH": path}
