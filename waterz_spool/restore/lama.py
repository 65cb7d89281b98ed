"""The LaMa network for still shots: it fills the shot's plate once, and every frame takes its detail from there.

Motion is not for it: what other frames show is brought in as `propagate` does, and only what no frame ever shows gets
the network's detail, by the same way as texture. The plate is filled on the CPU, one or two seconds a shot, so that
no worker needs a GPU and all of them get the same picture.

Paper: Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions", WACV 2022. The file is the
TorchScript export that is passed around as big-lama.pt: picture and mask in 0..1 with sides that are multiples of 8
in, the filled picture in 0..1 out.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from waterz_spool.errors import SetupError
from waterz_spool.restore.base import Clip
from waterz_spool.restore.network import NetworkRestorer
from waterz_spool.restore.propagate import PropagateRestorer
from waterz_spool.restore.rgb import from_rgb, to_rgb
from waterz_spool.restore.texture.detail import Filler
from waterz_spool.restore.texture.plate import Plate
from waterz_spool.restore.weights import WeightFile

_MULTIPLE = 8

FILE = WeightFile(
    "big-lama.pt",
    "fills the plate of a still shot (LaMa, TorchScript)",
    "unclear: published with code under Apache-2.0, trained on data with terms of its own",
    "https://github.com/Sanster/models/releases/download/add_big_lama/big-lama.pt",
    "344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a258ef66667a9ea9",
)


class LamaRestorer(NetworkRestorer, PropagateRestorer):
    """Like `propagate`, with the texture of still shots made by the LaMa network.

    Args:
        threads: Threads of torch; the picture depends on it.
        weights: sha256 by file name that the loaded file must have; empty accepts any.

    Raises:
        SetupError: torch or the file is missing, damaged, not such a network, or not the job's.
    """

    name = "lama"
    automatic = False
    weights: ClassVar = (FILE,)

    def __init__(self, *, threads: int = 1, weights: Mapping[str, str] | None = None) -> None:
        super().__init__(threads=threads)
        self.require_jobs(weights)
        self._network = _load(threads)

    def filler(self, clip: Clip) -> Filler:
        """The network, for the colours of this clip."""
        return _NetworkFiller(self._network, clip.family, clip.matrix, clip.full_range)


@dataclass(frozen=True)
class _NetworkFiller:
    """Fills plates of one kind of colours; equal for the same network and colours."""

    network: Any
    family: str
    matrix: int
    full_range: bool
    bits: int = field(default=8, init=False)

    def __call__(self, plate: Plate) -> NDArray[np.float64]:
        """The plate with its hole filled, float64 [H, W, C] in whole levels."""
        import torch

        height, width = plate.hidden.shape
        rgb = np.divide(_padded(to_rgb(plate.picture, self)), 255, dtype=np.float32)
        mask = _padded(plate.hidden[..., None]).astype(np.float32)
        with torch.inference_mode():
            out = self.network(_tensor(np.where(mask > 0, np.float32(0), rgb)), _tensor(mask))
        made = np.clip(np.rint(out[0].permute(1, 2, 0).numpy()[:height, :width] * 255), 0, 255).astype(np.uint8)
        filled = plate.picture.astype(np.float64)
        filled[plate.hidden] = from_rgb(made, self)[plate.hidden]
        return filled


def _padded(image: NDArray[Any]) -> NDArray[Any]:
    """Mirrored beyond its lower and right edge, to sides that are multiples of 8."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, -height % _MULTIPLE), (0, -width % _MULTIPLE), (0, 0)), mode="symmetric")


def _tensor(image: NDArray[np.float32]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))[None])


def _load(threads: int) -> Any:
    """The network, tried once on a small picture.

    Raises:
        SetupError: The file is damaged or holds something else.
    """
    import torch

    torch.set_num_threads(threads)
    load: Any = torch.jit.load  # without types
    side = 8 * _MULTIPLE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the file is TorchScript, whatever torch thinks of that now
            network = load(str(FILE.path), map_location="cpu").eval()
        with torch.inference_mode():
            shape = tuple(network(torch.zeros(1, 3, side, side), torch.ones(1, 1, side, side)).shape)
    except (RuntimeError, OSError, ValueError, AttributeError, TypeError) as error:
        raise _unusable(f"{type(error).__name__}: {error}"[:200]) from error
    if shape != (1, 3, side, side):
        raise _unusable(f"it gives {shape} for a picture of {side}x{side}")
    return network


def _unusable(why: str) -> SetupError:
    return SetupError(
        f"{FILE.name} is not the LaMa network as TorchScript: {why}",
        where=str(FILE.path),
        todo=f"get it again from {FILE.source}, or use --engine propagate, which needs no weights",
    )
