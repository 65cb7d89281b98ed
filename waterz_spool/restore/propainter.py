"""The ProPainter network as a restorer: the user's weights, one device, RGB in and out.

The network works on 8 bit RGB; hidden samples of deeper video come back with 8 bit precision, everything else keeps
its own. Weights stay loaded across segments. The same clip gives the same bytes on CPUs for the same number of
threads, which is therefore part of the job; on GPUs single levels may differ between models of GPU.

Paper: Zhou et al., "ProPainter: Improving Propagation and Transformer for Video Inpainting", ICCV 2023. The official
weights are licensed for non-commercial use only.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from waterz_spool.errors import SetupError
from waterz_spool.restore.base import Check, Clip, Restored, no_check

if TYPE_CHECKING:
    from propainter import Inpainter

log = logging.getLogger(__name__)

_KR_KB = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593), 4: (0.30, 0.11), 7: (0.212, 0.087)}
_BT601 = (0.299, 0.114)


def weights_folder() -> Path:
    """Where the three weight files are looked for: WATERZ_MODELS, else a folder in the user's data folder."""
    named = os.environ.get("WATERZ_MODELS", "")
    if named:
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if data else Path.home() / ".local" / "share") / "waterz-spool" / "models"


def weights_present() -> bool:
    """Whether all three files are there, whole or not."""
    from propainter.weights import FILES

    return all((weights_folder() / file.name).is_file() for file in FILES)


def gpu_present() -> bool:
    """Whether torch is installed and sees a CUDA device."""
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def require_weights() -> None:
    """Make sure that the engine can be used here, as far as the files' presence tells.

    Raises:
        SetupError: The neural packages or a file are missing; says which, where to get it, and what works without.
    """
    _require_torch()
    from propainter.weights import FILES

    folder = weights_folder()
    for file in FILES:
        if not (folder / file.name).is_file():
            raise SetupError(
                f"the weight file {file.name} is missing ({file.what}; {file.licence})",
                where=str(folder),
                todo=f"get it from {file.source} and put it there (WATERZ_MODELS names another folder); "
                "--engine propagate and --engine membrane need no weights",
            )


def pinned_weights() -> dict[str, str]:
    """sha256 of the three files, for the job: every worker must use the same ones.

    Raises:
        SetupError: See `require_weights`.
    """
    require_weights()
    from propainter.weights import FILES, sha256_of

    return {file.name: sha256_of(weights_folder() / file.name) for file in FILES}


def weights_listing() -> list[dict[str, str]]:
    """What the three files are, and which are there, as plain data."""
    from propainter.weights import FILES, sha256_of

    rows = []
    for file in FILES:
        path = weights_folder() / file.name
        facts = {"file": file.name, "licence": file.licence, "what": file.what, "source": file.source}
        present = path.is_file()
        rows.append({**facts, "present": "yes" if present else "no", "sha256": sha256_of(path) if present else "-"})
    return rows


def weights_states() -> list[dict[str, str]]:
    """Whether each file is the network it should be, as plain data.

    Raises:
        SetupError: The neural packages are missing.
    """
    _require_torch()
    from propainter.weights import check

    return [
        {"file": status.file.name, "state": status.state, "detail": status.detail} for status in check(weights_folder())
    ]


class PropainterRestorer:
    """Fills hidden pixels with the ProPainter network.

    Args:
        threads: Threads of torch on a CPU; results depend on it.
        weights: sha256 by file name that the loaded files must have; empty accepts any.

    Raises:
        SetupError: The neural packages or the weights are missing, damaged or not the job's.
    """

    name = "propainter"

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
