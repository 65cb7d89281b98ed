"""A trial: short pieces of a video through the stages that a worker runs, in a spool of its own that is thrown away.

Nothing is written outside that spool, and nothing of it is published.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TypeVar

import msgspec

from waterz_spool import media, restore
from waterz_spool.config import Config
from waterz_spool.errors import TryAgainError
from waterz_spool.intake.spools import open_or_create
from waterz_spool.intake.submit import Order, settled_output, submit
from waterz_spool.plan.forecast import Measured, Once, Source, Took, fixed_part
from waterz_spool.records import Plan, SegmentSpec, VideoInfo
from waterz_spool.restore import Restorer
from waterz_spool.spool import Job, PrepClaim, SegmentClaim, Session
from waterz_spool.stages.contract.request import JobRequest, decode_request
from waterz_spool.stages.prepare.inputs import publish_segments
from waterz_spool.stages.prepare.prepare import engine_of, make_plan, mask_path, overlay_of
from waterz_spool.stages.segment import DECODE_THREADS, SegmentWork

Role = TypeVar("Role", PrepClaim, SegmentClaim)

MOST_PIECES = 64
_DECODED = 96  # frames: enough to tell what decoding one costs


class Stopwatch:
    """Measures what a step took; ``took`` is set when it is over."""

    def __init__(self) -> None:
        self.took = Took()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure what happens inside."""
        wall, cpu = time.monotonic(), time.process_time()
        yield
        self.took = Took(time.monotonic() - wall, time.process_time() - cpu)


class _Told:
    """Remembers how fast a restorer went on, crop by crop."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._begun = time.monotonic(), time.process_time()
        self._crops: dict[int, list[tuple[float, Took]]] = {}

    def __call__(self, done: float) -> None:
        wall, cpu = self._begun
        number = max(0, ceil(done) - 1)
        took = Took(time.monotonic() - wall, time.process_time() - cpu)
        self._crops.setdefault(number, []).append((done - number, took))
        self._tell(done)

    def fixed(self) -> Took:
        """What does not grow with the frames, of all crops."""
        return sum(map(fixed_part, self._crops.values()), Took())


@dataclass(frozen=True, kw_only=True)
class Looked:
    """A video that was looked at as `run` does.

    Attributes:
        name: Of the video.
        output: Where a run would put its result.
        request: What was asked.
        info: The video's facts.
        plan: What a run would do.
        weights: Of the video.
        engine: The restorer.
        once: What was done once, as measured.
        decode: What decoding a frame took.
    """

    name: str
    output: Path
    request: JobRequest
    info: VideoInfo
    plan: Plan
    weights: media.Weights
    engine: str
    once: Once
    decode: Took

    @property
    def source(self) -> Source:
        """The weights as a forecast takes them."""
        return Source(frames=self.weights.frames, keys=self.weights.keys, others=self.weights.others)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A piece that was made: its file, and what it took."""

    path: Path
    info: bytes
    measured: Measured


class Trial:
    """One video on trial.

    Args:
        job: The video's job in a spool of its own.
        session: Of this process.
        looked: The look at the video.
        threads: Of the restorer.
    """

    def __init__(self, job: Job, session: Session, looked: Looked, *, threads: int) -> None:
        self.looked = looked
        self.job = job
        self._session = session
        self._threads = threads
        self._restorer: Restorer | None = None
        self._prep = _claimed(session, PrepClaim)
        self._engine = engine_of(looked.request)
        self._overlay = overlay_of(looked.plan, looked.request, mask_path(self._prep, looked.request))
        job.put_plan(msgspec.json.encode(looked.plan), MOST_PIECES)

    def make(
        self,
        piece: SegmentSpec,
        *,
        check: Callable[[], None] = lambda: None,
        tell: Callable[[float], None] = lambda share: None,
    ) -> Made:
        """Cut, restore and encode a piece as a worker would.

        Limit: texture for what no frame shows is made from the piece alone, not from the whole shot.

        Args:
            piece: Of the plan; each piece of a trial has an index of its own, below MOST_PIECES.
            check: Called between frames; raises to stop.
            tell: Told what share of it is done, 0..1.

        Raises:
            InputError: The source cannot be decoded there.
        """
        cut, filled, encoded, verified = (Stopwatch() for _ in range(4))
        with cut.running():
            plan = msgspec.structs.replace(self.looked.plan, segments=(piece,))
            publish_segments(self._prep, plan, self._overlay, engine=self._engine, check=check)
        claim = _claimed(self._session, SegmentClaim)
        work = SegmentWork(claim)
        told = _Told(lambda done: tell(0.9 * done / len(piece.crops)))
        with filled.running():
            if piece.crops:
                work.restore(self._restorer_for(work), check, tell=told)
        with encoded.running():
            out, info = work.encode(check)
        facts = media.probe(out)
        with verified.running():
            for _ in media.decode(out, facts):
                check()
        weights = media.weigh(out, facts)
        keys = tuple(weights.frames[key] for key in weights.keys)
        claim.done([out], info)
        tell(1.0)
        return Made(
            path=out,
            info=info,
            measured=Measured(
                piece=piece,
                cut=cut.took,
                restore=filled.took,
                fixed=told.fixed(),
                encode=encoded.took,
                verify=verified.took,
                key_bytes=keys,
                other_bytes=sum(weights.frames) - sum(keys),
            ),
        )

    def _restorer_for(self, work: SegmentWork) -> Restorer:
        if self._restorer is None:
            options = {"threads": self._threads, **work.job.engine_options}
            self._restorer = restore.create(work.job.engine, options)
        return self._restorer


def _claimed(session: Session, role: type[Role]) -> Role:
    """The next claim, of which it is known what it is: this process is alone in its spool."""
    claim = session.next()
    if not isinstance(claim, role):
        raise TryAgainError("the trial's own spool does not answer", where=str(session.spool.root), todo="try again")
    return claim


@contextmanager
def trial(
    video: Path,
    order: Order,
    config: Config,
    *,
    folder: Path,
    threads: int,
    tell: Callable[[float], None] = lambda share: None,
) -> Iterator[Trial]:
    """Look at a video as `run` does and be ready to make pieces of it.

    Args:
        video: The file.
        order: What `run` would be asked.
        config: Resolved configuration.
        folder: Where the spool is made, and removed from at the end; best on the file system of the private spool, so
            that the source need not be copied where `run` would link it.
        threads: Of the restorer.
        tell: Told how far the look is, 0..1.

    Raises:
        WaterzError: What `run` would say at once, or when it prepares.
    """
    begin = Took(time.process_time(), time.process_time())  # what this process took so far, a worker takes, too
    output = settled_output(video, order, config, base=Path.cwd())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="waterz-trial-", dir=folder) as name:
        root = Path(name)
        spool = open_or_create(root / "spool", config)
        pin, look, decode = Stopwatch(), Stopwatch(), Stopwatch()
        with pin.running():
            inside = replace(order, output=str(root / f"result{output.suffix}"), review=False)
            job = submit(spool, video, inside, config, may_exist=True)
        request, source = decode_request(job.request()), job.source()
        info = media.probe(source)
        mask = job.attachment(request.mask) if request.mask else None
        with look.running():
            plan = make_plan(request, source, info, mask, spool=spool.root, tell=tell)
        with decode.running():
            stop = min(_DECODED, plan.segments[-1].stop)
            count = sum(1 for _ in media.decode(source, info, stop=stop, threads=DECODE_THREADS))
        looked = Looked(
            name=video.name,
            output=output,
            request=request,
            info=info,
            plan=plan,
            weights=media.weigh(source, info, drop=request.drop),
            engine=restore.chosen(config.restore).name,
            once=Once(begin=begin, pin=pin.took, look=look.took),
            decode=decode.took * (1 / max(1, count)),
        )
        with Session(spool, jobs=[job.id], info={"pid": os.getpid()}) as session:
            yield Trial(job, session, looked, threads=threads)
