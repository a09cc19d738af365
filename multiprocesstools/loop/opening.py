"""The opening of a loop: from what the user gave to a plan that everybody knows, and to the loop itself.

Guarantee: whatever is wrong with the sources, the template or the list is said before anything is claimed.
"""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from multiprocesstools.crew.crew import Crew
from multiprocesstools.directories import Directories
from multiprocesstools.display.progress import Listener, Voice, choose
from multiprocesstools.display.text import shown
from multiprocesstools.errors import BadArgument
from multiprocesstools.items.item import Item
from multiprocesstools.loop.course import Course
from multiprocesstools.loop.loop import Loop
from multiprocesstools.loop.options import Options
from multiprocesstools.loop.order import FEW_FOLDERS
from multiprocesstools.plans.cut import Cut, head_of
from multiprocesstools.plans.finals import WorkList, template_text, uses_index, work_list
from multiprocesstools.plans.hints import Hints
from multiprocesstools.plans.inventory import Inventory
from multiprocesstools.plans.naming import Final
from multiprocesstools.plans.plan import Plan
from multiprocesstools.plans.plans import Plans

if TYPE_CHECKING:
    from multiprocesstools.calls.flight import Flight
    from multiprocesstools.calls.summary import Account
    from multiprocesstools.loop.until import Limit


def open_loop(
    crew: Crew, directories: Directories, plans: Plans, voice: Voice, *, options: Options, sources: Iterable[Any],
    final: Final | Sequence[Final], directory: str | os.PathLike[str] | None, progress: bool | Listener | None,
    admit: Callable[[WorkList], None] = lambda work: None, account: "Account | None" = None,
    flight: "Flight | None" = None,
) -> Generator[Item, None, None]:  # fmt: skip
    """The iterator of `items`. NoSources, BadName, BadArgument, DuplicateFinal, ListChanged, ChunksDiffer.

    For `map`: `admit` may refuse the list, `account` is told how it goes on, `flight` has several items in hand.
    """
    crew.member()
    folder = directories.resolve(directory)
    work = work_list(sources, final, folder).resolved()
    if options.results and work.others:
        raise BadArgument("results", True, "it is for one file per item, and `final` is a list of templates")
    admit(work)
    limit = _limit(crew, options, work)
    plan = _record(crew, plans, options, work, final=final, folder=folder)
    work.cut = plans.cut(plan)
    directories.chunked.clear()
    for path in work.directories():
        directories.make_ready(path)
    show = choose(progress, voice, crew.name, shown(crew.run.directory))
    show = show if account is None else account.show(show)
    hints = Hints(crew.run, plan.key)
    if len(work.folders) >= FEW_FOLDERS:
        member = crew.member()
        member.at_leave.append(lambda: hints.leave(member.instance.record.file_name))
    course, propose = Course(crew, plan.key, limit), partial(plans.propose, plan)
    return iter(Loop(crew, work, options, show, hints=hints, propose=propose, course=course, flight=flight))


def _limit(crew: Crew, options: Options, work: WorkList) -> "Limit | None":
    if options.until is None:
        return None
    from multiprocesstools.loop.until import limit_of

    return limit_of(options.until, crew.run, work.directories())


def _record(
    crew: Crew, plans: Plans, options: Options, work: WorkList, *, final: Final | Sequence[Final], folder: str
) -> Plan:
    items = Inventory(work, crew.run.directory)
    text, place = template_text(final), crew.run.relative(folder)
    files, numbered = 1 + len(work.others[0]) if work.others else 1, uses_index(final)
    cut = Cut(items=0, head=head_of(len(work.folders))) if options.chunk == "auto" else Cut(items=int(options.chunk))
    plan = plans.record(
        crew.name, text, place, work.directories(), items, numbered=numbered, files=files, cut=cut,
        own=crew.latest_member.instance.record.file_name,
    )  # fmt: skip
    if options.chunk not in (1, "auto") and plan.chunk != options.chunk:
        crew.say(f"this list is claimed in chunks of {plan.chunk or 'measured size'}, as it was begun")
    return plan
