"""What can go wrong, by whose act it was. Errors carry facts as attributes, render them, and survive pickling.

"Not claimed" is an answer and not an error; an exception in the user's own work is never replaced by one of these.
"""

from multiprocesstools.errors.base import MisuseError, MultiProcessError, RunError, WorkError
from multiprocesstools.errors.misuse import (
    BadArgument,
    BadName,
    DuplicateFinal,
    ForkedLoop,
    HelperClosed,
    ItemGivenBack,
    ItemNotEntered,
    LoopEnded,
    NoSources,
    check_choice,
)
from multiprocesstools.errors.run import (
    ChunksDiffer,
    ClaimLost,
    FinalOfAnotherKind,
    ListChanged,
    NewerFormat,
    NoResult,
    ParametersDiffer,
    RunDirectoryUnusable,
    SettingsDiffer,
    SeveralItems,
    UnknownItem,
    UnsafeFilesystem,
)
from multiprocesstools.errors.work import (
    ItemFailed,
    MarkedFailed,
    NothingWritten,
    OutOfTime,
    StopRequested,
    TooManyFailures,
)

__all__ = [
    "BadArgument",
    "BadName",
    "ChunksDiffer",
    "ClaimLost",
    "DuplicateFinal",
    "FinalOfAnotherKind",
    "ForkedLoop",
    "HelperClosed",
    "ItemFailed",
    "ItemGivenBack",
    "ItemNotEntered",
    "ListChanged",
    "LoopEnded",
    "MarkedFailed",
    "MisuseError",
    "MultiProcessError",
    "NewerFormat",
    "NoResult",
    "NoSources",
    "NothingWritten",
    "OutOfTime",
    "ParametersDiffer",
    "RunDirectoryUnusable",
    "RunError",
    "SettingsDiffer",
    "SeveralItems",
    "StopRequested",
    "TooManyFailures",
    "UnknownItem",
    "UnsafeFilesystem",
    "WorkError",
    "check_choice",
]
