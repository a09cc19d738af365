"""`map`: a function over a list of sources, on top of the loop of `items`; in this process, or by an executor.

Guarantee: whatever is wrong with the function, with `save` or with the executor is said before anything is claimed.
"""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any

from multiprocesstools.calls.call import Call, check_save, takes_path
from multiprocesstools.calls.executors import Executors
from multiprocesstools.calls.flight import Flight, settle
from multiprocesstools.calls.saving import check_suffixes
from multiprocesstools.calls.summary import Account, Summary
from multiprocesstools.crew.crew import Crew
from multiprocesstools.errors import BadArgument
from multiprocesstools.items.item import Item
from multiprocesstools.loop.order import FEW_FOLDERS
from multiprocesstools.plans.finals import WorkList

Opening = Callable[..., Generator[Item, None, None]]


def map_items(crew: Crew, function: Any, save: Any, executor: Any, opening: Opening) -> Summary:
    """`opening(admit=, account=, flight=)` gives the loop. BadArgument, ExecutorUnusable, PoolBroken, and what a loop
    raises."""
    began = time.monotonic()
    with_path = takes_path(function)
    member = crew.member()
    call = Call(
        function, with_path, check_save(save, with_path=with_path), crew.rules.durable, member.instance.record.identity
    )
    account, folders = Account(), [0]

    def admit(work: WorkList) -> None:
        folders[0] = len(work.folders)
        _check(call, work)

    begin = partial(opening, admit=admit, account=account)
    if executor is None:
        _here(crew, call, begin, account)
    else:
        _by_workers(crew, Executors(executor, call), begin, account)
    return account.summary(time.monotonic() - began, crew.run.directory, all_known=folders[0] < FEW_FOLDERS)


def _here(crew: Crew, call: Call, begin: Opening, account: Account) -> None:
    with closing(begin()) as loop:
        for item in loop:
            settle(crew, item, partial(call.run, item.source, item.paths, item.final.name), account.note)


def _by_workers(crew: Crew, executors: Executors, begin: Opening, account: Account) -> None:
    flight = Flight(crew, executors, account.note)
    with closing(begin(flight=flight)) as loop, executors:
        for item in loop:
            flight.send(item)


def _check(call: Call, work: WorkList) -> None:
    if call.takes_path:
        return
    if work.others:
        reason = "it returns one value, and `final` is a list of templates: give function(source, paths)"
        raise BadArgument("function", call.function, reason)
    if call.save is None:
        check_suffixes(name for folder in work.folders for name in folder.names)
