"""optuna's journal file: a study whose trials are the items, enqueued before, asked for and told of by each worker."""

from typing import Any

from scripts.bench_files.job import Contestant, Job

CONTESTANTS = (
    Contestant(
        "optuna", "optuna, journal file", "optuna", "floor-sync", {}, "optuna", ("optuna", "optuna.storages.journal"),
        remark="the list is filled before; outputs written in place; one lock for all; fsync of the journal only; "
        "each worker reads the whole journal",
    ),
)  # fmt: skip


def fill(job: Job) -> None:
    study = _study(job)
    for index in range(job.items):
        study.enqueue_trial({}, user_attrs={"item": index})


def work(job: Job) -> None:
    from optuna.trial import TrialState

    study = _study(job)
    while True:
        trial = study.ask()
        index = trial.user_attrs.get("item")
        if index is None:
            study.tell(trial, state=TrialState.FAIL)
            return
        job.produce(job.output(index), index)
        study.tell(trial, 0.0)


def _study(job: Job) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.JournalStorage(JournalFileBackend(f"{job.directory}/journal.log"))
    return optuna.create_study(study_name="bench", storage=storage, load_if_exists=True)
