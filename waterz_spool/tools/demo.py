"""The demo's clip: a camera pan over a textured scene with moving parts, sound and a burnt-in logo; all made here."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

WIDTH, HEIGHT, RATE, FRAMES = 640, 360, 25, 200
_LOGO = (466, 22, 606, 82)


@dataclass(frozen=True)
class DemoClip:
    """The clip's files and its truth.

    Attributes:
        video: The clip with the overlay, H.264 and AAC.
        truth: uint8 [T, H, W, 3] BGR, the frames without it.
        mask: uint8 [H, W], 255 where the overlay is.
    """

    video: Path
    truth: NDArray[np.uint8]
    mask: Image


def make_clip(folder: Path) -> DemoClip:
    """Write the clip into a folder."""
    truth = np.stack([_frame(index) for index in range(FRAMES)])
    colour, alpha = _logo()
    burnt = np.rint(truth * (1 - alpha) + colour * alpha).astype(np.uint8)
    video = folder / "demo.mp4"
    _write(video, burnt)
    return DemoClip(video, truth, np.where(alpha[..., 0] > 0.02, np.uint8(255), np.uint8(0)))


def _scene() -> Image:
    """A wide landscape of soft noise, hills and bricks; the pan moves over it."""
    rng = np.random.default_rng(7)
    size = (HEIGHT + 160, WIDTH + 520)
    scene = np.zeros((*size, 3), np.float32)
    for cells, weight in ((6, 70.0), (18, 50.0), (60, 34.0), (200, 22.0)):
        noise = rng.uniform(-1, 1, (max(2, size[0] * cells // size[1]), cells, 3)).astype(np.float32)
        noise = 0.6 * noise + 0.4 * noise.mean(axis=2, keepdims=True)
        scene += weight * cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
    picture: Image = np.clip(scene + np.array([120, 128, 118], np.float32), 0, 255).astype(np.uint8)
    for row, y in enumerate(range(0, size[0], 42)):
        for x in range(-(row % 2) * 38, size[1], 76):
            cv2.rectangle(picture, (x, y), (x + 76, y + 42), tuple(int(v) for v in rng.integers(40, 110, 3)), 2)
    return picture


_SCENE: list[Image] = []


def _frame(index: int) -> Image:
    if not _SCENE:
        _SCENE.append(_scene())
    x = 40 + 2.1 * index + 6 * np.sin(index / 19)
    y = 70 + 30 * np.sin(index / 41)
    move = np.array([[1, 0, x], [0, 1, y]], np.float32)
    frame: Any = cv2.warpAffine(
        _SCENE[0], move, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    for ball in range(3):
        centre = (int(80 + 190 * ball + 60 * np.sin(index / (11 + ball))), int(230 + 70 * np.cos(index / (13 + ball))))
        cv2.circle(frame, centre, 22 + 6 * ball, (60 + 70 * ball, 200 - 60 * ball, 90), -1, cv2.LINE_AA)
        cv2.circle(frame, (centre[0] - 6, centre[1] - 7), 6, (240, 240, 240), -1, cv2.LINE_AA)
    return np.asarray(frame, np.uint8)


def _logo() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colour [H, W, 3] and alpha [H, W, 1] of an opaque plate with text."""
    colour = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    x0, y0, x1, y1 = _LOGO
    cv2.rectangle(alpha, (x0, y0), (x1, y1), 255, -1)
    cv2.rectangle(colour, (x0, y0), (x1, y1), (130, 50, 20), -1)
    cv2.circle(colour, (x0 + 30, y0 + 30), 20, (40, 190, 240), -1, cv2.LINE_AA)
    cv2.putText(colour, "DEMO", (x0 + 58, y0 + 30), cv2.FONT_HERSHEY_DUPLEX, 0.8, (255, 255, 255), 2, cv2.LINE_AA)
    cv2.putText(colour, "CHANNEL", (x0 + 58, y0 + 50), cv2.FONT_HERSHEY_DUPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return colour.astype(np.float32), (alpha / np.float32(255))[..., None].astype(np.float32)


def _write(path: Path, frames: NDArray[np.uint8]) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=48000, layout="stereo")
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(video.encode(None))
        for block in _sound(FRAMES / RATE):
            container.mux(audio.encode(block))
        container.mux(audio.encode(None))


def _sound(seconds: float) -> list[Any]:
    time = np.arange(round(seconds * 48000)) / 48000
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6))
    wave = (0.1 * chord * (1 + 0.3 * np.sin(2 * np.pi * 0.5 * time))).astype(np.float32)
    blocks = []
    for start in range(0, len(wave), 1024):
        block = av.AudioFrame.from_ndarray(np.stack([wave[start : start + 1024]] * 2), format="fltp", layout="stereo")
        block.sample_rate, block.pts, block.time_base = 48000, start, Fraction(1, 48000)
        blocks.append(block)
    return blocks


def read_frames(path: Path) -> NDArray[np.uint8]:
    """All frames of a small video, uint8 [T, H, W, 3] BGR."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)])


def psnr_in_mask(frames: NDArray[np.uint8], truth: NDArray[np.uint8], mask: Image) -> float:
    """Peak signal-to-noise ratio inside the mask, in dB, over all frames."""
    inside = mask > 0
    error = frames[:, inside].astype(np.float32) - truth[:, inside]
    return float(10 * np.log10(255**2 / max(float(np.mean(error * error)), 1e-6)))


def before_after(path: Path, before: Image, after: Image) -> None:
    """Write a picture of one frame before and after, side by side."""
    gap = np.full((HEIGHT, 12, 3), 255, np.uint8)
    cv2.imwrite(str(path), np.hstack([before, gap, after]))
