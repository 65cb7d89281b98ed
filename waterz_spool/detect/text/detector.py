"""Captions, stamps and other lines of text that are painted over the picture.

Two frames a second are looked at by the network, as small pictures. A line that stands still is followed through all
frames by its own letters, which tells its first and last frame exactly. It is certainly no part of the scene when the
scene moves behind it, or when it comes or goes at once while the picture around it does not change. What stays on a
shot in which nothing moves cannot be told from a sign: it is reported, not taken. Text on plain ground that no camera
has (slides, screens, games) is part of the picture, too.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.config import DetectConfig
from waterz_spool.detect.base import Detection, Detector, Findings, Luma, Rejected, Reread, Setting
from waterz_spool.detect.masks import area, overlap_px
from waterz_spool.detect.patches import filled
from waterz_spool.detect.text import clock, files, places
from waterz_spool.detect.text.behind import Picture
from waterz_spool.detect.text.lines import Line, flatness, length_of, line_at, longer, roughness, steps
from waterz_spool.detect.text.network import TextNetwork
from waterz_spool.detect.text.sights import Sights
from waterz_spool.detect.text.ticker import Band, Tickers
from waterz_spool.geometry import Geometry
from waterz_spool.records import Box, MaskPatch, VideoInfo

log = logging.getLogger(__name__)

LOOK_PX = 640  # longer side of what the network sees
LOOKS_PER_S = 2.0
HIGHEST, LARGEST = 0.13, 0.15  # of the picture: a line's height and area; what is more is no line
LONG = 2.0  # width over height of a line
LONGER = 1.15  # of a line's length: a box that is so much longer holds letters that were not seen before
LEAST_S = 0.4  # a line stands at least so long
MOVING = 4.0  # grey levels that half of the picture's pixels change by within 1.5 s: the camera moves
LONG_S = 1.5  # so long must a line then stand still
ROUGH = 0.6  # grey levels: what a camera sees is hardly ever as smooth as a screen
LIVE, LIVELY = 0.03, 1.0  # the same: what slides lack somewhere in the picture, and what a scene has in half of it
FLAT = 0.7  # of the picture: what a camera saw has less without any gradient
CUT, CUT_LEVELS = 3.0, 10.0  # of the usual change from frame to frame, and at least
EDGE = 0.25  # of the picture along each side: where clocks are shown
MOST = 6  # lines at a time; a picture with more of them is a page of text


class TextDetector(Detector):
    """Follows lines of text through the video.

    Memory: the small grey pictures between two looks, and the letters of each line.

    Args:
        network: A picture [H, W, 3] BGR to lines of text.
        info: Facts of the video.
    """

    name = "text"

    @classmethod
    def made_for(cls, setting: Setting) -> Self:
        """One that looks with the text network."""
        return cls(TextNetwork(), setting.info)

    @classmethod
    def automatic(cls, options: DetectConfig) -> bool:
        """Where its network is installed, except beside weights whose classes are named."""
        return files.installed() and not (options.weights and options.classes)

    @classmethod
    def listing(cls) -> list[dict[str, str]]:
        """The networks' files inside the package that brings them."""
        return [files.listing(files.FINDER), files.listing(files.READER)]

    def __init__(self, network: Callable[[NDArray[np.uint8]], Sequence[Detection]], info: VideoInfo) -> None:
        rate = info.average_rate
        self._rate = rate[0] / rate[1] if rate else 25.0
        self._every = max(1, round(self._rate / LOOKS_PER_S))
        self._network, self._info, self._geometry = network, info, Geometry.of(info)
        scale = min(1.0, LOOK_PX / max(info.width, info.height))
        self._size = max(2, round(info.width * scale)), max(2, round(info.height * scale))
        self._frames: list[NDArray[np.uint8]] = []  # from the last look on
        self._changes: list[float] = []
        self._tiny: deque[NDArray[np.float32]] = deque(maxlen=4)
        self._before: NDArray[np.float32] | None = None
        self._open: list[Line] = []
        self._done: list[Line] = []
        self._tickers = Tickers(self._size)
        self._pages = 0
        self._looks = 0
        self._last: Any = None

    def add(self, index: int, picture: Any, luma: Luma) -> None:
        """Look at a frame."""
        gray = luma if self._info.bits == 8 else luma >> (self._info.bits - 8)
        small = cv2.resize(np.asarray(gray, np.uint8), self._size, interpolation=cv2.INTER_AREA)
        self._frames.append(np.asarray(small, np.uint8))
        tiny = np.asarray(cv2.resize(small.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA), np.float32)
        self._changes.append(0.0 if self._before is None else float(np.abs(tiny - self._before).mean()))
        self._before, self._last = tiny, picture
        if index % self._every == 0:
            self._look(index)

    def finish(self, reread: Reread) -> Findings:
        """The certain lines as boxes with their frames, and the others."""
        count = len(self._changes)
        if len(self._frames) > 1:
            self._look(count - 1)
        for line in self._open:
            line.stop = count
        for line in self._open:
            self._look_behind(line, self._open)
        self._done, self._open = [*self._done, *self._open], []
        log.info("looked for text in %d of %d frames", self._looks, count)
        lines = [line for line in self._done if line.stop - line.start >= LEAST_S * self._rate]
        page = self._pages > self._looks / 2
        certain = [] if page else self._with_bands([line for line in lines if self._certain(line)], lines)
        bands = [] if page else self._tickers.finish()
        half = [line for line in certain if line.uncertain]
        certain = [line for line in certain if line not in half]
        rejected = tuple(
            self._rejected(line, _HALF if line in half else _REASON)
            for line in lines
            if line not in certain and not any(overlap_px(line.box, band.box(self._size)) for band in bands)
        )
        if not certain and not bands:
            reason = _HALF if half else _REASON if rejected else "no text stands still in the picture"
            return Findings((), reason, rejected)
        seen = [(line.start, line.box, line.score) for line in certain]
        seen += [(band.start, band.box(self._size), band.score) for band in bands]
        scores = ((start, Detection(self._coded(box), score, "text")) for start, box, score in seen)
        return Findings((), "", rejected, tuple(scores), self._around(certain, bands))

    def _around(self, certain: Sequence[Line], bands: Sequence[Band]) -> tuple[MaskPatch, ...]:
        """Boxes around running text and lines, and plates with the lines on them."""
        boxes = [(band.box(self._size), band.start, band.stop) for band in bands]
        boxes += places.captions([line for line in certain if not places.holds(line)], self._size)
        size = self._info.width, self._info.height
        plates = (places.framed(self._coded(box), start, stop, size) for box, start, stop in places.plates(certain))
        return (*(filled(self._coded(box), start, stop) for box, start, stop in boxes), *plates)

    def _rejected(self, line: Line, reason: str) -> Rejected:
        return Rejected(self._coded(line.box), reason, round(line.score / 2, 3), line.start, line.stop)

    def _look(self, index: int) -> None:
        first = index + 1 - len(self._frames)
        moving, life = self._activity(first, index)
        now = self._frames[-1]
        flat = flatness(now)
        closed: list[Line] = []
        for line in list(self._open):
            cut = any(self._is_cut(t) for t in range(first + 1, index + 1))
            if line.stands(now) and not cut:
                line.stop = index + 1
                line.activity.append(moving)
                line.life.append(life)
                line.flatness.append(flat)
                line.roughness.append(roughness(now, line.box))
                line.settle(now)
                line.ticks += clock.ticks(line, self._frames, first)
            else:
                self._close(line, first)
                closed.append(line)
        for line in closed:
            self._look_behind(line, [*closed, *self._open])
        colours = self._colours()
        seen = self._lines(colours)
        if not self._geometry.transposed:
            drawn = flat > FLAT or life < LIVE
            self._tickers.look(index, () if drawn else seen, self._frames)
        self._pages += len(seen) > MOST
        for one in seen:
            known = [line for line in self._open if overlap_px(one.box, line.box) > 0.3 * area(one.box)]
            if known:
                self._grow(known[0], one.box)
                continue
            begun = line_at(now, one.box, one.score, index)
            if begun is not None:
                self._begin(begun)
        for line in self._open:
            if line.sights is not None:
                line.sights.add(colours)
        self._frames = self._frames[-1:]

    def _look_behind(self, line: Line, beside: Sequence[Line]) -> None:
        """What is behind a line that is over, alone or with others; then its letters and looks are not needed."""
        text = [line]
        for each in text:  # it grows meanwhile
            text += [other for other in beside if other not in text and each.adjoins(other)]
        if line.sights is not None and line.stop - line.start >= LEAST_S * self._rate:
            line.plate, reach = line.sights.plate([each.box for each in text])
            line.uncertain = reach is not None and not places.around(text, self._size, reach)
            line.before_scene = line.sights.moves_between(line.box, line.template)
        line.sights, line.template = None, line.template[:0]

    def _grow(self, line: Line, box: Box) -> None:
        """Where more of a line is seen than before, it was there before, too."""
        holds = overlap_px(line.box, box) > 0.8 * area(line.box)
        if holds and length_of(box) > LONGER * length_of(line.box):
            whole = longer(line, self._frames[-1], box)
            if whole is not None:
                self._open[self._open.index(line)] = whole

    def _colours(self) -> Picture:
        """The last frame as the small picture, coded."""
        width, height = self._size
        form = {"width": width, "height": height, "format": "bgr24", "interpolation": "AREA"}
        return np.asarray(self._last.reformat(**form).to_ndarray(), np.uint8)

    def _lines(self, colours: Picture) -> list[Detection]:
        width, height = self._size
        self._looks += 1
        upright = self._geometry.turn(colours)
        found = self._network(upright)
        size = (upright.shape[1], upright.shape[0])
        high = size[1] * HIGHEST
        kept = []
        for one in found:
            w, h = one.box[2] - one.box[0], one.box[3] - one.box[1]
            if h <= high and w >= LONG * h and w * h <= LARGEST * width * height:
                kept.append(Detection(self._geometry.turned_back(one.box, size), one.score))
        return kept

    def _begin(self, line: Line) -> None:
        """Its first frame, looked for back to the last look."""
        before = self._frames[::-1]
        kept, at_once = steps(line, before)
        line.start -= kept - 1
        cut = line.start > 0 and self._is_cut(line.start)
        line.comes = at_once and not cut
        line.whole = line.comes or cut or line.start == 0
        line.sights = Sights(line.box, upright=self._geometry.transposed)
        self._open.append(line)

    def _close(self, line: Line, first: int) -> None:
        kept, at_once = steps(line, self._frames)
        cuts = [t for t in range(first + 1, first + kept + 1) if t < len(self._changes) and self._is_cut(t)]
        line.stop = min([first + kept, *cuts])
        line.goes = at_once and not cuts
        line.whole = line.whole and (line.goes or bool(cuts) or self._is_cut(min(line.stop, len(self._changes) - 1)))
        self._open.remove(line)
        self._done.append(line)

    def _activity(self, first: int, index: int) -> tuple[float, float]:
        """How much half and the livelier tenth of the picture changed over the last looks of this shot, grey levels."""
        if any(self._is_cut(t) for t in range(first + 1, index + 1)):
            self._tiny.clear()
        if self._before is not None:
            self._tiny.append(self._before)
        changes = np.std(np.stack(self._tiny), axis=0)
        return float(np.median(changes)), float(np.percentile(changes, 90))

    def _is_cut(self, index: int) -> bool:
        around = self._changes[max(1, index - 8) : index] + self._changes[index + 1 : index + 9]
        usual = float(np.median(around)) if around else 0.0
        return self._changes[index] > max(CUT_LEVELS, CUT * usual)

    def _certain(self, line: Line) -> bool:
        if not line.activity:
            return False
        alive, rough = float(np.median(line.activity)), float(np.median(line.roughness))
        drawn = float(np.median(line.flatness)) > FLAT or float(np.median(line.life)) < LIVE
        if drawn or (rough < ROUGH and alive < LIVELY):
            return False
        if line.plate is not None and line.plate.proven:
            return True
        if line.before_scene and self._at_edge(line.box) and line.stop - line.start >= LONG_S * self._rate:
            return True
        if alive >= MOVING and line.stop - line.start >= LONG_S * self._rate:
            return True
        return (line.whole and (line.comes or line.goes)) or (self._at_edge(line.box) and clock.runs(line, self._rate))

    def _at_edge(self, box: Box) -> bool:
        """Whether a line lies in the quarter of the picture along one of its sides."""
        (width, height), (x0, y0, x1, y1) = self._size, box
        return x1 <= EDGE * width or x0 >= (1 - EDGE) * width or y1 <= EDGE * height or y0 >= (1 - EDGE) * height

    def _with_bands(self, certain: list[Line], lines: Sequence[Line]) -> list[Line]:
        """The certain lines, and those that stand in the place of one shortly before or after it."""
        waiting, done = list(certain), list(certain)
        while waiting:
            one = waiting.pop()
            near = [each for each in lines if each not in done and _same_place(one.box, each.box)]
            near = [e for e in near if max(one.start, e.start) - min(one.stop, e.stop) <= self._rate]
            waiting += near
            done += near
        return sorted(done, key=lambda line: (line.start, line.box))

    def _coded(self, box: Box) -> Box:
        sx, sy = self._info.width / self._size[0], self._info.height / self._size[1]
        x1, y1 = min(self._info.width, int(np.ceil(box[2] * sx))), min(self._info.height, int(np.ceil(box[3] * sy)))
        return int(box[0] * sx), int(box[1] * sy), x1, y1


_HALF = "a plate seems to lie behind the text, and its ends do not show"
_REASON = "text that may belong to the scene: nothing moves behind it, and it does not come or go by itself"


def _same_place(a: Box, b: Box) -> bool:
    """Whether two lines share most of the smaller one's height and width."""
    high, wide = min(a[3], b[3]) - max(a[1], b[1]), min(a[2], b[2]) - max(a[0], b[0])
    return high > 0.6 * min(a[3] - a[1], b[3] - b[1]) and wide > 0.6 * min(a[2] - a[0], b[2] - b[0])
