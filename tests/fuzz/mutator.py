"""Damaged versions of sound records: bits, pieces, and values of the wrong kind or size at the right place."""

from __future__ import annotations

import json
from random import Random
from typing import Any

_TEXTS = ["", "../../etc/passwd", "/etc/passwd", "\x00", "a\nb", "\x1b[2J\x9b", "é" * 40, "x" * 5000, ".hidden", "NaN"]
_NUMBERS = [0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, -0.0, 1e308, 1e-320, float("inf"), float("nan")]
_PIECES = [rb"\u0000", rb"\ud800", b"\xff", b"null", b"1e999", b"*a", *(bytes([n]) for n in b'{}[]",:\n')]
_MOST_BYTES = 200_000


class Mutator:
    """Makes one hostile input after another from sound ones, by a dice that can be thrown again."""

    def __init__(self, seeds: list[bytes], dice: Random) -> None:
        self._seeds = seeds
        self._dice = dice

    def __call__(self) -> bytes:
        dice, data = self._dice, self._dice.choice(self._seeds)
        for _ in range(dice.randint(1, 4)):
            data = dice.choice((self._structured, self._bytes, self._structured, self._pieces))(data)[:_MOST_BYTES]
        return data

    def _structured(self, data: bytes) -> bytes:
        try:
            tree = json.loads(data)
            for _ in range(self._dice.randint(1, 3)):
                tree = self._changed(tree)
            return json.dumps(tree, ensure_ascii=self._dice.random() < 0.5).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):  # too deep for this mutator, not for what it feeds
            return self._bytes(data)

    def _changed(self, tree: Any) -> Any:
        """One value somewhere in the tree replaced, removed, repeated or moved."""
        dice = self._dice
        inner = isinstance(tree, dict | list) and tree and dice.random() < 0.85
        if not inner:
            return self._value(tree)
        keys: list[Any] = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = dice.choice(keys)
        how = dice.random()
        if how < 0.1:
            del tree[key]
        elif how < 0.2 and isinstance(tree, dict):
            tree[dice.choice(["schema", "kind", "file", "x" * 200, "", key + " "])] = tree[key]
        elif how < 0.3 and isinstance(tree, list):
            tree *= dice.choice([2, 50]) if len(tree) < 50 else 1
        else:
            tree[key] = self._changed(tree[key])
        return tree

    def _value(self, old: Any) -> Any:
        dice = self._dice
        kind = dice.randrange(6)
        if kind == 0:
            return dice.choice(_NUMBERS)
        if kind == 1:
            return dice.choice(_TEXTS)
        if kind == 2:
            return dice.choice([None, True, [], {}, [old], {"a": old}])
        if kind == 3 and isinstance(old, int) and not isinstance(old, bool):
            return old + dice.choice([-1, 1, 1000, -1000])
        if kind == 4:
            value: Any = old
            for _ in range(dice.choice([1, 100, 600])):
                value = [value]
            return value
        return str(old)

    def _bytes(self, data: bytes) -> bytes:
        dice, out = self._dice, bytearray(data)
        for _ in range(dice.choice([1, 1, 3, 20])):
            if out:
                out[dice.randrange(len(out))] = dice.randrange(256)
        return bytes(out)

    def _pieces(self, data: bytes) -> bytes:
        dice = self._dice
        at, to = sorted(dice.randrange(len(data) + 1) for _ in range(2))
        how = dice.randrange(5)
        if how == 0:
            return data[:at]
        if how == 1:
            return data[:at] + data[to:]
        if how == 2:
            return data[:at] + dice.choice(_PIECES) * dice.choice([1, 2, 1000]) + data[at:]
        if how == 3:
            return data[:at] + data[at:to] * dice.choice([2, 50]) + data[to:]
        other = dice.choice(self._seeds)
        return data[:at] + other[dice.randrange(len(other) + 1) :]
