"""Made-up clips whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np

from waterz_spool.restore import Clip


def texture(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Smooth random texture, float in 0..1."""
    noise = np.random.default_rng(seed).random((height, width, channels), np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.0).reshape(height, width, channels)
    return np.clip((soft - soft.mean()) / (4 * soft.std()) + 0.5, 0, 1)


def pan(frames: int, height: int, width: int, *, channels: int = 3, step: float = 2.0, seed: int = 0) -> np.ndarray:
    """A camera panning over a texture, float [T, H, W, C] in 0..1."""
    wide = texture(height, width + int(abs(step) * frames) + 8, channels, seed)
    out = []
    for number in range(frames):
        move = np.float32([[1, 0, step * number], [0, 1, 0]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        out.append(cv2.warpAffine(wide, move, (width, height), flags=flags).reshape(height, width, channels))
    return np.clip(np.stack(out), 0, 1)


def samples(scene: np.ndarray, bits: int = 8) -> np.ndarray:
    """Whole sample values of a scene."""
    return np.rint(scene * ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def box_mask(frames: int, height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """The same box hidden in every frame."""
    x0, y0, x1, y1 = box
    mask = np.zeros((frames, height, width), np.uint8)
    mask[:, y0:y1, x0:x1] = 255
    return mask


def covered(frames: np.ndarray, masks: np.ndarray, bits: int = 8) -> np.ndarray:
    """The frames with a bright overlay where the mask is."""
    out = frames.copy()
    out[masks != 0] = int(0.9 * ((1 << bits) - 1))
    return out


def clip(frames: np.ndarray, masks: np.ndarray, *, bits: int = 8, family: str | None = None, span=None) -> Clip:
    """A clip whose targets are all its frames unless a span is given."""
    start, stop = span or (0, len(frames))
    family = family or ("gray" if frames.shape[3] == 1 else "yuv")
    return Clip(frames=frames, masks=masks, start=start, stop=stop, bits=bits, family=family)


def psnr(result: np.ndarray, truth: np.ndarray, masks: np.ndarray, bits: int = 8) -> float:
    """PSNR inside the masks, dB."""
    error = (result.astype(np.float64) - truth)[masks != 0]
    return float(10 * np.log10(((1 << bits) - 1) ** 2 / max(np.mean(error**2), 1e-9)))
