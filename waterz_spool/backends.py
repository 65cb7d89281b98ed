"""The back ends there are: one line registers one of this package, an entry point one of any other package.

Only names are known here; a class is imported when it is asked for, so that commands which need none stay quick.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from waterz_spool.errors import SetupError

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_RESERVED = ("auto", "none")


@dataclass(frozen=True)
class Registry:
    """Back ends of one kind, by name.

    A name of this package always means its own back end: another package cannot replace it.

    Attributes:
        what: What they are called in messages.
        group: Entry point group in which other packages offer theirs.
        base: Class that all of them derive from, "module:Class".
        own: Those of this package, name to "module:Class"; ``auto`` looks at them in this order.
    """

    what: str
    group: str
    base: str
    own: Mapping[str, str]

    def names(self) -> tuple[str, ...]:
        """All that can be chosen: first those of this package, then the others."""
        return (*self.own, *self._others)

    def has(self, name: str) -> bool:
        """Whether a name can be chosen; other packages are asked only where it is not one of our own."""
        return name in self.own or name in self._others

    def load(self, name: str) -> type[Any]:
        """The class of that name.

        Raises:
            SetupError: It is not installed here, cannot be imported, or is no back end of this kind.
        """
        if not self.has(name):
            raise SetupError(
                f"no {self.what} is called {name!r} here",
                todo=f"install the package that brings it on this machine, or choose one of {', '.join(self.names())}",
            )
        target = self.own.get(name) or self._others[name].value
        try:
            found = _resolve(target)
        except Exception as error:  # whatever code of other packages raises
            said = f"{type(error).__name__}: {error}"
            raise self._misfit(name, target, f"cannot be loaded ({said:.300})") from error
        if not (isinstance(found, type) and issubclass(found, _resolve(self.base))):
            raise self._misfit(name, target, f"is not derived from {self.base.partition(':')[2]}")
        if found.name != name:  # type: ignore[attr-defined]
            raise self._misfit(name, target, f"calls itself {getattr(found, 'name', '')!r}")
        return found

    def usable(self) -> Iterator[type[Any]]:
        """The classes that can be loaded, in the order of `names`."""
        for name in self.names():
            try:
                yield self.load(name)
            except SetupError:
                continue

    def faults(self) -> Iterator[SetupError]:
        """What is wrong with the installed back ends: those that cannot be loaded, and names that cannot be used."""
        for point in entry_points(group=self.group):
            taken = self._others.get(point.name)
            if taken is None or taken != point:
                yield self._misfit(point.name, point.value, "is ignored: its name is taken or not allowed")
        for name in self.names():
            try:
                self.load(name)
            except SetupError as error:
                yield error

    def origin(self, name: str) -> str:
        """The distribution that brings a back end, as in ``name 1.2``; empty for those of this package."""
        point = self._others.get(name)
        return f"{point.dist.name} {point.dist.version}" if point and point.dist else ""

    @cached_property
    def _others(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for point in sorted(entry_points(group=self.group)):
            if point.name not in self.own and point.name not in _RESERVED and _NAME.fullmatch(point.name):
                found.setdefault(point.name, point)
        return found

    def _misfit(self, name: str, target: str, why: str) -> SetupError:
        brought = self.origin(name)
        return SetupError(
            f"the {self.what} {name!r} {why}",
            where=f"{target} of {brought}" if brought else target,
            todo="update or remove the package that brings it; docs/backends.md says what it must hold",
        )


def _resolve(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


RESTORERS = Registry(
    "restorer",
    "waterz_spool.restorers",
    "waterz_spool.restore.base:Restorer",
    {
        "propainter": "waterz_spool.restore.propainter:PropainterRestorer",
        "unblend": "waterz_spool.restore.unblend.engine:UnblendRestorer",
        "propagate": "waterz_spool.restore.propagate:PropagateRestorer",
        "membrane": "waterz_spool.restore.membrane:MembraneRestorer",
        "lama": "waterz_spool.restore.lama:LamaRestorer",
    },
)

DETECTORS = Registry(
    "detector",
    "waterz_spool.detectors",
    "waterz_spool.detect.base:Detector",
    {
        "text": "waterz_spool.detect.text:TextDetector",
        "yolo": "waterz_spool.detect.model.yolo:YoloDetector",
        "static": "waterz_spool.detect.static.detector:StaticDetector",
    },
)
