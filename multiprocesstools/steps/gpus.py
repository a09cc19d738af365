"""GPUs for steps: which there are on this machine, how they are split among threads, and who has them now.

    gpus=[0, 1, 2] | CUDA_VISIBLE_DEVICES | what the batch system gave --split--> one share for each thread
    free --deal--> in the hands of one step --give_back, or the death of its process--> free

Guarantee: of the instances of one run, at most one step of a machine has a GPU at a time, in whatever thread or process
it runs; what a process had that is gone is dealt again. Condition: that of `locks`, whose limits are what is dealt:
one for each GPU of each host. Instances of other runs are not known; a batch system keeps those apart.
"""

import inspect
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from itertools import takewhile
from typing import Any

from multiprocesstools.claims.identity import current
from multiprocesstools.errors import BadArgument, LockTimeout, StopRequested
from multiprocesstools.locks.locks import Lock

VISIBLE = "CUDA_VISIBLE_DEVICES"
_GRANTED = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "GPU_DEVICE_ORDINAL")
ARGUMENT = "gpus"
"""A step's function that takes an argument of this name is given the list of its GPUs."""
_AGAIN_SECONDS = 0.2
_MOST, _LONGEST_NAME = 1024, 100

Gpu = int | str


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU as programs here know it, and by the name that is one for the whole machine."""

    gpu: Gpu
    slot: str


def find_gpus(given: Any, environment: Mapping[str, str]) -> list[Device]:
    """The GPUs of this machine: `given`, or those that the environment names. BadArgument."""
    if given is not None:
        return [_device(gpu, gpu) for gpu in check_gpus(ARGUMENT, given)]
    name = next((name for name in _GRANTED if environment.get(name)), "")
    physical = _read(name, environment.get(name, ""))
    if VISIBLE not in environment:
        return [_device(gpu, gpu) for gpu in physical]
    visible = _read(VISIBLE, environment[VISIBLE])
    # a job that is confined to its GPUs counts them from 0, as other jobs beside it do
    slots = physical if len(physical) == len(visible) else visible
    return [_device(gpu, slot) for gpu, slot in zip(visible, slots, strict=True)]


def _device(gpu: Gpu, slot: Gpu) -> Device:
    return Device(gpu, str(slot).replace("/", "_"))


def check_gpus(what: str, given: Any) -> list[Gpu]:
    """The GPUs in a list, or in a text as in CUDA_VISIBLE_DEVICES. BadArgument; two of one name are an error."""
    if isinstance(given, str):
        given = _parts(given)
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise BadArgument(what, given, "it must be a list of GPUs, such as [0, 1]")
    found = []
    for value in given:
        if (gpu := _known(value)) is None:
            reason = "a GPU is a whole number from 0 on, or its name as the driver has it (GPU-...)"
            raise BadArgument(what, value, reason)
        found.append(gpu)
    return _refuse_twice(what, found)


def _read(what: str, text: str) -> list[Gpu]:
    """The GPUs that the environment names. As CUDA has it, what is no GPU ("-1", "NoDevFiles") and all after it count
    as none."""
    return _refuse_twice(what, list(takewhile(lambda gpu: gpu is not None, map(_known, _parts(text)))))


def _refuse_twice(what: str, gpus: list[Any]) -> list[Gpu]:
    for gpu in gpus:
        if gpus.count(gpu) > 1:
            raise BadArgument(what, text_of(gpus), f"two GPUs are named {gpu!r}; each is dealt once, so name each once")
    return gpus


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text.strip() else []


def split(devices: Sequence[Device], threads: int) -> list[tuple[Device, ...]]:
    """One share for each thread, if there are more GPUs than threads: as many for each, and the rest to the first. Else
    one GPU is one share."""
    if len(devices) <= threads:
        return [(device,) for device in devices]
    each, rest = divmod(len(devices), threads)
    first = each + rest
    starts = range(first, len(devices), each)
    return [tuple(devices[:first]), *(tuple(devices[start : start + each]) for start in starts)]


class GpuShare:
    """The GPUs of one step."""

    def __init__(self, gpus: Sequence[Gpu], give_back: Callable[[], None], visible: "Visible") -> None:
        self.gpus = list(gpus)
        self._give_back, self._visible = give_back, visible

    def call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which sees these GPUs in the environment, and as its argument `gpus` if it takes one."""

        @wraps(function)
        def with_gpus(*args: Any) -> Any:
            self._visible.show(self.gpus)
            try:
                return function(*args, **self._extra(function, args))
            finally:
                self._visible.hide(self.gpus)

        return with_gpus

    def give_back(self) -> None:
        self._give_back()

    def _extra(self, function: Callable[..., Any], args: Sequence[Any]) -> dict[str, Any]:
        try:
            signature = inspect.signature(function)
            is_free = ARGUMENT in signature.parameters and ARGUMENT not in signature.bind_partial(*args).arguments
        except (TypeError, ValueError):
            return {}
        return {ARGUMENT: list(self.gpus)} if is_free else {}


class Visible:
    """The environment of this process while steps use GPUs: it names those that its steps have now.

    It is one for all threads: with several steps at once it names the GPUs of all of them, and which are whose the
    argument says; programs that steps start with `insert_run_job_step` see their own alone.
    """

    def __init__(self, environment: "os._Environ[str] | dict[str, str]") -> None:
        self._environment = environment
        self._before: str | None = None
        self._shown: list[Gpu] = []
        self._lock = threading.Lock()

    def show(self, gpus: Sequence[Gpu]) -> None:
        with self._lock:
            if not self._shown:
                self._before = self._environment.get(VISIBLE)
            self._set([*self._shown, *gpus])

    def hide(self, gpus: Sequence[Gpu]) -> None:
        with self._lock:
            self._set([gpu for gpu in self._shown if gpu not in gpus])

    def _set(self, gpus: list[Gpu]) -> None:
        self._shown = gpus
        value = text_of(gpus) if gpus else self._before
        if value is None:
            self._environment.pop(VISIBLE, None)
        else:
            self._environment[VISIBLE] = value


class GpuDealer:
    """Deals the GPUs of this machine. `limit(name, 1)` makes the semaphore of one of them."""

    def __init__(
        self, devices: Sequence[Device], threads: int, host: str, limit: Callable[[str, int], Lock], *,
        clock: Callable[[], float] = time.monotonic, environment: "os._Environ[str] | dict[str, str]" = os.environ,
    ) -> None:  # fmt: skip
        self._shares = split(devices, threads)
        self._host, self._limit, self._clock = host, limit, clock
        self._visible = Visible(environment)
        self._not_before = float("-inf")

    def deal(self, thread: int) -> GpuShare | None:
        """A share that is free; that of the thread itself first. None: all are in use, as it was just now."""
        if self._clock() < self._not_before:
            return None
        first = thread % len(self._shares)
        for share in (*self._shares[first:], *self._shares[:first]):
            if (dealt := self._try(share)) is not None:
                return dealt
        self._not_before = self._clock() + _AGAIN_SECONDS
        return None

    def _try(self, share: Sequence[Device]) -> GpuShare | None:
        with ExitStack() as held:
            for device in share:
                lock = self._limit(f"gpu {device.slot} of {self._host}", 1)
                try:
                    lock.acquire(0)
                except (LockTimeout, StopRequested):
                    return None
                held.callback(lock.release)
            return GpuShare([device.gpu for device in share], self._giver(held.pop_all()), self._visible)

    def _giver(self, held: ExitStack) -> Callable[[], None]:
        def give_back() -> None:
            held.close()
            self._not_before = float("-inf")

        return give_back


def dealer_of(given: Any, threads: int, limit: Callable[[str, int], Lock]) -> GpuDealer | None:
    """Who deals GPUs to so many threads of this machine, in whatever process; None: there are none. BadArgument."""
    devices = find_gpus(given, os.environ)
    return GpuDealer(devices, threads, current().host, limit) if devices else None


def text_of(gpus: Iterable[Gpu]) -> str:
    """As CUDA_VISIBLE_DEVICES has it."""
    return ",".join(map(str, gpus))


def _known(gpu: Any) -> Gpu | None:
    """The number of a GPU, or the name that the driver gives it ("GPU-8932f937", "MIG-..."); None: it is neither."""
    if isinstance(gpu, str) and gpu.isdecimal() and len(gpu) < 5:
        gpu = int(gpu)
    if isinstance(gpu, int) and not isinstance(gpu, bool) and 0 <= gpu < _MOST:
        return gpu
    named = isinstance(gpu, str) and gpu.startswith(("GPU-", "MIG-")) and gpu.isprintable() and len(gpu) < _LONGEST_NAME
    return gpu if named else None
