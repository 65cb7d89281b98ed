"""ProPainter, our own implementation: video inpainting by propagation and a sparse transformer.

Paper: Zhou et al., ProPainter: Improving Propagation and Transformer for Video Inpainting, ICCV 2023.
Written from published facts, without the original's source. No weights are shipped and nothing is downloaded: the
user supplies the three official files, whose licence (NTU S-Lab License 1.0) permits NON-COMMERCIAL USE ONLY.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from propainter.errors import InputError, PropainterError, WeightsError

if TYPE_CHECKING:
    from propainter.pipeline import Inpainter, inpaint

__all__ = ["Inpainter", "InputError", "PropainterError", "WeightsError", "inpaint"]


def __getattr__(name: str) -> Any:
    """Load torch only when the pipeline is asked for."""
    if name in ("Inpainter", "inpaint"):
        from propainter import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
