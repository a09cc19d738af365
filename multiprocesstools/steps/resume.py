"""What goes on from one session to the next, and what is done again; and what held steps wait for. Pure.

Guarantee: of a step that has finished and is unchanged, all that it has inserted goes on; of what `steps_check` has
inserted, what has finished. Steps that have finished and whose files are not whole any more run again, and so does
what waits for a step that runs again, or that had failed and is tried again.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from multiprocesstools.steps.book import Book, Entry, encode_steps
from multiprocesstools.steps.keys import Past
from multiprocesstools.steps.step import CHECK, SCRIPT, Step

Question = Callable[[str], bool]
"""Asks something of the item with this name."""
Knows = Callable[[Step], bool]
"""Does the script have the function of a step?"""


def session_entry(
    book: Book, protocol: str, script: Sequence[Step], *, by: str, restart: bool, is_done: Question,
    is_whole: Question, failed_attempt: Callable[[str], int], knows: Knows,
) -> Entry:  # fmt: skip
    """The entry that begins a session in which these are the steps of the script. `failed_attempt`: the last attempt
    of an item that has failed, also if it was marked to be tried again since, else 0."""
    entry = {
        "kind": "session", "protocol": protocol, "by": by, "restart": restart, "steps": encode_steps(script),
        "forced": [],
    }  # fmt: skip
    if restart or not book.has_begun:
        return entry
    past = [past for past in imagined(book, entry).past.values() if past.generation]
    entry["retried"] = {step.key: attempt for step in past if (attempt := failed_attempt(step.item))}
    new = imagined(book, entry)
    later = _Carrying(new, {CHECK, *new.keys.key.values()}, is_done, knows)
    entry["steps"] = encode_steps([*script, *later.steps])
    new = imagined(book, entry)
    return entry | {"forced": sorted({*later.anew, *_forced(new, new.steps, is_done, is_whole)})}


def release_entry(book: Book, steps: Iterable[int], *, is_done: Question, is_whole: Question, knows: Knows) -> Entry:
    """The entry that releases held steps, and with them goes on from what earlier sessions have made of them."""
    chosen = sorted(steps)
    released = {str(step): waits for step, waits in what_released_wait_for(book.steps, chosen).items()}
    entry: Entry = {"kind": "release", "steps": released}
    new = book.copy()
    named = [] if book.start.restart else [new.keys.key[step] for step in new.turn(entry) if step in new.keys.key]
    later = _Carrying(new, named, is_done, knows)
    entry["inserted"] = encode_steps(later.steps)
    new = book.copy()
    return entry | {"forced": sorted({*later.anew, *_forced(new, new.turn(entry), is_done, is_whole)})}


def imagined(book: Book, entry: Entry) -> Book:
    """The book with one more entry."""
    copy = book.copy()
    copy.turn(entry)
    return copy


def what_released_wait_for(steps: Mapping[int, Step], chosen: Collection[int]) -> dict[int, list[int]]:
    """For held steps that are released now: one without prerequisites of its own waits for all steps that exist, but
    for those that wait for it, and for those that are still held."""
    dependents: dict[int, list[int]] = {}
    for step in steps.values():
        for prerequisite in step.prerequisites:
            dependents.setdefault(prerequisite, []).append(step.id)
    still = {step.id for step in steps.values() if step.held}
    released: dict[int, list[int]] = {}
    for number in chosen:
        still.discard(number)
        released[number] = list(steps[number].prerequisites)
        if steps[number].everything:
            out = _downstream({number, *still}, dependents)
            released[number] = [other for other in steps if other not in out]
            for prerequisite in released[number]:
                dependents.setdefault(prerequisite, []).append(number)
    return released


def _downstream(steps: set[int], dependents: Mapping[int, Sequence[int]]) -> set[int]:
    """These steps, and all that wait for them."""
    found, stack = set(steps), list(steps)
    while stack:
        new = [other for other in dependents.get(stack.pop(), ()) if other not in found]
        found.update(new)
        stack += new
    return found


class _Carrying:
    """The steps that were inserted later in earlier sessions and go on now, with their new ids; and the finished ones
    that have to insert `anew`: what they had inserted waits for steps that are no more, or has still to be done and
    calls a function that only they have.

    `origins`: whose steps are to go on, by their keys.
    """

    def __init__(self, new: Book, origins: Iterable[str], is_done: Question, knows: Knows) -> None:
        self._new, self._is_done, self._origins = new, is_done, set(origins)
        self._ids = {key: step for step, key in new.keys.key.items()}
        self._finished = {key for key in self._origins & self._ids.keys() if is_done(new.item(self._ids[key]) or "")}
        self.steps: list[Step] = []
        left = [past for past in new.past.values() if past.step.origin != SCRIPT and not past.replaced]
        while [past for past in left if self._take(past)]:
            pass
        left = [past for past in left if past.step.origin in self._finished and not self._can_go_on(past, knows)]
        self.anew = {self._ids[past.step.origin] for past in left}

    def _can_go_on(self, past: Past, knows: Knows) -> bool:
        return past.key in self._ids and (knows(past.step) or self._is_done(past.item))

    def _take(self, past: Past) -> bool:
        """Does it go on? One that waits for all steps that exist is held again."""
        step, done = past.step, past.generation > 0 and self._is_done(past.item)
        goes_on = step.origin in self._finished or (done and step.origin in self._origins)
        can = step.everything or all(key in self._ids for key, _ in past.waits)
        if past.key in self._ids or not (goes_on and can):
            return False
        number = self._ids[past.key] = len(self._new) + len(self.steps) + 1
        waits = () if step.everything else tuple(sorted(self._ids[key] for key, _ in past.waits))
        held = step.held or step.everything
        self.steps.append(replace(step, id=number, prerequisites=waits, held=held))
        if not held:
            self._origins.add(past.key)
            self._finished |= {past.key} if done else set()
        return True


def _forced(new: Book, steps: Iterable[int], is_done: Question, is_whole: Question) -> list[int]:
    """Of these, the finished ones that run again: their files are gone, or what they wait for has not finished."""
    forced: list[int] = []
    for step in steps:
        item = new.item(step)
        if item is None or not is_done(item):
            continue
        waits = [new.item(other) or "" for other in new.steps[step].prerequisites]
        if not is_whole(item) or not all(map(is_done, waits)):
            forced.append(step)
    return forced
