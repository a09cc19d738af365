"""What each client remembers of a shared filesystem, and every way in which one operation can end.

`outcomes(state, who, operation, ways)` names them: the state after it, what the caller is told, and the fault that it
took. What goes wrong, chosen by `Ways`:

    stale        a name that a client saw missing stays missing for it, until it lists or changes the directory
    stubborn     the same, but its own changes do not refresh it (seen on NFS v3); only a listing does
    ageing       a name that a client saw stays as it was seen, although another client has removed or replaced it
    torn         a listing takes time: what appears or disappears meanwhile is in it, or not, or doubled
    repeated     a client repeats the listing that it got before, until it changes the directory itself, or the
                 directory changes once more (budgeted)
    lost         the operation ran; the caller sees the answer to a second try (budgeted)
    error        EIO to the caller, whether or not the operation ran (budgeted)
    full         no room: ENOSPC or EDQUOT from what needs room (budgeted)
    copy         a copy of the operation stays in the network and runs again at any later time (budgeted)
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from tests.proof.simulated.server import (
    CHANGES,
    MISSING,
    NEEDS_ROOM,
    PRIVATE,
    Operation,
    Stat,
    State,
    Who,
    apply,
    entries_of,
    parent,
    stat,
    with_kinds,
)

_MOST_TORN = 4
_INODES_OF_COPIES = 500_000


@dataclass(frozen=True)
class Ways:
    """Which things may go wrong. `blind`: listings leave private files out, which nobody but a sweep looks at."""

    stale: bool = False
    stubborn: bool = False
    ageing: bool = False
    torn: bool = False
    repeated: bool = False
    lost: bool = False
    error: bool = False
    full: bool = False
    copy: bool = False
    blind: bool = False


class Outcome(NamedTuple):
    """One way in which an operation can end. `fault`: what it took, "" for nothing; `error`: the answer is an errno."""

    state: State
    answer: Any
    fault: str = ""
    error: int = 0


def outcomes(state: State, who: Who, operation: Operation, ways: Ways) -> list[Outcome]:
    """Every way in which `operation` can end; the first is the one without any fault."""
    if operation[0] == "list" and ways.torn:
        return list(_torn_listing(state, who, operation[1], ways))
    found = [_perform(state, who, operation, ways)]
    found += _from_memory(state, who, operation, ways)
    if operation[0] == "list" and ways.repeated and not found[0].error:
        return _repeated_listing(state, who, operation[1], found[0], ways)
    if operation[0] in CHANGES and not found[0].error:
        found += _lost_replies(found[0], who, operation, ways)
    if ways.error and operation[0] != "write":
        found += [Outcome(state, None, "error", errno.EIO)]
    if ways.full and operation[0] in NEEDS_ROOM:
        found += [Outcome(state, None, "full", errno.ENOSPC)]
    return found


def run_copy(state: State, operation: Operation) -> State:
    """The late duplicate of an operation arrives. Nobody sees its answer."""
    left = state._replace(copies=state.copies - {operation})
    if operation[0] == "create":
        operation = (*operation[:2], operation[2] + _INODES_OF_COPIES)
    after, _, error = apply(left, operation)
    return left if error else after


def lose_power(state: State) -> State:
    """The server forgets what was not synced, and every client what it remembered."""
    files = {inode: file._replace(data=file.synced) for inode, file in state.files.items()}
    return state._replace(files=files, seen={}, begun={}, listed={})


def forget(state: State, machine: str) -> State:
    """What a client remembers has timed out, or it was started anew."""
    seen = {key: inode for key, inode in state.seen.items() if key[0] != machine}
    return state._replace(seen=seen, listed={key: value for key, value in state.listed.items() if key[0] != machine})


def _perform(state: State, who: Who, operation: Operation, ways: Ways) -> Outcome:
    """The operation runs once, and its answer arrives."""
    after, answer, error = apply(state, operation)
    if operation[0] in CHANGES and after.listed:
        after = after._replace(listed={key: kept for key, kept in after.listed.items() if key[0] != who.machine})
    if operation[0] == "list" and ways.blind and not error:
        answer = tuple(entry for entry in answer if not entry[0].startswith(PRIVATE))
    return Outcome(_remember(after, who, operation, ways), answer, "", error)


def _remember(state: State, who: Who, operation: Operation, ways: Ways) -> State:
    if not (ways.stale or ways.ageing):
        return state
    verb = operation[0]
    if verb == "list":
        return _refresh(state, who, operation[1])
    if verb in CHANGES:
        for path in operation[1:3] if verb in ("link", "rename") else operation[1:2]:
            state = _forget_name(state, who, path) if ways.stubborn else _refresh(state, who, parent(path))
        return state
    if verb in ("look", "read"):
        path = operation[1]
        inode = state.names.get(path, MISSING)
        if ways.stale if not inode else ways.ageing:
            return state._replace(seen={**state.seen, (who.machine, path): inode})
    return state


def _refresh(state: State, who: Who, directory: str) -> State:
    kept = {
        (machine, path): inode
        for (machine, path), inode in state.seen.items()
        if machine != who.machine or parent(path) != directory
    }
    return state if len(kept) == len(state.seen) else state._replace(seen=kept)


def _forget_name(state: State, who: Who, path: str) -> State:
    """A client knows the names that it has changed itself."""
    if (who.machine, path) not in state.seen:
        return state
    return state._replace(seen={key: inode for key, inode in state.seen.items() if key != (who.machine, path)})


def _from_memory(state: State, who: Who, operation: Operation, ways: Ways) -> list[Outcome]:
    """The answers that a client gives without asking the server."""
    verb, path = operation[0], operation[2] if operation[0] == "link" else operation[1]
    remembered = state.seen.get((who.machine, path)) if isinstance(path, str) else None
    if remembered is None or remembered == state.names.get(path, MISSING):
        return []
    if verb in ("look", "read"):
        if not remembered:
            return [Outcome(state, None, "stale")]
        file = state.files.get(remembered)
        if verb == "look":
            return [Outcome(state, stat(state, remembered) if file else Stat(remembered, "file", 1, 0), "ageing")]
        return [Outcome(state, file.data if file else None, "ageing")]  # without the file: ESTALE, which means missing
    if verb in ("create", "link") and remembered:
        return [Outcome(state, None, "ageing", errno.EEXIST)]
    return []


def _lost_replies(first: Outcome, who: Who, operation: Operation, ways: Ways) -> Iterator[Outcome]:
    if ways.lost:
        second = _perform(first.state, who, operation, ways)
        yield second._replace(fault="lost")
    if ways.error:
        yield Outcome(first.state, None, "error", errno.EIO)
    if ways.copy and operation[0] != "remove tree":
        yield first._replace(state=first.state._replace(copies=first.state.copies | {operation}), fault="copy")


def _torn_listing(state: State, who: Who, directory: str, ways: Ways) -> Iterator[Outcome]:
    """Called twice by the caller: it begins, and it ends. What changed meanwhile is in it, or not."""
    now = entries_of(state, directory, blind=ways.blind)
    begun = state.begun.get(who.process)
    if begun is None:
        if not state.names.get(directory):
            yield Outcome(state, None, "", errno.ENOENT)
            return
        yield Outcome(state._replace(begun={**state.begun, who.process: (directory, now)}), "begun")
        return
    rest = {process: value for process, value in state.begun.items() if process != who.process}
    after = _refresh(state._replace(begun=rest), who, directory)
    sure, maybe = begun[1] & now, sorted(begun[1] ^ now)
    if len(maybe) > _MOST_TORN:
        choices = [now, begun[1], begun[1] | now, sure, *(sure | {entry} for entry in maybe)]
    else:
        chosen = product((True, False), repeat=len(maybe))
        choices = [sure | {entry for entry, taken in zip(maybe, flags, strict=True) if taken} for flags in chosen]
        choices.sort(key=lambda entries: entries != now)
    for entries in choices:
        yield Outcome(after, with_kinds(state, entries))


def _repeated_listing(state: State, who: Who, directory: str, fresh: Outcome, ways: Ways) -> list[Outcome]:
    """The true listing, or the client's last one; once that was repeated, it stays as long as nothing changes."""
    key, now = (who.machine, directory), entries_of(state, directory, blind=ways.blind)
    before, stuck = state.listed.get(key, (now, None))
    repeated = Outcome(
        state._replace(listed={**state.listed, key: (before, now)}), with_kinds(state, before), "repeated"
    )
    if stuck == now:
        return [repeated._replace(fault="")]
    true = fresh._replace(state=fresh.state._replace(listed={**fresh.state.listed, key: (now, None)}))
    return [true] if before == now else [true, repeated]
