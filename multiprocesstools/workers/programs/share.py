"""What makes the processes of a queue items of a run, so that queues on other machines do a part of them.

    gathered at `run` --> mapped: claimed here and run by the queue, or done elsewhere and read --> over

Outputs are the bytes that the programs wrote, in `<run directory>/<name>/<number>.out`; claims, retries, takeover from
the dead, `status` and `cleanup` are those of every run.

Guarantee: each process is settled in each queue, by the output of whoever ran it; a program that fails is tried again,
here or elsewhere, until its item is set aside. Nothing is used that another user could have written. Condition: all
queues have the same processes in the same order.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from multiprocesstools.calls.summary import Summary
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.errors import ProcessFailed, StopRequested
from multiprocesstools.helper import MultiProcessHelper
from multiprocesstools.workers.pools.shared_run import Place
from multiprocesstools.workers.pools.trusted import create_private, open_trusted
from multiprocesstools.workers.process import Process, ProcessState

Told = Callable[[ProcessState, BaseException | None, bytes], object]
_LOOK_SECONDS, _MOST_OF_TIME = 0.3, 0.05
_MISSING_SECONDS = 90.0  # longer than a client of NFS believes that a name is not there (nfs(5), acdirmax)


class Queue(Protocol):
    """What is asked of the queue, by the threads of the share."""

    def _begin_shared(self, process: Process, told: Told) -> None: ...
    def _deliver(self, process: Process, output: bytes, error: BaseException | None = None) -> None:
        """Returns when it has been used, so that large outputs do not pile up."""

    def _share_over(self, rest: Callable[[Process], BaseException | None]) -> None: ...


class Share:
    """`begin` it for a list of processes; `stop` it early."""

    def __init__(self, place: Place, queue: Queue, most: Callable[[], int]) -> None:
        """`most`: how many may be in work here, now."""
        self._place, self._queue, self._most = place, queue, most
        self._processes: dict[str, Process] = {}
        self._helper: MultiProcessHelper | None = None
        self._stopping = self._is_accepted = False

    def begin(self, processes: list[Process]) -> threading.Thread:
        """The thread that shares them; it ends with `_share_over`."""
        self._processes = {f"{number}.out": process for number, process in enumerate(processes)}
        self._stopping = self._is_accepted = False
        thread = threading.Thread(target=self._run, name="multiprocesstools-share", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """Claim no more; what was claimed is given back when its process is cancelled."""
        self._stopping = True
        if self._helper is not None:
            self._helper._crew.ask_to_stop()

    # -- in the thread of the share

    def _run(self) -> None:
        error: BaseException | None = None
        errors: dict[str, str] = {}
        options: dict[str, Any] = {"stop_after": None} | dict(self._place.options)
        try:
            if self._processes:
                with MultiProcessHelper(self._place.name, self._place.directory, **options) as helper:
                    errors = self._share(helper)
        except BaseException as raised:
            error = raised
        finally:
            self._helper = None
            self._queue._share_over(partial(self._reason, error, errors))

    def _share(self, helper: MultiProcessHelper) -> dict[str, str]:
        """Do a part of the items, and deliver what others do. The errors of those that were set aside."""
        self._helper = helper
        if self._stopping:
            return {}
        mapped: Future[Summary] = Future()
        thread = threading.Thread(
            target=_resolve, args=(mapped, partial(self._map, helper)), name="multiprocesstools-items", daemon=True
        )
        thread.start()
        pause = _LOOK_SECONDS
        while not wait([mapped], pause).done:
            pause = max(_LOOK_SECONDS, self._look() / _MOST_OF_TIME) if self._is_accepted else _LOOK_SECONDS
        thread.join()
        ended = mapped.result().ended
        self._look()
        errors = self._errors(helper)
        if not ended:
            self._wait_for_the_rest(errors)
        return errors

    def _errors(self, helper: MultiProcessHelper) -> dict[str, str]:
        """Of the items that were set aside."""
        failed = helper.status().of("failed")
        return {os.path.basename(item.item): item.error for item in failed if self._is_ours(item.item)}

    def _is_ours(self, item: str) -> bool:
        return os.path.dirname(item) == self._place.name

    def _wait_for_the_rest(self, errors: dict[str, str]) -> None:
        """All is done, but not all outputs were seen: a machine does not know at once what others write."""
        until = time.monotonic() + _MISSING_SECONDS
        while rest := [name for name in self._waiting() if name not in errors]:
            if time.monotonic() > until:
                errors |= dict.fromkeys(rest, f"it was done, but for {_MISSING_SECONDS:g} s no output could be read")
            time.sleep(_LOOK_SECONDS)
            self._look()

    def _waiting(self) -> list[str]:
        if self._stopping:
            return []
        return [name for name, process in self._processes.items() if process.state is ProcessState.PENDING]

    def _map(self, helper: MultiProcessHelper) -> Summary:
        labels = [
            f"{number} {process.name!r} {process.script} {' '.join(process.args)}"
            for number, process in enumerate(self._processes.values())
        ]
        return helper.map(
            self._do, labels, final="{index}.out", directory=self._place.name, executor=_Starter(self._most),
            progress=self._accept,
        )  # fmt: skip

    def _accept(self, tally: object) -> None:
        """The list was found to be that of the others, and not one by which their outputs would go to wrong places."""
        self._is_accepted = True

    def _look(self) -> float:
        """Deliver what was done elsewhere. How many seconds the listing took."""
        folder, began = os.path.join(self._place.directory, self._place.name), time.monotonic()
        try:
            there = {entry.name for entry in PosixDisk().list(folder)}
        except OSError:
            there = set()  # nobody has begun yet, or the server is away
        took = time.monotonic() - began
        for name in filter(there.__contains__, self._waiting()):
            if not self._stopping:
                self._read(self._processes[name], os.path.join(folder, name))
        return took

    def _read(self, process: Process, path: str) -> None:
        try:
            with open_trusted(path) as file:
                output = file.read()
        except OSError:
            return  # the server is away; it is looked at again
        except Exception as error:
            self._queue._deliver(process, b"", error)
        else:
            self._queue._deliver(process, output)

    def _reason(self, error: BaseException | None, errors: Mapping[str, str], process: Process) -> BaseException | None:
        """Why a process that is left has failed; None: it was cancelled."""
        name = next((name for name, one in self._processes.items() if one is process), "")
        if name in errors:
            return process.error or ProcessFailed(f"its item was set aside: {errors[name]}")
        return error

    # -- in threads of their own, one for each item that is in work here

    def _do(self, name: str, path: Path) -> None:
        answers: SimpleQueue[tuple[ProcessState, BaseException | None, bytes]] = SimpleQueue()
        self._queue._begin_shared(self._processes[name], lambda *answer: answers.put(answer))
        state, error, output = answers.get()
        if self._stopping and state is ProcessState.CANCELLED:
            raise StopRequested(self._processes[name].name)
        if state is ProcessState.CANCELLED:
            raise ProcessFailed("it was cancelled")
        if error is not None:
            raise error
        with create_private(path) as file:
            file.write(output)


class _Starter:
    """An executor with a thread for each item that waits for its process; the queue says how many may."""

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most

    @property
    def _max_workers(self) -> int:
        return self._most()

    def submit(self, method: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Have it done; of an item its final tells which process it is."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        if not arguments:
            future.set_result(method())
            return future
        _, paths, final = arguments
        work = partial(method, final, paths, final)
        threading.Thread(target=_resolve, args=(future, work), name="multiprocesstools-item", daemon=True).start()
        return future


def _resolve(future: "Future[Any]", work: Callable[[], Any]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
