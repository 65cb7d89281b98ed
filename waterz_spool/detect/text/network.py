"""The text network: a picture goes in, the boxes of its lines of text come out.

The weights are files of the package rapidocr (PP-OCRv6, Apache-2.0): nothing is downloaded. They run in onnxruntime
on one thread, so that the result does not depend on the machine's cores; OpenCV's own runtime gives the same numbers
at twice the time.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.base import Detection
from waterz_spool.detect.text.files import FINDER, session

Picture = NDArray[np.uint8]
"""[h, w, 3] BGR."""

SIDE_PX = 32  # the network wants sides that are multiples of this
IS_TEXT = 0.3  # probability of a px
SCORE = 0.6  # mean probability of a line
UNSHRINK = 1.6  # the network is trained on lines shrunk by this share of area / perimeter, from all sides
LEAST_PX = 3  # of a shrunk line's lower side


class TextNetwork:
    """Pictures in, lines of text out.

    Raises:
        SetupError: The extra is not installed.
    """

    def __init__(self) -> None:
        self._session = session(FINDER)

    def __call__(self, picture: Picture) -> tuple[Detection, ...]:
        """Lines of text in a picture, uint8 [H, W, 3] BGR; boxes in its px, ordered by place."""
        return lines_of(self.probability(picture))

    def probability(self, picture: Picture) -> NDArray[np.float32]:
        """Of each px to be inside a line's middle, 0 to 1, float32 [H, W]."""
        height, width = picture.shape[:2]
        padded = np.pad(picture, ((0, -height % SIDE_PX), (0, -width % SIDE_PX), (0, 0)), mode="edge")
        tensor = (padded.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(
            0.5
        )
        (found,) = self._session.run(None, {"x": tensor})
        return np.asarray(found[0, 0, :height, :width], np.float32)


def lines_of(probability: NDArray[np.float32]) -> tuple[Detection, ...]:
    """Boxes of lines in the network's output, grown to the whole of the letters."""
    height, width = probability.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats((probability > IS_TEXT).astype(np.uint8), connectivity=8)
    sums = np.bincount(labels.ravel(), weights=probability.ravel(), minlength=count)
    found = []
    for label in range(1, count):
        x, y, w, h, area = (int(value) for value in stats[label])
        score = float(sums[label]) / area
        if min(w, h) < LEAST_PX or score < SCORE:
            continue
        grow = round(w * h * UNSHRINK / (2 * (w + h)))
        box = max(0, x - grow), max(0, y - grow), min(width, x + w + grow), min(height, y + h + grow)
        found.append(Detection(box, round(score, 4), "text"))
    return tuple(sorted(found))
