"""Short clips for pages: H.264 in MP4 as data URIs, small enough and quick to seek in."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from fractions import Fraction
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_QUALITIES = (18, 22, 26, 30, 34, 40)  # crf, the best first
_KEY_EVERY = 12  # frames: a page goes to any frame at once


def clip_uri(pictures: Iterable[Picture], *, size: tuple[int, int], rate: float, most_bytes: int) -> str:
    """A clip as a data URI, as good as fits.

    Args:
        pictures: uint8 [H, W, 3] BGR, a few seconds of them.
        size: Even width and height of the clip.
        rate: Frames per second; all are shown equally long.
        most_bytes: Of the data URI, unless even the poorest quality needs more.

    Raises:
        ValueError: There are no pictures.
    """
    shown = [_resized(picture, size) for picture in pictures]
    if not shown:
        raise ValueError("a clip needs pictures")
    uri = ""
    for quality in _QUALITIES:
        uri = f"data:video/mp4;base64,{b64encode(_encoded(shown, size, rate, quality)).decode()}"
        if len(uri) <= most_bytes:
            break
    return uri


def _resized(picture: Picture, size: tuple[int, int]) -> Picture:
    if picture.shape[1::-1] == size:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _encoded(pictures: Sequence[Picture], size: tuple[int, int], rate: float, quality: int) -> bytes:
    import av

    file = BytesIO()
    options = {"crf": str(quality), "preset": "veryfast", "bf": "0", "g": str(_KEY_EVERY)}
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000), options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
