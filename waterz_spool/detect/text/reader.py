"""The reading network: a picture of one line of text goes in, its characters come out.

The weights are a file of the package rapidocr (PP-OCRv6, Apache-2.0) that also names the characters. Each column of the
network's output says which character stands there, or that none does; what repeats without a gap is one character
(connectionist temporal classification, Graves et al. 2006).
"""

from __future__ import annotations

from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.text.files import READER, session

Picture = NDArray[np.uint8]
"""[h, w, 3] BGR."""

HEIGHT_PX, LEAST_PX, MOST_PX = 48, 16, 4096  # of the picture that the network sees: its height, its width


class TextReader:
    """Lines in, characters out.

    Raises:
        SetupError: The extra is not installed.
    """

    def __init__(self) -> None:
        self._session = session(READER)
        known = self._session.get_modelmeta().custom_metadata_map["character"].split("\n")
        self._characters = ["", *known, " "]

    def __call__(self, line: Picture) -> tuple[str, float]:
        """The text of a line and the mean confidence of its characters, 0 to 1; nothing read is ``("", 0.0)``."""
        height, width = line.shape[:2]
        wide = min(MOST_PX, max(LEAST_PX, round(HEIGHT_PX * width / height)))
        shrinks = height > HEIGHT_PX
        small = cv2.resize(line, (wide, HEIGHT_PX), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        tensor = (small.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(
            0.5
        )
        (found,) = self._session.run(None, {"x": tensor})
        likeliest, sure = found[0].argmax(axis=1), found[0].max(axis=1)
        columns = zip(likeliest.tolist(), sure.tolist(), strict=True)
        runs = [(number, max(score for _, score in run)) for number, run in groupby(columns, key=lambda each: each[0])]
        kept = [(self._characters[number], score) for number, score in runs if number]
        if not kept:
            return "", 0.0
        return "".join(character for character, _ in kept).strip(), float(np.mean([score for _, score in kept]))
