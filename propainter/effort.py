"""How much is processed at once, and what to give up, step by step, when CUDA memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from propainter.device import autocast
from propainter.weights import Models

log = logging.getLogger(__name__)
T = TypeVar("T")

CORRELATION_BYTES = {"cpu": 64 << 20, "cuda": 2 << 30}  # of one batch of frame pairs; a CPU gains nothing from more


@dataclass(frozen=True)
class Effort:
    """Settings that bound memory; only the later ones change the result.

    Attributes:
        pairs: Frame pairs per optical flow batch; None derives it from the frame size.
        frames: Frames per encoder or decoder batch.
        references: Most reference frames per generator window; None is no limit.
        short: Halve the reach of windows (each frame is still covered).
        tiles: Split generator windows in this many overlapping columns or rows.
        dtype: Float type of convolutions and matrices.
        device: Where the networks run.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    pairs: int | None = None
    frames: int = 4
    references: int | None = None
    short: bool = False
    tiles: int = 1

    def pairs_for(self, height: int, width: int) -> int:
        """Frame pairs per optical flow batch at this frame size (both directions at once)."""
        if self.pairs is not None:
            return self.pairs
        positions = (height // 8) * (width // 8)
        per_pair = 2 * 4 * positions * positions * 4 // 3  # two directions, float32, four levels
        return max(1, min(12, CORRELATION_BYTES.get(self.device.type, 1 << 30) // per_pair))


def next_effort(effort: Effort) -> tuple[str, Effort] | None:
    """The next step down, in words and as settings; None when nothing is left to give up."""
    half = torch.float16
    steps: tuple[tuple[str, bool, dict[str, object]], ...] = (
        ("smaller batches", effort.pairs != 1 or effort.frames != 1, {"pairs": 1, "frames": 1}),
        ("fewer references and shorter windows", not effort.short, {"references": 4, "short": True}),
        ("half precision", effort.dtype is torch.float32 and effort.device.type == "cuda", {"dtype": half}),
        ("two tiles", effort.tiles < 2, {"tiles": 2}),
        ("the CPU in float32", effort.device.type != "cpu", {"device": torch.device("cpu"), "dtype": torch.float32}),
    )
    for words, open_, changes in steps:
        if open_:
            return words, replace(effort, **changes)  # type: ignore[arg-type]
    return None


class Ladder:
    """Runs stages and, when CUDA memory runs out, repeats them with less effort; later stages keep the lower one.

    Args:
        models: The networks; moved to the CPU by the last step.
        effort: Where to start.
    """

    def __init__(self, models: Models, effort: Effort) -> None:
        self.models = models
        self.effort = effort

    def run(self, stage: Callable[[Effort], T]) -> T:
        """Run ``stage`` under the present effort, stepping down as often as memory runs out.

        Raises:
            torch.OutOfMemoryError: Nothing was left to give up.
        """
        while True:
            try:
                with autocast(self.effort.device, self.effort.dtype):
                    return stage(self.effort)
            except torch.OutOfMemoryError:
                step = next_effort(self.effort)
                if step is None:
                    raise
            # outside the handler: the traceback would keep the failed stage's tensors alive
            self._descend(*step)

    def _descend(self, words: str, effort: Effort) -> None:
        log.warning("CUDA is out of memory: going on with %s", words)
        if effort.device != self.effort.device:
            self.models.to(effort.device)
        self.effort = effort
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
