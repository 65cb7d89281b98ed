"""The page of a preview: a few seconds before and after, playing in step, and what the whole would take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from waterz_spool.report.jobpage import Pair
from waterz_spool.report.pages import page

CLIP_BYTES = 3_000_000
"""Of each of the two clips: a page stays under 10 MB."""


@dataclass(frozen=True)
class PreviewPage:
    """All that the page shows.

    Attributes:
        name: Of the video.
        facts: About the piece and the video, short.
        clips: Before and after, of the same size and times.
        rate: Frames per second of the clips.
        frames: In each clip.
        said: What was done, in lines.
        warnings: Loud lines.
        whole: What all of the video would take, in lines.
        pairs: Overlays in full size.
        command: To run all of it.
    """

    name: str
    facts: Sequence[str]
    clips: Pair
    rate: float
    frames: int
    said: Sequence[str]
    warnings: Sequence[str]
    whole: Sequence[str]
    pairs: Sequence[Pair]
    command: str


def preview_html(shown: PreviewPage) -> str:
    """The page as HTML that needs nothing but itself."""
    return page(
        "preview.html",
        name=shown.name,
        facts=list(shown.facts),
        clips=shown.clips,
        said=list(shown.said),
        warnings=list(shown.warnings),
        whole=list(shown.whole),
        pairs=list(shown.pairs),
        command=shown.command,
        data={"rate": shown.rate, "frames": shown.frames},
    )
