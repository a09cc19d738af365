"""A clock that tests move by hand."""


class HandClock:
    """Both clocks stand still until somebody sleeps or moves them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.offset = 1.7e9
        self.slept: list[float] = []

    def wall(self) -> float:
        return self.now + self.offset

    def elapsed(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class FrozenClock(HandClock):
    """No time passes, however long anybody sleeps."""

    def sleep(self, seconds: float) -> None:
        pass
