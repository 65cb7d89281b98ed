"""What every detector promises, run over all of them that look without the user's weights."""

from __future__ import annotations

import numpy as np
import pytest

from tests.detect.test_static import scene
from tests.integration.conftest import write_video
from waterz_spool import media
from waterz_spool.backends import DETECTORS
from waterz_spool.config import DetectConfig
from waterz_spool.detect import Setting

KINDS = {kind.name: kind for kind in DETECTORS.usable() if not kind.needs_weights}


@pytest.fixture(params=list(KINDS))
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    frames = np.repeat(np.stack(scene(40))[..., None], 3, 3)
    return write_video(tmp_path_factory.mktemp("clean") / "v.mp4", frames, audio=False)


def looked(kind, path, count=None):
    info = media.probe(path)
    detector = kind.made_for(Setting(options=DetectConfig(), info=info))
    for frame in media.decode(path, info, stop=count):
        luma = media.planes(frame)[0]
        before = luma.copy()
        detector.add(frame.index, frame.picture, luma)
        assert np.array_equal(luma, before)
    return detector.finish(lambda: ((f.index, media.planes(f)[0]) for f in media.decode(path, info, stop=count)))


def test_a_clean_clip_gives_nothing_and_a_reason(kind, clean):
    found = looked(kind, clean)
    assert (found.patches, found.boxes) == ((), ())
    assert found.reason


@pytest.mark.parametrize("count", [1, 2])
def test_a_short_clip_gives_a_reason(kind, clean, count):
    found = looked(kind, clean, count)
    assert found.patches == () and found.reason


def test_twice_gives_the_same(kind, clean):
    assert looked(kind, clean) == looked(kind, clean)
