"""How long a job still takes: its costs, and the speed at which they were worked off so far.

The speed is known from the look and the cutting on, before the first frame is restored, and gets better as segments
are done. Where a worker tells nothing because it makes texture, it is believed to go on as before, up to what that
costs. Limit: the load is taken to stay as it was over the last half of the work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from waterz_spool.plan.costs import Costs
from waterz_spool.plan.pieces import Shot

_WINDOW_S = 60.0  # at least, of the work that tells the speed
_STALLED_S = 3.0  # longer than heartbeats are apart
_TRUST = 0.5  # what the speed of looking and cutting counts, against that of restoring
_LEAST_S = 2.0


class Eta:
    """Sees a job again and again, and says how long it still takes.

    Args:
        costs: Of its plan.
    """

    def __init__(self, costs: Costs) -> None:
        self.costs = costs
        self._before = 0.0, 0.0  # cost of what came before the segments, and the seconds that it took
        self._seen: deque[tuple[float, float]] = deque()  # time, cost worked off
        self._workers = 1
        self._stalls: dict[int, _Stall] = {}
        self._made: set[Shot] = set()  # those whose texture is made

    def prepared(self, seconds: float, *, look: float, cut: float) -> None:
        """So much of the look and of the cutting, 0..1 each, took so long together."""
        self._before = self.costs.look * look + self.costs.cut * cut, seconds

    def see(self, now: float, shares: Mapping[int, float]) -> float:
        """Remember how much of each segment is done, 0..1.

        Returns:
            The share of all segments' cost that is worked off.
        """
        self._workers = max(1, sum(share < 1.0 for share in shares.values()))
        speed, done, stood_s = self._speed(), 0.0, dict[Shot, float]()
        for index, share in shares.items():
            cost = self.costs.segments[index]
            done += cost.told * share
            stall = self._stalls.setdefault(index, _Stall(now))
            stall.look(share, now)
            if share >= 1.0 or stall.over:
                self._made.update(cost.shots)
            else:
                stood_s.update(dict.fromkeys(cost.shots, stall.stood_s))
        for shot, texture in self.costs.texture.items():
            done += texture if shot in self._made else min(texture, speed * stood_s.get(shot, 0.0))
        self._seen.append((now, done))
        begun = self._seen[0][0]
        while len(self._seen) > 2 and now - self._seen[1][0] > max(_WINDOW_S, (now - begun) / 2):
            self._seen.popleft()
        return done / self.costs.shared if self.costs.shared else 1.0

    def left_s(self, *, cut: float = 1.0) -> float | None:
        """Seconds until the result is there; None while nothing tells the speed.

        Args:
            cut: How much of the cutting is done, 0..1.
        """
        speed = self._speed()
        if not speed:
            return None
        alone = self.costs.cut * (1.0 - cut) + self.costs.verify
        left = self.costs.shared - (self._seen[-1][1] if self._seen else 0.0)
        return (max(0.0, left) + alone * self._workers) / speed

    def _speed(self) -> float:
        """Cost that all workers together work off in a second."""
        cost, seconds = (_TRUST * each for each in self._before)
        cost *= self._workers  # one alone prepares
        if self._seen:
            (begun, first), (now, done) = self._seen[0], self._seen[-1]
            if now - begun >= _LEAST_S:
                cost, seconds = cost + done - first, seconds + now - begun
        return cost / seconds if seconds > 0 and cost > 0 else 0.0


class _Stall:
    """How long the share of a segment stands still.

    Attributes:
        stood_s: Seconds since it last rose; 0 before it first does.
        over: It stood for longer than heartbeats are apart, and went on.
    """

    def __init__(self, now: float) -> None:
        self._share, self._since = 0.0, now
        self.stood_s, self.over = 0.0, False

    def look(self, share: float, now: float) -> None:
        """Take in a share, 0..1."""
        if share > self._share:
            self.over = self.over or self.stood_s > _STALLED_S
            self._share, self._since = share, now
        self.stood_s = now - self._since if share else 0.0
