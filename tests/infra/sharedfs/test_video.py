"""A real video over two clients: the program as users run it, the bytes of `run` on a local disk."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tests.infra.sharedfs.clients import Guest, Mounted, Nfs, SharedFolder, Sshfs
from tests.infra.sharedfs.conftest import available

pytestmark = [pytest.mark.sharedfs, pytest.mark.timeout(600)]
PROGRAM = (sys.executable, "-m", "waterz_spool")
SOURCE = str(Path(__file__).parents[3])
ORDER = ("--box", "80,8,36,20", "--segment-s", "0.5", "--preset", "ultrafast", "--engine", "membrane")
WIDTH, HEIGHT, FRAMES = 128, 96, 60


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A textured scene that moves, under a burnt-in mark."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    wide = np.random.default_rng(5).integers(0, 255, (HEIGHT // 8, (WIDTH + FRAMES) // 4 + 1, 3), dtype=np.uint8)
    wide = wide.repeat(8, axis=0).repeat(4, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"crf": "16", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for t in range(FRAMES):
            frame = np.ascontiguousarray(wide[:, t : t + WIDTH])
            frame[10:26, 82:114] = (20, 200, 240)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.fixture(scope="module")
def expected(clip: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What `run` makes of it on a local disk."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "clip.mp4").write_bytes(clip)
    here = Mounted(SharedFolder(), 0, folder)
    say(here, "run", folder / "clip.mp4", *ORDER, "-o", folder / "out.mp4", "--workers", "1")
    return (folder / "out.mp4").read_bytes()


def say(machine: Mounted | Guest, *arguments: object) -> str:
    environment = {"PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1", "XDG_STATE_HOME": str(machine.folder / "state")}
    done = machine.run(*PROGRAM, *arguments, limit_s=200, environment=environment)
    assert done.code == 0, (arguments, done.out, done.err)
    return done.out


@pytest.mark.parametrize("kind", [Nfs, Sshfs], ids=lambda kind: kind.name)
def test_workers_on_two_clients_make_the_bytes_of_run(kind: type[SharedFolder], clip: bytes, expected: bytes) -> None:
    with available(kind)(**({"UML_MEM": "512M"} if kind is Nfs else {})) as system:
        (system.export / "clip.mp4").write_bytes(clip)
        one, two = system.machines
        spool = ["--spool", one.folder / "spool"]
        say(one, *spool, "submit", one.folder / "clip.mp4", *ORDER, "-o", one.folder / "out.mp4")
        log = system.side / "second"
        command = [*PROGRAM, "--spool", str(two.folder / "spool"), "worker", "--drain", "--quiet"]
        second = two.start(command, {"PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1"}, log)
        say(one, *spool, "worker", "--drain", "--quiet")
        assert second.wait() == 0, log.read_text()
        assert (system.export / "out.mp4").read_bytes() == expected
        assert "all invariants hold" in say(one, *spool, "verify")
