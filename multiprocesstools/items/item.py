"""An item: one unit of work that this instance has claimed, from `with item:` to its end.

    offered --enter--> working --exit--> done | lost | failed | skipped | dropped
            (never entered: given back)

Guarantee: what the block wrote to `item.path` becomes `item.final` only if the block ended without an exception; in
every other case it is discarded and the attempt is written down. An exception in the block never leaves a claim behind.
"""

import os
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from multiprocesstools.claims import claim as claims
from multiprocesstools.claims.disk import ABSENT
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.identity import own_pid
from multiprocesstools.claims.publish import GONE, MINE, Published, discard, publish, publish_draft
from multiprocesstools.display.text import printable
from multiprocesstools.errors import BadArgument, MarkedFailed, NothingWritten, RunDirectoryUnusable, UnsafeFilesystem
from multiprocesstools.errors.work import StopRequested
from multiprocesstools.items.failure import Failure, failure_of
from multiprocesstools.items.fate import Fate
from multiprocesstools.items.results import encode
from multiprocesstools.items.terms import Terms

_DONE, _DONE_WORD = Fate.DONE, Fate.DONE.value  # every item asks, and an enumeration answers slowly
_NOTHING = object()
_folder = lru_cache(64)(Path)  # a path is made of its folder sooner than of the whole text


class Item:
    """One claimed item. Use it with `with item:`; write the output to `item.path`.

    Attributes: `source`, as given; `index`, its place in the list; `attempt`, from 1 on; `failure`, if it has failed.
    """

    failure: Failure | None = None
    _result: Any = _NOTHING

    def __init__(
        self, terms: Terms, claim: Claim, source: Any, index: int = 0, position: int = 0, *,
        others: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.source, self.index, self.attempt, self.position = source, index, claim.attempt, position
        self._terms, self._claim, self._others = terms, claim, others
        self._crew = crew = terms.crew
        self._member = member = crew.latest_member
        self._instance = member.instance
        self.fate: Fate | None = None
        self._mark: tuple[Fate, str, bool] | None = None
        self._path: Path | None = None
        self._staged, self._uses_folder = "", False

    # -- for the user

    @property
    def path(self) -> Path:
        """Write the output here. It becomes `final` when the block ends. BadArgument in a loop with results=True."""
        if self._terms.results:
            raise BadArgument("results", True, "then the package writes the output: set item.result to the value")
        if self._path is None:
            directory = self._claim.slot.directory
            self._path = _folder(directory) / self._staging[len(directory) + 1 :]
        return self._path

    @property
    def result(self) -> Any:
        """The value for `final`, in a loop with results=True: anything that JSON can hold. None until it is set."""
        return None if self._result is _NOTHING else self._result

    @result.setter
    def result(self, value: Any) -> None:
        if not self._terms.results:
            raise BadArgument("results", False, "write the output to item.path, or say items(..., results=True)")
        self._result = value

    @property
    def final(self) -> Path:
        """Where the output will be."""
        return Path(self._claim.final)

    @property
    def paths(self) -> list[Path]:
        """Where to write, for an item of several files, in the order of the templates; the last one is `path`."""
        return [*map(Path, self._other_stagings()), self.path]

    @property
    def folder(self) -> Path:
        """A private directory for programs that choose the name of their output; its single entry is the output."""
        folder = self._instance.staging(self._claim, "folder-")
        if not self._uses_folder:
            self._instance.disk.make_directory(folder)
            self._claim.private += (folder,)
            self._uses_folder = True
        return Path(folder)

    @property
    def began(self) -> float:
        """When the work on it began (elapsed clock)."""
        return self._claim.began

    @property
    def lost(self) -> bool:
        """Has, or may have, another instance taken the item over? The work may go on: if it is first, it counts."""
        return self._claim.lost or (self.fate is None and self._instance.overdue())

    def skip(self, reason: str) -> None:
        """There is nothing to write for this item: it counts as settled, and is not tried again."""
        self._mark = (Fate.SKIPPED, reason, False)

    def fail(self, reason: str, retry: bool = True) -> None:
        """This attempt failed; with `retry=False` the item is set aside at once."""
        self._mark = (Fate.FAILED, reason, retry)

    def drop(self) -> None:
        """Give the item back for another instance; it does not count as an attempt."""
        self._mark = (Fate.DROPPED, "", True)

    def __repr__(self) -> str:
        return f"<Item {printable(self._claim.slot.final)} attempt {self.attempt} {self.fate or 'in hand'}>"

    def __enter__(self) -> "Item":
        if self._claim.given_up:
            self._instance.hands.check(self._claim)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._instance.pid != own_pid() or (self.fate is not None and self.fate is not Fate.UNDECIDED):
            return False  # a forked child never settles what its parent holds
        try:
            with self._crew.guard.critical:
                return self._settle(error)
        finally:
            if self.fate is None:  # a second signal came in between
                self.give_back()

    @property
    def _staging(self) -> str:
        """The file at `path`. Whoever asks may write it, so it is removed with the attempt from then on."""
        if not self._staged:
            self._staged = self._instance.staging(self._claim)
            self._claim.private += (*self._other_stagings(), self._staged) if self._others else (self._staged,)
        return self._staged

    # -- for the loop

    def decide(self, *, going_on: bool) -> BaseException | None:
        """Nothing was written: a failure if the loop goes on, given back if it was left by `break`."""
        if self.fate is Fate.UNDECIDED:
            if going_on:
                error = self._missing()
                self._fail(error, Outcome.FAILED)
                return error
            self.give_back()
        return None

    def give_back(self) -> None:
        """Drop the item, if it is still in hand."""
        if self.fate in (None, Fate.UNDECIDED) and self._instance.pid == own_pid():
            with self._crew.guard.critical:
                self._end(Fate.DROPPED, Outcome.DROPPED)

    # -- the end

    def _settle(self, error: BaseException | None) -> bool:
        if self._instance.beats.overdue():  # the heart may not have come to it since the work let it run again
            self._instance.notice_silence()
        if error is None:
            return self._publish() if self._mark is None else self._settle_mark(*self._mark)
        interrupted = self._crew.guard.signalled is not None
        if interrupted or isinstance(error, StopRequested) or not isinstance(error, Exception | SystemExit):
            self._end(Fate.DROPPED, Outcome.DROPPED)
        else:
            self._fail(error, Outcome.FATAL if self._terms.fatal else Outcome.FAILED)
        return isinstance(error, Exception) and not interrupted and self._terms.on_error == "continue"

    def _settle_mark(self, fate: Fate, reason: str, retry: bool) -> bool:
        if fate is Fate.FAILED:
            return self._fail_and_refuse(MarkedFailed(reason), Outcome.FAILED if retry else Outcome.FATAL)
        self._end(fate, Outcome.SKIPPED if fate is Fate.SKIPPED else Outcome.DROPPED, reason)
        return False

    def _fail_and_refuse(self, error: BaseException, outcome: Outcome = Outcome.FAILED) -> bool:
        """The block ended well, the item did not: raise that with on_error="raise"."""
        self._fail(error, outcome)
        if self._terms.on_error == "raise":
            raise error
        return False

    def _publish(self) -> bool:
        instance = self._instance
        try:
            result = self._publish_result() if self._terms.results else publish(instance, self._claim, self._parts())
        except OSError as error:
            return self._could_not_publish(error)
        except (TypeError, ValueError, RecursionError) as error:  # a result that JSON cannot hold
            return self._fail_and_refuse(error)
        except UnsafeFilesystem as error:
            self._fail(error, Outcome.FAILED)
            raise
        if result is GONE:
            return self._nothing_written()
        if self._uses_folder:
            discard(instance, instance.staging(self._claim, "folder-"))
        self._finish(_DONE if result is MINE else self._lose())
        return False

    def _lose(self) -> Fate:
        self._claim.lost = True
        reason = "was finished by another instance first (or something was written to item.final, not to item.path)"
        self._crew.say(f"{self._claim.name!r} {reason}; this result was discarded")
        return Fate.LOST

    def _publish_result(self) -> Published:
        if self._result is _NOTHING:
            return GONE
        data, instance = encode(self._result), self._instance
        if self._claim.draft is not None:
            return publish_draft(instance, self._claim, data)
        instance.disk.create(self._staging, instance.copy + data)  # in a chunk, whose claim is not of this item alone
        return publish(instance, self._claim, self._parts())

    def _parts(self) -> list[tuple[str, str]]:
        if not (self._uses_folder or self._others):
            return [(self._staging, self._claim.final)]
        last = (self._written() if self._uses_folder else self._staging, self._claim.final)
        return [*zip(self._other_stagings(), self._others, strict=True), last]

    def _written(self) -> str:
        """The path, or the only entry of the folder if nothing was written to the path."""
        if self._instance.disk.look(self._staging) is not None:
            return self._staging
        folder = self._instance.staging(self._claim, "folder-")
        entries = self._instance.disk.list(folder)
        return f"{folder}/{entries[0].name}" if len(entries) == 1 else self._staging

    def _could_not_publish(self, error: OSError) -> bool:
        if error.errno in ABSENT:
            slot = self._claim.slot
            if self._instance.disk.look(slot.directory) is None:
                self._instance.hands.leave(slot)
                self._finish(Fate.DROPPED, mute=True)
                raise RunDirectoryUnusable(slot.directory, "it is not there any more") from error
            return self._nothing_written()
        return self._fail_and_refuse(error)

    def _nothing_written(self) -> bool:
        if self._terms.defer:
            self.fate = Fate.UNDECIDED
            return False
        if self._claim.given_up:  # cleanup() in another thread has taken it away
            self._end(Fate.DROPPED, Outcome.DROPPED)
            return False
        return self._fail_and_refuse(self._missing())

    def _missing(self) -> NothingWritten:
        """Which of the files was not written."""
        disk = self._instance.disk
        for number, staging in enumerate(self._other_stagings()):
            if disk.look(staging) is None:
                return NothingWritten(f"item.paths[{number}]", os.path.basename(self._others[number]))
        where = "item.result" if self._terms.results else "item.path"
        return NothingWritten(f"item.paths[{len(self._others)}]" if self._others else where, self._claim.slot.name)

    def _fail(self, error: BaseException, outcome: Outcome) -> None:
        failure = self.failure = failure_of(self._claim.name, self.attempt, error)
        self._crew.failures.append(failure)
        self._member.log.fail(f"{failure.item} failed, attempt {self.attempt}\n{failure.traceback}")
        self._end(Fate.FAILED, outcome, failure.exception, failure.traceback, error)

    def _end(
        self, fate: Fate, outcome: Outcome, reason: str = "", trace: str = "", error: BaseException | None = None
    ) -> None:
        instance = self._instance
        for path in self._claim.private:
            discard(instance, path)
        announced = self._claim.given_up
        end = instance.ended(outcome, exception=reason, traceback=trace, started=self._claim.started)
        claims.end(instance, self._claim, end)
        self._finish(fate, reason, error, mute=announced and fate is Fate.DROPPED)

    def _finish(self, fate: Fate, reason: str = "", error: BaseException | None = None, *, mute: bool = False) -> None:
        if not mute:
            claim, word = self._claim, _DONE_WORD if fate is _DONE else fate.value
            self._member.journal.add_end(word, claim.name, claim.attempt, claim.began, reason)
        self.fate = fate
        if self._terms.settled is not None:
            self._terms.settled(self, fate, error)

    def _other_stagings(self) -> list[str]:
        """One staging file beside each of the other finals."""
        token = os.path.basename(self._instance.staging(self._claim))[: -len(self._claim.slot.name) - 1]
        return [f"{os.path.dirname(other)}/{token}.{os.path.basename(other)}" for other in self._others]
