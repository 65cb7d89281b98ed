"""A small real clip with a burnt-in logo, and the program run as users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

WIDTH, HEIGHT, FRAMES = 256, 144, 96
BOX = (170, 12, 64, 28)


@dataclass(frozen=True)
class Clip:
    video: Path
    truth: np.ndarray
    mask: np.ndarray


def scene_frames(frames=FRAMES):
    """A textured scene under a moving camera, uint8 [T, H, W, 3] BGR."""
    rng = np.random.default_rng(3)
    wide = np.zeros((HEIGHT + 60, WIDTH + 260, 3), np.float32)
    for cells, weight in ((8, 70), (30, 40), (120, 25)):
        noise = rng.uniform(-1, 1, (cells // 2 + 2, cells, 3)).astype(np.float32)
        wide += weight * cv2.resize(noise, wide.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    wide = np.clip(wide + 125, 0, 255).astype(np.uint8)
    moves = [np.float32([[1, 0, 4 + 2.3 * t], [0, 1, 20 + 12 * np.sin(t / 17)]]) for t in range(frames)]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpAffine(wide, move, (WIDTH, HEIGHT), flags=flags) for move in moves])


def write_video(path, frames, *, audio=True, codec="libx264", pix_fmt="yuv420p", options=None):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options or {"crf": "14", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pix_fmt
        sound = container.add_stream("aac", rate=48000, layout="stereo") if audio else None
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="bgr24")))
        container.mux(stream.encode(None))
        if sound:
            for start in range(0, len(frames) * 2000, 1024):
                wave = np.sin(np.arange(start, start + 1024) / 15).astype(np.float32)[None].repeat(2, 0) / 4
                block = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
                block.sample_rate, block.pts = 48000, start
                container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    truth = scene_frames()
    x, y, w, h = BOX
    burnt = truth.copy()
    burnt[:, y : y + h, x : x + w] = (130, 50, 20)
    for frame in burnt:
        cv2.putText(frame, "TV", (x + 14, y + 22), cv2.FONT_HERSHEY_DUPLEX, 0.8, (255, 255, 255), 2, cv2.LINE_AA)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + h, x : x + w] = 255
    return Clip(write_video(folder / "clip.mp4", burnt), truth, mask)


@pytest.fixture
def video(clip, tmp_path):
    """A copy of the clip in the test's own folder."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip.video.read_bytes())
    return path


@pytest.fixture
def cli(tmp_path, monkeypatch):
    """Runs the program in the test's folder, with a private state folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WATERZ_")}
    environment |= {"XDG_STATE_HOME": str(tmp_path / "state"), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}

    def run(*arguments, check=True, background=False, extra=None, **more):
        command = [sys.executable, "-m", "waterz_spool", *map(str, arguments)]
        if background:
            return subprocess.Popen(
                command,
                cwd=tmp_path,
                env={**environment, **(extra or {})},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                **more,
            )
        done = subprocess.run(
            command,
            check=False,
            cwd=tmp_path,
            env={**environment, **(extra or {})},
            capture_output=True,
            text=True,
            timeout=240,
            **more,
        )
        if check and done.returncode:
            raise AssertionError(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    return run


def read_bgr(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)])


def read_yuv(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray() for frame in container.decode(video=0)])


def box_option():
    return "--box", ",".join(map(str, BOX))


def as_json(done):
    return json.loads(done.stdout)
