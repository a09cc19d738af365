"""Signals in the manner of Qt, without Qt: those of psygnal, for a run that no slot can disturb.

A slot is called in the thread that emits, or queued to the thread that was named when it was connected
(`connect(slot, thread="main")`; that thread calls `emit_queued()`), or, if it is a coroutine function, awaited in the
asyncio loop that ran when it was connected.

Guarantee: a slot that raises is logged, and neither the run nor the other slots notice. Condition: slots return; what
is emitted next waits for those that are called in the thread that emits.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

import psygnal

from multiprocesstools.errors import BadArgument

_log = logging.getLogger("multiprocesstools.workers")


def signal(*types: type, description: str = "") -> psygnal.Signal:
    """A signal for the body of a class; each object of the class has an `Emitter` by that name."""
    return psygnal.Signal(*types, description=description, signal_instance_class=Emitter)


def emit_queued() -> None:
    """Call the slots that wait for the calling thread; one that raises is logged."""
    while True:
        try:
            return psygnal.emit_queued()
        except psygnal.EmitLoopError as error:
            _log.error("a slot has raised; the run goes on", exc_info=error.__cause__ or error)


class Emitter(psygnal.SignalInstance):
    """A signal of one object: `connect`, `disconnect`, `emit`, as psygnal has them."""

    def connect(self, slot: Any = None, **how: Any) -> Any:
        """Have `slot` called at each emission; also as a decorator. How: see `psygnal.SignalInstance.connect`."""
        if slot is None:
            return partial(self.connect, **how)
        super().connect(_in_loop(slot) if inspect.iscoroutinefunction(slot) else slot, **how)
        return slot

    def disconnect(self, slot: Any = None, missing_ok: bool = True) -> None:
        """Do not call `slot` any more; without a slot, none."""
        awaited = (own.dereference() for own in self._slots)
        own = next((call for call in awaited if getattr(call, "awaits", None) == slot), slot)
        super().disconnect(own if slot is not None else None, missing_ok=missing_ok)

    def emit(self, *args: Any, **how: Any) -> None:
        """Have all slots called. Most signals of a pool have none, and are emitted for each task."""
        if self._slots:
            super().emit(*args, **how)

    def emit_each(self, many: Sequence[tuple[Any, ...]]) -> None:
        """As `emit` with each. What psygnal does around an emission costs more than a slot, and is done once."""
        if not self._slots:
            return
        if self._is_blocked or self._is_paused:
            for args in many:
                self.emit(*args)
            return
        with self._lock, psygnal.Signal._emitting(self):
            for args in many:
                if len(self._slots) != 1:
                    self._call_slots(args)
                    continue
                try:
                    slot = self._slots[0]
                    if slot._is_alive():
                        slot.cb(args)
                except Exception:
                    self._note_error()

    def _run_emit_loop_immediate(self) -> None:
        """The loop of psygnal leaves out the slots behind one that raises, and so results would be lost."""
        self._call_slots(self._emit_queue.popleft())

    def _call_slots(self, args: tuple[Any, ...]) -> None:
        for slot in list(self._slots):
            try:
                if slot._is_alive():
                    slot.cb(args)
            except Exception:
                self._note_error()

    def _note_error(self) -> None:
        _log.exception("a slot of %s has raised; the run goes on", self.name)


def _in_loop(slot: Callable[..., Any]) -> Callable[..., None]:
    """psygnal's own queue for asyncio is not for other threads than that of the loop. BadArgument without a loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError as error:
        reason = "it would be awaited in the asyncio loop that runs now, and none does: connect it in a coroutine"
        raise BadArgument("slot", slot, reason) from error
    tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them weakly

    async def watched(*args: Any) -> None:
        try:
            await slot(*args)
        except Exception:
            _log.exception("a slot that was awaited has raised; the run goes on")

    def begin(*args: Any) -> None:
        task = loop.create_task(watched(*args))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    @wraps(slot)
    def call(*args: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(begin, *args)

    call.awaits = slot  # type: ignore[attr-defined]
    return call
