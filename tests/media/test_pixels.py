"""Work formats hold every sample without loss."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from tests.media.test_decode import info_with
from waterz_spool import media
from waterz_spool.errors import InputError
from waterz_spool.media.pixels import plane_view, to_frame

WORK = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p016le": "yuv420p16le",
    "p210le": "yuv422p10le",
    "p410le": "yuv444p10le",
    "nv20le": "yuv422p10le",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "yvyu422": "yuv422p",
    "y210le": "yuv422p10le",
    "y212le": "yuv422p12le",
    "xv30le": "yuv444p10le",
    "xv36le": "yuv444p12le",
    "vuyx": "yuv444p",
    "vuya": "yuva444p",
    "ayuv64le": "yuva444p16le",
    "rgb24": "gbrp",
    "bgr24": "gbrp",
    "bgr0": "gbrp",
    "0rgb": "gbrp",
    "rgba": "gbrap",
    "argb": "gbrap",
    "rgb48le": "gbrp16le",
    "rgb48be": "gbrp16le",
    "rgba64be": "gbrap16le",
    "x2rgb10le": "gbrp10le",
    "gray16be": "gray16le",
    "yuv420p10be": "yuv420p10le",
    "gbrp12be": "gbrp12le",
}


def random_frame(pix_fmt: str, *, size: tuple[int, int] = (62, 34)) -> av.VideoFrame:
    """Independent random samples in a planar format."""
    rng = np.random.default_rng(1)
    work = media.work_format(pix_fmt)
    frame = av.VideoFrame(*size, pix_fmt)
    for index in range(work.plane_count):
        view = plane_view(frame, index, work)
        view[...] = rng.integers(0, 2**work.bits, view.shape)
    return frame


def equal(a: Any, b: Any) -> bool:
    """Whether two tuples of planes are equal."""
    return len(a) == len(b) and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("full_range", [1, 2])
@pytest.mark.parametrize("source", WORK)
def test_packed_formats_lose_nothing_in_their_work_format(source: str, full_range: int) -> None:
    work = media.work_format(source)
    assert work.pix_fmt == WORK[source]
    original = random_frame(work.pix_fmt)
    original.color_range = full_range
    packed = original.reformat(format=source)
    assert packed.format.name == source
    assert equal(media.planes(packed), media.planes(original))


@pytest.mark.parametrize(
    ("pix_fmt", "expected"),
    [
        ("yuv420p", ("yuv", 8, 1, 1, 3, False)),
        ("yuvj422p", ("yuv", 8, 1, 0, 3, False)),
        ("yuv440p", ("yuv", 8, 0, 1, 3, False)),
        ("yuv411p", ("yuv", 8, 2, 0, 3, False)),
        ("yuv410p", ("yuv", 8, 2, 2, 3, False)),
        ("yuv444p12le", ("yuv", 12, 0, 0, 3, False)),
        ("yuva422p10le", ("yuv", 10, 1, 0, 4, True)),
        ("gbrp9le", ("rgb", 9, 0, 0, 3, False)),
        ("gbrap", ("rgb", 8, 0, 0, 4, True)),
        ("gray10le", ("gray", 10, 0, 0, 1, False)),
        ("monow", ("gray", 8, 0, 0, 1, False)),
        ("rgb565le", ("rgb", 8, 0, 0, 3, False)),
        ("pal8", ("rgb", 8, 0, 0, 3, False)),
    ],
)
def test_facts_of_a_work_format(pix_fmt: str, expected: tuple[Any, ...]) -> None:
    work = media.work_format(pix_fmt)
    facts = (work.family, work.bits, work.shift_x, work.shift_y, work.plane_count, work.alpha)
    assert facts == expected
    assert work.dtype is (np.uint8 if work.bits == 8 else np.uint16)


@pytest.mark.parametrize("pix_fmt", ["bayer_rggb8", "cuda", "gbrpf32le", "xyz12le", "ya8", "uyyvyy411", "no such"])
def test_formats_without_a_planar_counterpart_are_refused_by_name(pix_fmt: str) -> None:
    with pytest.raises(InputError, match=pix_fmt):
        media.work_format(pix_fmt)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv411p", "yuv410p", "yuv444p10le", "gbrp", "gray"])
@pytest.mark.parametrize("size", [(62, 34), (61, 33)], ids=["even", "odd"])
def test_planes_have_their_own_size_and_are_copies(pix_fmt: str, size: tuple[int, int]) -> None:
    frame = random_frame(pix_fmt, size=size)
    work = media.work_format(pix_fmt)
    planes = media.planes(frame)
    for index, plane in enumerate(planes):
        assert plane.shape == work.plane_shape(index, *size) and plane.flags["C_CONTIGUOUS"]
    planes[0][...] = 0
    assert media.planes(frame)[0].any()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gbrp10le", "rgb24"])
def test_a_frame_stored_upside_down_is_read_upright(pix_fmt: str) -> None:
    upright = random_frame(media.work_format(pix_fmt).pix_fmt).reformat(format=pix_fmt)
    graph = av.filter.Graph()
    source = graph.add_buffer(width=upright.width, height=upright.height, format=pix_fmt, time_base=Fraction(1, 25))
    flip, sink = graph.add("vflip"), graph.add("buffersink")
    source.link_to(flip)
    flip.link_to(sink)
    graph.configure()
    upright.pts = 0
    graph.push(upright)
    flipped = graph.pull()
    assert flipped.planes[0].line_size < 0
    assert all(np.array_equal(a, b[::-1]) for a, b in zip(media.planes(upright), media.planes(flipped), strict=True))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("yuv420p", "yuv420p"),
        ("yuvj420p", "yuvj420p"),
        ("yuvj420p", "yuv420p"),
        ("gbrp", "rgb24"),
        ("gbrp", "bgr24"),
        ("gbrap", "bgra"),
        ("gray", "gray"),
    ],
)
def test_frames_for_the_encoder_keep_every_sample(source: str, target: str) -> None:
    planes = media.planes(random_frame(source))
    frame = to_frame(planes, target, info_with(pix_fmt=source, color_range=2))
    assert frame.format.name == target and frame.color_range == 2
    assert equal(media.planes(frame), planes)


def test_deeper_encoders_get_the_samples_shifted_up() -> None:
    planes = media.planes(random_frame("yuv420p9le"))
    frame = to_frame(planes, "yuv420p10le", info_with(pix_fmt="yuv420p9le"))
    assert all(np.array_equal(a, b * 2) for a, b in zip(media.planes(frame), planes, strict=True))


@pytest.mark.parametrize("target", ["yuv420p", "yuv422p10le", "gbrp10le", "yuva420p10le"])
def test_a_lossy_target_is_refused(target: str) -> None:
    with pytest.raises(InputError):
        to_frame(media.planes(random_frame("yuv420p10le")), target, info_with(pix_fmt="yuv420p10le"))


def test_transparent_palettes_are_refused() -> None:
    frame = av.VideoFrame(16, 16, "pal8")
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    frame.planes[1].update(bytes([1, 2, 3, 255]) * 256)
    assert [int(p[0, 0]) for p in media.planes(frame)] == [2, 1, 3]
    frame.planes[1].update(bytes([1, 2, 3, 0]) * 256)
    with pytest.raises(InputError, match="transparent"):
        media.planes(frame)
