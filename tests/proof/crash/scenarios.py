"""The scenarios: who does what, what lay there before, and how it must all end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.proof.crash import scripts
from tests.proof.crash.place import Place

Script = Callable[[Place], None]


@dataclass(frozen=True)
class Scenario:
    """`ends`: item, by its final below the run directory -> the states in which it may end. `parts`: its other files.

    `before`: who has been there, one process each. `links`: hard links are possible "everywhere", "within directories"
    or "nowhere". `options`: those of the helper.
    """

    name: str
    script: Script
    ends: dict[str, str]
    before: tuple[Script, ...] = ()
    parts: tuple[str, ...] = ()
    links: str = "everywhere"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def helper_options(self) -> dict[str, Any]:
        """What could not be written is written at the next beat, which must come soon; patience must not be needed."""
        return {"beat_seconds": 1.0, "patience_seconds": 300.0} | self.options

    @property
    def part(self) -> str:
        """The line of the table."""
        leaves_empty_files = self.links == "nowhere" and self.script in (scripts.start, scripts.in_place)
        return PARTS["nowhere, open" if leaves_empty_files else self.links]

    @property
    def max_attempts(self) -> int:
        return int(self.options.get("max_attempts", 3))


PARTS = {
    "everywhere": "crash at every call",
    "within directories": "crash at every call, claims are copies",
    "nowhere": "crash at every call, no hard links",
    "nowhere, open": "crash at every call of the start and in place, no hard links",
}
DONE, FAILED, SKIPPED = "done", "failed", "skipped"
_TWO = {"out/a.txt": DONE, "out/b.txt": DONE}
_ONE_FAILS = {"out/a.txt": FAILED, "out/b.txt": DONE}
_IN_PLACE = {"direct/a.csv": DONE, "direct/b.csv": DONE}
_MESS = (
    scripts.dropped, scripts.killed_after_publishing, scripts.killed_at_work, scripts.failed_for_good,
    scripts.killed_with_a_claim, scripts.killed_in_place,
)  # fmt: skip
_SWEPT = _TWO | _IN_PLACE | {"out/c.txt": DONE, "out/d.txt": FAILED}
_TWO_ATTEMPTS = {"max_attempts": 2}
_OFTEN = {"beat_seconds": 0.1, "patience_seconds": 1.0}
"""Where links are missing, a crash may leave an empty claim, and only patience tells that nobody is behind it."""
_RENAME = _OFTEN | {"publish": "rename"}

SCENARIOS = (
    Scenario("start", scripts.start, _TWO),
    Scenario("claim and publish files", scripts.files, _TWO),
    Scenario("claim and publish files, not durable", scripts.files, _TWO, options={"durable": False}),
    Scenario("claim a chunk", scripts.chunked, _TWO),
    Scenario("take over a chunk", scripts.chunked, _TWO, before=(scripts.killed_in_a_chunk,)),
    Scenario("publish directories", scripts.directories, {"out/a.zarr": DONE, "out/b.zarr": DONE}),
    Scenario("publish from a folder", scripts.folders, {"out/a.txt": DONE}),
    Scenario(
        "publish several files", scripts.several_files, {"tables/a.txt": DONE, "tables/b.txt": DONE},
        parts=("logs/a.log", "logs/b.log"),
    ),
    Scenario("fail until set aside", scripts.failing, _ONE_FAILS, options=_TWO_ATTEMPTS),
    Scenario("skip, fail, drop", scripts.marked, {"out/a.txt": SKIPPED, "out/b.txt": FAILED, "out/c.txt": DONE}),
    Scenario("drop and take again", scripts.dropped_and_taken_again, _TWO),
    Scenario("take over", scripts.files, _TWO, before=(scripts.killed_at_work,)),
    Scenario(
        "take over the last attempt", scripts.files, {"out/a.txt": f"{DONE} {FAILED}", "out/b.txt": DONE},
        before=(scripts.killed_at_work, scripts.killed_at_work),
    ),
    Scenario("sweep", scripts.sweeping, _SWEPT, before=_MESS),
    Scenario(
        "retry by the command", scripts.retrying, {"out/a.txt": f"{DONE} {FAILED}", "out/b.txt": DONE},
        before=(scripts.failed_until_set_aside,), options=_TWO_ATTEMPTS,
    ),
    Scenario(
        "retry in the loop", scripts.retrying_in_the_loop, _TWO, before=(scripts.failed_until_set_aside,),
        options=_TWO_ATTEMPTS,
    ),
    Scenario("clean exit", scripts.leaving, {"out/a.txt": DONE} | _IN_PLACE),
    Scenario("once", scripts.once, {"total.csv": DONE}),
    Scenario("claim a single item", scripts.single, {"out/a.txt": DONE}),
    Scenario("write in place", scripts.in_place, _IN_PLACE),
    Scenario("take over what is written in place", scripts.in_place, _IN_PLACE, before=(scripts.killed_in_place,)),
    Scenario("beat", scripts.beating, {"out/a.txt": DONE}),
    Scenario("stop", scripts.stopping, _TWO, before=(scripts.killed_at_work,)),
    Scenario("join anew after a forced sweep", scripts.expelled, _TWO),
    Scenario("new settings", scripts.new_settings, _TWO, before=(scripts.killed_at_work,)),
    Scenario("claims are copies: files", scripts.files, _TWO, links="within directories", options=_OFTEN),
    Scenario(
        "claims are copies: take over", scripts.files, _TWO, before=(scripts.killed_at_work,),
        links="within directories", options=_OFTEN,
    ),
    Scenario(
        "claims are copies: fail", scripts.failing, _ONE_FAILS, links="within directories",
        options=_OFTEN | _TWO_ATTEMPTS,
    ),
    Scenario("claims are copies: in place", scripts.in_place, _IN_PLACE, links="within directories", options=_OFTEN),
    Scenario("no links: start", scripts.start, _TWO, links="nowhere", options=_RENAME),
    Scenario("no links: files", scripts.files, _TWO, links="nowhere", options=_RENAME),
    Scenario(
        "no links: directories", scripts.directories, {"out/a.zarr": DONE, "out/b.zarr": DONE}, links="nowhere",
        options=_RENAME,
    ),
    Scenario("no links: fail", scripts.failing, _ONE_FAILS, links="nowhere", options=_RENAME | _TWO_ATTEMPTS),
    Scenario("no links: in place", scripts.in_place, _IN_PLACE, links="nowhere", options=_RENAME),
)  # fmt: skip
