"""What can go wrong, by whose act it was. Errors carry facts as attributes, render them, and survive pickling.

"Not claimed" is an answer and not an error; an exception in the user's own work is never replaced by one of these.
"""

from multiprocesstools.errors.base import MisuseError, MultiProcessError, RunError, WorkError
from multiprocesstools.errors.misuse import (
    AlreadyHeld,
    BadArgument,
    BadName,
    DuplicateFinal,
    ExecutorUnusable,
    ForkedLoop,
    HelperClosed,
    ItemGivenBack,
    ItemNotEntered,
    LoopEnded,
    NoSources,
    NotHeld,
    check_choice,
)
from multiprocesstools.errors.run import (
    AlreadyCollecting,
    ChunksDiffer,
    ClaimLost,
    FinalOfAnotherKind,
    LimitDiffers,
    ListChanged,
    NewerFormat,
    NoResult,
    NotResults,
    ParametersDiffer,
    RunDirectoryUnusable,
    ServerRefused,
    ServerUnreachable,
    SettingsDiffer,
    SeveralItems,
    StoresDiffer,
    UnknownItem,
    UnsafeFilesystem,
)
from multiprocesstools.errors.work import (
    CannotSave,
    FunctionFailed,
    FunctionWroteNothing,
    ItemFailed,
    LeaseExpired,
    LockTimeout,
    MarkedFailed,
    NothingWritten,
    OutOfTime,
    PoolBroken,
    RemoteFailure,
    StopRequested,
    TaskFailed,
    TooManyFailures,
    WorkerDied,
)

TYPE_CHECKING = False  # what type checkers take for true

if TYPE_CHECKING:
    from multiprocesstools.errors.steps import (
        AnotherProtocol,
        BadStep,
        CannotRunHere,
        CyclicSteps,
        DuplicateStep,
        FilesMissing,
        SessionReplaced,
        StepExited,
        StepFailed,
        StepsDiffer,
        StepsMisuse,
        StepTakenOver,
        UnknownStep,
    )

__all__ = [
    "AlreadyCollecting",
    "AlreadyHeld",
    "AnotherProtocol",
    "BadArgument",
    "BadName",
    "BadStep",
    "CannotRunHere",
    "CannotSave",
    "ChunksDiffer",
    "ClaimLost",
    "CyclicSteps",
    "DuplicateFinal",
    "DuplicateStep",
    "ExecutorUnusable",
    "FilesMissing",
    "FinalOfAnotherKind",
    "ForkedLoop",
    "FunctionFailed",
    "FunctionWroteNothing",
    "HelperClosed",
    "ItemFailed",
    "ItemGivenBack",
    "ItemNotEntered",
    "LeaseExpired",
    "LimitDiffers",
    "ListChanged",
    "LockTimeout",
    "LoopEnded",
    "MarkedFailed",
    "MisuseError",
    "MultiProcessError",
    "NewerFormat",
    "NoResult",
    "NoSources",
    "NotHeld",
    "NotResults",
    "NothingWritten",
    "OutOfTime",
    "ParametersDiffer",
    "PoolBroken",
    "RemoteFailure",
    "RunDirectoryUnusable",
    "RunError",
    "ServerRefused",
    "ServerUnreachable",
    "SessionReplaced",
    "SettingsDiffer",
    "SeveralItems",
    "StepExited",
    "StepFailed",
    "StepTakenOver",
    "StepsDiffer",
    "StepsMisuse",
    "StopRequested",
    "StoresDiffer",
    "TaskFailed",
    "TooManyFailures",
    "UnknownItem",
    "UnknownStep",
    "UnsafeFilesystem",
    "WorkError",
    "WorkerDied",
    "check_choice",
]


def __getattr__(name: str) -> object:
    """Errors of a wing are loaded by those who enter it."""
    if name.startswith("_") or name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.steps"), name)
