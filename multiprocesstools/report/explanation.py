"""An explanation in words: which rule, whose the item is, what will happen next. Everything foreign is escaped."""

from collections.abc import Iterator

from multiprocesstools.claims.survey import MOST_INTERRUPTIONS, Rule, State
from multiprocesstools.display.text import duration, printable, shown
from multiprocesstools.report.text import entry_text, moment
from multiprocesstools.upkeep.explain import Attempt, Explanation, Owner

_RULES = {
    Rule.FINAL_THERE: "its output is there and complete",
    Rule.UNTRIED: "there is no claim: nobody has tried it",
    Rule.OPEN_END: "its latest attempt has not ended, so its owner decides",
    Rule.PLANTED: "it has more attempts than anybody makes: its files were planted, or damaged",
    Rule.FATAL: "the work said that trying again is of no use: fail(retry=False)",
    Rule.USED_UP: "{max_attempts} attempts failed or died, as many as it may have (max_attempts)",
    Rule.INTERRUPTED_OFTEN: f"{MOST_INTERRUPTIONS} attempts were interrupted",
    Rule.SKIPPED: "the work decided that there is nothing to write: skip()",
    Rule.RETRIED: "somebody asked to try it again, and the attempts so far do not count any more",
    Rule.ATTEMPTS_LEFT: "its latest attempt has ended without an output, and not all {max_attempts} attempts are used",
}


def why(told: Explanation) -> str:
    """The rule that decided the state, in words."""
    if told.rule not in _RULES:
        return "it is not known why"
    text = _RULES[Rule(told.rule)].format(max_attempts=told.max_attempts)
    return f"{text}; {sign_of_life(told.owner, told)}" if told.owner is not None else text


def sign_of_life(owner: Owner, told: Explanation) -> str:
    """What was seen of the owner, and not more."""
    watched = f"{duration(owner.watched_seconds)} of watching"
    if owner.sight == "gone":
        return "its process on this machine is gone, which is proved"
    if owner.here:
        return "its process lives on this machine, which is proved"
    if owner.sight == "vanished":
        return "its claim went while it was looked at, so the state may be another by now"
    if not owner.instance:
        return f"its claim does not say whose it is; unchanged for {watched}"
    if owner.beating:
        return f"it lives: a beat was seen after {watched}"
    if owner.sight == "silent":
        return f"it gave no sign of life for {watched}, which is longer than the patience of the run"
    return (
        f"its sign of life is unchanged for {watched}, which says little (beats come seldom: --observe SECONDS watches "
        "longer)"
    )


def what_next(told: Explanation) -> str:
    """Who may take the item and when, and which command helps."""
    where, item = shown(told.directory), shown_item(told.item)
    if told.state == State.DONE:
        left = f"; its leftover claims go with `multiprocesstools cleanup {where}`" if told.leftovers else ""
        return f"nothing: it is never replaced{left}"
    if told.state == State.SKIPPED:
        return f"nothing: it is settled; `multiprocesstools retry {where} {item}` would have it tried again"
    if told.state == State.FAILED:
        return f"nothing, until `multiprocesstools retry {where} {item}` or items(retry_failed=True)"
    if told.state == State.RUNNING:
        return _next_of_running(told)
    taker = _taker(told)
    if told.state == State.STALE:
        return f"{taker} takes it over as attempt {told.attempt + 1}, or `multiprocesstools cleanup {where}` frees it"
    if not told.attempt:
        return f"{taker} takes it" + (", together with its chunk" if told.chunk else "")
    order = "" if told.rule == Rule.RETRIED else ", after all untried ones"
    return f"{taker} takes it as attempt {told.attempt + 1}{order}"


def _next_of_running(told: Explanation) -> str:
    owner = told.owner
    if owner is not None and owner.chunk and owner.claimed is None:
        return "its owner does the items of the chunk one after the other; this one was not begun until a second ago"
    if owner is not None and owner.here:
        return "its owner finishes it; if that dies, others on this machine take it over at once"
    patience = f"{told.patience_seconds:g} s without a sign of life"
    return f"its owner finishes it; after {patience}, seen by whoever waits or runs `cleanup`, it is taken over"


def _taker(told: Explanation) -> str:
    if not told.alive:
        return "nobody is at work: whoever is started next"
    names = ", ".join(map(printable, told.alive[:3])) + (" ..." if len(told.alive) > 3 else "")
    return f"an instance that works on its list ({names} may live), or one that is started,"


def shown_item(item: str) -> str:
    """An item as it can be pasted behind a command."""
    import shlex

    return shlex.quote(printable(item))


def explanation_text(told: Explanation) -> str:
    """All of it, for a person."""
    return "\n".join(_lines(told))


def _lines(told: Explanation) -> Iterator[str]:
    attempt = f", attempt {told.attempt}" if told.attempt else ""
    yield f"{printable(told.item)}: {told.state}{attempt}"
    yield f"  why: {why(told)}"
    if told.owner is not None:
        yield f"  owner: {_owner(told.owner)}"
    yield f"  next: {what_next(told)}"
    if told.in_place:
        half = "is being written in place" if told.state == State.RUNNING else "was left half written in place"
        yield f"  its output {half}, and does not count until it is complete"
    if told.chunk:
        yield f"  chunk: {printable(told.chunk)}, whose claim is attempt 1 of all its items"
    if told.last_retry:
        yield f"  attempts up to {told.last_retry} do not count: somebody asked to retry"
    yield from (f"  list: {printable(text)}" for text in told.lists)
    yield from (f"  half written, moved aside, yours to delete: {printable(path)}" for path in told.partials)
    if told.attempts:
        yield "attempts:"
        yield from (f"  {_attempt(attempt)}" for attempt in told.attempts)
    if told.events:
        yield "journals:"
        yield from (f"  {entry_text(entry)}" for entry in told.events)


def _owner(owner: Owner) -> str:
    if not owner.instance:
        return "unknown"
    who = f"{printable(owner.instance)} on {printable(owner.host)}, process {owner.pid}"
    since = f", since {moment(owner.claimed)} by its clock" if owner.claimed is not None else ""
    return f"{who}{since}" + (" (it holds the chunk)" if owner.chunk else "")


def _attempt(attempt: Attempt) -> str:
    end = attempt.end
    if end is None:
        return f"{attempt.number} open"
    where = f" on {printable(end.host)}, process {end.pid}" if end.host else ""
    when = f", {moment(end.ended)}" if end.ended else ""
    took = "" if attempt.seconds is None else f", after {duration(attempt.seconds)}"
    counts = "" if attempt.counts else " (does not count)"
    first = end.exception.splitlines()[0] if end.exception else ""
    said = f": {printable(first)}" if first else ""
    return f"{attempt.number} {attempt.outcome}{where}{when}{took}{counts}{said}"
