"""What is asked of a video, as Python says it: boxes and masks may be numpy arrays."""

from __future__ import annotations

import contextlib
import hashlib
import operator
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypedDict

from waterz_spool import config
from waterz_spool.config import Config
from waterz_spool.errors import UsageError
from waterz_spool.intake.spools import private_spool
from waterz_spool.intake.submit import Order
from waterz_spool.records import DisplayBox

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Options = Mapping[str, Mapping[str, Any]]


class Asked(TypedDict, total=False):
    """Keywords of `run` and `Spool.submit`; each is the command line's option of the same name, and may be left out.

    Attributes:
        boxes: Boxes around overlays as (x, y, width, height) in px of the picture as a player shows it; the overlay's
            own pixels inside them are replaced. Any whole numbers will do, also an integer array [N, 4].
        exact_boxes: Boxes that are replaced as they are.
        mask: Picture, folder of pictures or video, white where the overlay is; or an array, uint8 0 to 255 or bool,
            [H, W] for all frames or [T, H, W] with one mask per frame.
        tracks: Folder that `detect` wrote, or a tracks.json.
        limits: Detections outside these boxes are ignored.
        from_s: Boxes and mask pictures hold from this time on, in seconds.
        to_s: Up to this time.
        yes: Go on even if most of the picture would be replaced.
        review: Stop once the overlay has been found, until the job is resumed.
        drop: Indices of streams of the source to leave out.
        output: File, folder or template; by default NAME.clean.EXT beside the video, or here for a URL.
        overwrite: Replace an existing output.
        captions: Keep what removed captions say: mux as a subtitle track, else the name or template of a .srt.
        captions_language: Theirs, three letters, for players.
        engine: Restorer: auto, propagate, unblend, membrane, propainter, lama, or that of another package.
        detector: auto, static, text, yolo, several as a+b, or none.
        weights: Your YOLO weights for the detector.
        segment_s: Target length of a segment in seconds of video.
        on_dead: fail, or passthrough for segments that cannot be restored.
        quality: source or archive.
        crf: Quality of the encode, smaller is better; None is as quality says.
        preset: Preset of the encoder.
        codec: Encoder, for example libx265.
        lossless: Encode without loss.
        recode: needed, or all for frames without overlay, too.
        drop_dynamic_hdr: Drop Dolby Vision or HDR10+ metadata.
        encoder_options: Further options of the encoder.
    """

    boxes: Iterable[Iterable[SupportsIndex]] | NDArray[np.integer[Any]]
    exact_boxes: Iterable[Iterable[SupportsIndex]] | NDArray[np.integer[Any]]
    mask: str | Path | NDArray[np.uint8] | NDArray[np.bool_] | None
    tracks: str | Path | None
    limits: Iterable[Iterable[SupportsIndex]] | NDArray[np.integer[Any]]
    from_s: float | None
    to_s: float | None
    yes: bool
    review: bool
    drop: Iterable[int]
    output: str | Path
    overwrite: bool
    captions: str | Path
    captions_language: str
    engine: str
    detector: str
    weights: str | Path | None
    segment_s: float
    on_dead: str
    quality: str
    crf: float | None
    preset: str
    codec: str
    lossless: bool
    recode: str
    drop_dynamic_hdr: bool
    encoder_options: Mapping[str, str]


_KEYS = {  # keyword: key of the configuration
    "overwrite": "output.overwrite",
    "engine": "restore.engine",
    "detector": "detect.detector",
    "weights": "detect.weights",
    "segment_s": "plan.segment_s",
    "on_dead": "spool.on_dead",
    "quality": "encode.quality",
    "crf": "encode.crf",
    "preset": "encode.preset",
    "codec": "encode.codec",
    "lossless": "encode.lossless",
    "recode": "encode.recode",
    "drop_dynamic_hdr": "encode.drop_dynamic_hdr",
    "encoder_options": "encode.options",
}


def config_of(options: Options, asked: Asked, *, workers: int | None = None) -> Config:
    """The configuration with what the keywords say.

    Raises:
        TypeError: A keyword that does not exist.
        UsageError: An unknown key or a value out of range.
    """
    if unknown := set(asked) - set(Asked.__annotations__):
        raise TypeError(f"unexpected keyword {min(unknown)!r}; possible are {', '.join(Asked.__annotations__)}")
    tree: dict[str, dict[str, Any]] = {section: dict(values) for section, values in options.items()}
    given: dict[str, Any] = {_KEYS[name]: value for name, value in asked.items() if name in _KEYS}
    if workers is not None:
        given["worker.workers"] = workers
    for key, value in given.items():
        section, _, name = key.partition(".")
        plain = str(value) if isinstance(value, Path) else dict(value) if isinstance(value, Mapping) else value
        tree.setdefault(section, {})[name] = _number(plain)
    return config.load(overrides=tree)


def _number(value: Any) -> Any:
    """Numpy's numbers as Python's."""
    return value.item() if hasattr(value, "item") and not hasattr(value, "__len__") else value


def order_of(asked: Asked) -> Order:
    """What is asked; a mask that is an array is written to a file.

    Raises:
        UsageError: A box is none, or the mask has another shape.
    """
    mask, tracks = asked.get("mask"), asked.get("tracks")
    if mask is not None and not isinstance(mask, str | os.PathLike):
        mask = _mask_file(mask)
    return Order(
        boxes=boxes_of("boxes", asked.get("boxes", ())),
        exact_boxes=boxes_of("exact_boxes", asked.get("exact_boxes", ())),
        mask=Path(mask) if mask else None,
        tracks=Path(tracks) if tracks else None,
        review=bool(asked.get("review")),
        limits=boxes_of("limits", asked.get("limits", ())),
        from_s=_number(asked.get("from_s")),
        to_s=_number(asked.get("to_s")),
        drop=tuple(map(operator.index, asked.get("drop", ()))),
        yes=bool(asked.get("yes")),
        captions=str(asked.get("captions", "")),
        language=asked.get("captions_language", ""),
        output=str(asked.get("output", "")),
    )


def boxes_of(name: str, boxes: Any) -> tuple[DisplayBox, ...]:
    """Boxes from whatever holds whole numbers.

    Raises:
        UsageError: Not a list of four whole numbers each.
    """
    try:
        found = [tuple(map(operator.index, box)) for box in boxes]
    except TypeError:
        found = [()]
    if not all(len(box) == 4 for box in found):
        todo = f"give a list of boxes: {name}=[(1600, 40, 280, 90)]"
        raise UsageError("a box is four whole numbers x, y, width, height", where=f"{name}={boxes!r:.200}", todo=todo)
    return tuple(found)  # type: ignore[arg-type]  # of four, as was checked


def _mask_file(mask: Any) -> Path:
    """A file with the masks of an array: of the same array the same name and time, so that the job is the same.

    Raises:
        UsageError: It has another shape or type.
    """
    import cv2
    import numpy as np

    from waterz_spool import media

    pixels = np.asarray(mask)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise UsageError(
            f"a mask is uint8 or bool, [H, W] or [T, H, W], not {pixels.dtype} {list(pixels.shape)}",
            where="mask",
            todo="for example mask=np.zeros((1080, 1920), np.uint8), 255 where the overlay is",
        )
    pixels = np.ascontiguousarray(pixels)
    name = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:32]
    ending = "png" if pixels.ndim == 2 else "mkv"
    folder = private_spool().with_name("waterz-spool-masks")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _forget_old(folder)
    path, part = folder / f"{name}.{ending}", folder / f"{name}.{os.getpid()}.part.{ending}"
    if pixels.ndim == 2:
        part.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    else:
        with media.MaskWriter(part, crops=[(pixels.shape[2], pixels.shape[1])]) as writer:
            for each in pixels:
                writer.write_mask(0, each)
    os.utime(part, (0, 0))
    return part.replace(path)


def _forget_old(folder: Path) -> None:
    """A job pins its mask at once; another process may still be about to."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_ctime > _KEPT_S:
                path.unlink()


_KEPT_S = 86400.0
