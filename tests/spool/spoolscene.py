"""A real spool in a folder with time and names under the test's control, and workers that beat when told to."""

from __future__ import annotations

from pathlib import Path

from spoolsim import HostClock, VirtualClock
from spooltoy import work, write_file

from waterz_spool.spool import Budget, Claim, FileOps, Job, Session, Spool, SpoolSettings

SETTINGS = SpoolSettings(beat_s=1, lease_s=10, poll_s=1, idle_s=2, backoff_s=4, locks="off")


class Scene:
    def __init__(self, folder: Path, settings: SpoolSettings = SETTINGS, ops: FileOps | None = None) -> None:
        self.folder = folder
        self.clock = VirtualClock()
        self.source = folder / "my talk.mp4"
        self.source.write_bytes(b"the video")
        self.number = 0
        self.sessions: list[Session] = []
        self.spool = Spool.create(folder / "spool", settings, clock=HostClock(self.clock), tokens=self.token, ops=ops)

    def token(self) -> str:
        self.number += 1
        return f"{self.number:024x}"

    def submit(self, job_id: str = "job", **options: object) -> Job:
        return self.spool.submit(b'{"a":1}', source=self.source, job_id=job_id, **options)  # type: ignore[arg-type]

    def session(self, host: str = "h1", ops: FileOps | None = None, **options: object) -> Session:
        spool = self.spool
        if ops is not None:
            spool = Spool.open(spool.root, ops=ops, clock=spool.world.clock, tokens=self.token)
        session = Session(spool, host=host, threads=False, **options)  # type: ignore[arg-type]
        session.start()
        self.sessions.append(session)
        return session

    def prepared(self, segments: int = 3, **options: object) -> Job:
        """A job whose prepare is done."""
        job = self.submit(**options)
        session = self.session(tasks=["prep"])
        self.work(session.next(), segments)
        session.close()
        return job

    def work(self, claim: Claim | None, segments: int = 3) -> bool | None:
        assert claim is not None
        return work(claim, segments, write_file, Path.read_bytes)

    def drain(self, session: Session, segments: int = 3) -> None:
        while (claim := session.next()) is not None:
            self.work(claim, segments)

    def pass_time(self, seconds: float, *, alive: tuple[Session, ...] = ()) -> None:
        """Time passes in steps of a beat for those who live."""
        while seconds > 0:
            self.clock.advance(min(1.0, seconds))
            seconds -= 1.0
            for session in alive:
                session.heart.beat()

    def wait_for(self, session: Session, seconds: float, *, alive: tuple[Session, ...] = ()) -> Claim | None:
        """Look for work once a second, as a worker does."""
        for _ in range(int(seconds)):
            claim = session.next()
            if claim is not None:
                return claim
            self.pass_time(1.0, alive=(session, *alive))
        return session.next()

    def close(self) -> None:
        for session in self.sessions:
            session.heart.stop()


TIGHT = Budget(failed=2, lost_hosts=2, lost=3)
