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
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from propainter.weights import FILES, check
from waterz_spool.config import RestoreConfig
from waterz_spool.errors import SetupError
from waterz_spool.restore.base import Check, Clip, Restored, Restorer, no_check
from waterz_spool.restore.weights import WeightFile, WeightState, sha256_of, weights_folder

if TYPE_CHECKING:
    from propainter import Inpainter

log = logging.getLogger(__name__)

_KR_KB = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593), 4: (0.30, 0.11), 7: (0.212, 0.087)}
_BT601 = (0.299, 0.114)


def pinned_weights() -> dict[str, str]:
    """sha256 of the three files, for the job: every worker must use the same ones.

    Raises:
        SetupError: See `PropainterRestorer.require`.
    """
    PropainterRestorer.require()
    return {file.name: sha256_of(file.path) for file in PropainterRestorer.weights}


class PropainterRestorer(Restorer):
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
    weights: ClassVar = tuple(
        WeightFile(file.name, file.what, file.licence, file.source, file.sha256 or "") for file in FILES
    )
    # The network compares what is around a hole with other frames, from features at a quarter of the size: with less
    # around it than it was trained with, 432x240 px, it invents where it could have copied.
    margin_px = 128
    size_px = (432, 240)

    def __init__(self, *, threads: int = 1, weights: Mapping[str, str] | None = None) -> None:
        found = pinned_weights()
        wrong = [name for name, digest in (weights or {}).items() if found.get(name) != digest]
        if wrong:
            raise SetupError(
                f"the weights here are not the job's: {', '.join(wrong)}",
                where=str(weights_folder()),
                todo="copy the same three files to every machine",
            )
        self._lock: FileLock | None = None
        self._inpainter = self._load(threads)
        self.streams = self._inpainter.device.type != "cpu"

    @classmethod
    def pinned(cls, options: RestoreConfig) -> dict[str, Any]:
        """Threads, because sums on a CPU depend on them, and the bytes of the weights."""
        return {"threads": options.torch_threads, "weights": pinned_weights()}

    @classmethod
    def require(cls) -> None:
        """Make sure that the neural packages and the three files are here, whole or not."""
        _require_torch()
        super().require()

    @classmethod
    def verified(cls) -> list[WeightState]:
        """Whether each file is the network it should be: loads all three."""
        _require_torch()
        return [WeightState(each.file.name, each.state, each.detail) for each in check(weights_folder())]

    def restore(self, clip: Clip, *, check: Check = no_check) -> Restored:
        """Fill the masked pixels of the clip's target frames; the confidence is not known."""
        out = np.empty_like(clip.frames[clip.start : clip.stop])
        stream = self._inpainter.stream(_rgb_frames(clip, check), iter(clip.masks), scene_cuts=None)
        for index, rgb in enumerate(stream):
            if clip.start <= index < clip.stop:
                out[index - clip.start] = clip.frames[index]
                hidden = clip.masks[index] > 0
                out[index - clip.start][hidden] = _from_rgb(rgb, clip)[hidden]
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


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise SetupError(
            "the propainter engine needs the neural packages",
            where=str(error),
            todo='pip install "waterz-spool[neural]"; --engine propagate and --engine membrane need none',
        ) from error


def _rgb_frames(clip: Clip, check: Check) -> Iterator[NDArray[np.uint8]]:
    for index, frame in enumerate(clip.frames):
        check()
        clip.wait(index + 1)
        yield _to_rgb(frame, clip)


def _scale(clip: Clip) -> tuple[float, float, float]:
    """Black level, luma span and chroma half-span of the clip's samples."""
    unit = float(1 << (clip.bits - 8))
    top = float((1 << clip.bits) - 1)
    return (0.0, top, top / 2) if clip.full_range else (16 * unit, 219 * unit, 112 * unit)


def _to_rgb(frame: NDArray[Any], clip: Clip) -> NDArray[np.uint8]:
    """One frame [H, W, C] as RGB uint8 [H, W, 3]."""
    values = frame.astype(np.float32)
    if clip.family == "yuv":
        kr, kb = _KR_KB.get(clip.matrix, _BT601)
        black, span, half = _scale(clip)
        middle = float(1 << (clip.bits - 1))
        luma, cb, cr = (
            (values[..., 0] - black) / span,
            (values[..., 1] - middle) / half,
            (values[..., 2] - middle) / half,
        )
        red, blue = luma + (1 - kr) * cr, luma + (1 - kb) * cb
        green = (luma - kr * red - kb * blue) / (1 - kr - kb)
        rgb = np.stack([red, green, blue], axis=-1) * 255
    else:
        rgb = np.broadcast_to(values * (255 / ((1 << clip.bits) - 1)), (*frame.shape[:2], 3))
    return np.asarray(np.clip(np.rint(rgb), 0, 255), np.uint8)


def _from_rgb(rgb: NDArray[np.uint8], clip: Clip) -> NDArray[Any]:
    """One RGB frame [H, W, 3] in the clip's own colour model and depth, [H, W, C]."""
    top = (1 << clip.bits) - 1
    unit = rgb.astype(np.float32) / 255
    if clip.family == "rgb":
        values = unit * top
    else:
        kr, kb = _KR_KB.get(clip.matrix, _BT601)
        black, span, half = _scale(clip)
        luma = kr * unit[..., 0] + (1 - kr - kb) * unit[..., 1] + kb * unit[..., 2]
        if clip.family == "gray":
            values = (unit.mean(axis=-1) * top)[..., None]
        else:
            middle = float(1 << (clip.bits - 1))
            cb, cr = (unit[..., 2] - luma) / (1 - kb), (unit[..., 0] - luma) / (1 - kr)
            values = np.stack([black + span * luma, middle + half * cb, middle + half * cr], axis=-1)
    return np.asarray(np.clip(np.rint(values), 0, top), clip.frames.dtype)
