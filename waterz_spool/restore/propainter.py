"""The ProPainter network as a restorer: the user's weights, one device, RGB in and out.

The network works on 8 bit RGB; hidden samples of deeper video come back with 8 bit precision, everything else keeps
its own. Weights stay loaded across segments. The same clip gives the same bytes on CPUs for the same number of
threads, which is therefore part of the job; on GPUs single levels may differ between models of GPU.

Paper: Zhou et al., "ProPainter: Improving Propagation and Transformer for Video Inpainting", ICCV 2023. The official
weights are licensed for non-commercial use only.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from propainter.weights import FILES, check
from waterz_spool.errors import SetupError
from waterz_spool.restore.base import Check, Clip, Restored, no_check
from waterz_spool.restore.network import NetworkRestorer
from waterz_spool.restore.rgb import from_rgb, to_rgb
from waterz_spool.restore.weights import WeightFile, WeightState, require_torch, weights_folder

if TYPE_CHECKING:
    from propainter import Inpainter

log = logging.getLogger(__name__)


class PropainterRestorer(NetworkRestorer):
    """Fills hidden pixels with the ProPainter network.

    Args:
        threads: Threads of torch on a CPU; results depend on it.
        weights: sha256 by file name that the loaded files must have; empty accepts any.

    Raises:
        SetupError: The neural packages or the weights are missing, damaged or not the job's.
    """

    name = "propainter"
    needs_gpu = True
    automatic = True
    heaviness = 50.0
    weights: ClassVar = tuple(
        WeightFile(file.name, file.what, file.licence, file.source, file.sha256 or "") for file in FILES
    )
    # The network compares what is around a hole with other frames, from features at a quarter of the size: with less
    # around it than it was trained with, 432x240 px, it invents where it could have copied.
    margin_px = 128
    size_px = (432, 240)

    def __init__(self, *, threads: int = 1, weights: Mapping[str, str] | None = None) -> None:
        self.require_jobs(weights)
        self._lock: FileLock | None = None
        self._inpainter = self._load(threads)
        self.streams = self._inpainter.device.type != "cpu"

    @classmethod
    def verified(cls) -> list[WeightState]:
        """Whether each file is the network it should be: loads all three."""
        require_torch(cls.name)
        return [WeightState(each.file.name, each.state, each.detail) for each in check(weights_folder())]

    def restore(self, clip: Clip, *, check: Check = no_check) -> Restored:
        """Fill the masked pixels of the clip's target frames; the confidence is not known."""
        out = np.empty_like(clip.frames[clip.start : clip.stop])
        stream = self._inpainter.stream(_rgb_frames(clip, check), iter(clip.masks), scene_cuts=None)
        for index, rgb in enumerate(stream):
            if clip.start <= index < clip.stop:
                out[index - clip.start] = clip.frames[index]
                hidden = clip.masks[index] > 0
                out[index - clip.start][hidden] = from_rgb(rgb, clip)[hidden]
                clip.tell((index - clip.start + 1) / (clip.stop - clip.start))
        return Restored(frames=out, confidence=None)

    def _load(self, threads: int) -> Inpainter:
        import torch

        from propainter import Inpainter, WeightsError

        torch.set_num_threads(threads)
        device, dtype = self._device()
        try:
            return Inpainter.load(weights_folder(), device=device, dtype=dtype)
        except WeightsError as error:
            raise SetupError(str(error.what), where=str(error.file), todo=error.todo) from error

    def _device(self) -> tuple[str, str]:
        """A CUDA device that no other worker of this machine holds, else the CPU, and the float type it likes."""
        import torch

        for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
            # Node-local: the lock excludes processes of one machine, which is exactly what shares a GPU.
            name = f"waterz-gpu-{torch.cuda.get_device_properties(index).uuid}.lock"
            lock = FileLock(Path(tempfile.gettempdir()) / name, mode=0o666)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            self._lock = lock
            return f"cuda:{index}", "float16"
        if torch.cuda.is_available():
            raise SetupError(
                "every GPU here is in use by another worker", todo="start one worker per GPU, or run on another machine"
            )
        return "cpu", "float32"


def _rgb_frames(clip: Clip, check: Check) -> Iterator[NDArray[np.uint8]]:
    for index, frame in enumerate(clip.frames):
        check()
        clip.wait(index + 1)
        yield to_rgb(frame, clip)
