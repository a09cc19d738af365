"""The example of the original document: how well each of 48 subjects predicts each of 47 others.

Corrected where it cannot work: its `update_results` indexes an array with subscripts that count from 1, so that the
last row and column are outside and all others are one off; and it reads `cur_res["result"]`, which its worker, who
returns "auc", "nss" and "kl", never sets. (Its third argument for the base class is the ident here.)
"""

from pathlib import Path
from typing import Any

import numpy
import pytest

from multiprocesstools import tasks
from tests.tasks.stores import QUICK


class ISTaskStore(tasks.TaskStore):
    def __init__(self, partitions: int = 100, ind: Any = None, filename: str | None = None) -> None:
        tasks.TaskStore.__init__(self, partitions, ind, None)
        self.num_tasks = 48 * 47
        self.results = numpy.nan * numpy.ones((48, 47))

    def get(self, index: int | None, predicting: int, predicted: int) -> dict[str, Any]:
        if index is None:
            index = self.sub2ind(predicting, predicted)
        return {"index": index, "predicting": predicting, "predicted": predicted}

    def sub2ind(self, predicting: int, predicted: int) -> int:
        return tasks.sub2ind((predicting, predicted), (48, 47))

    def ind2sub(self, index: int) -> tuple[int, ...]:
        return tasks.ind2sub(index, (48, 47))

    def update_results(self, task_index: list[int], task_results: list[dict[str, Any]]) -> None:
        for result in task_results:
            predicting, predicted = self.ind2sub(result["index"])
            self.results[predicting - 1, predicted - 1] = result["auc"]


class ISWorker(tasks.Worker):
    def setup(self) -> None:
        self.data = numpy.random.default_rng(0).random((48, 10))

    def compute(self, index: int, task_description: dict[str, Any]) -> dict[str, Any]:
        predicted, predicting = task_description["predicted"], task_description["predicting"]
        score = float(self.data[predicting - 1] @ self.data[predicted - 1])
        return {"index": index, "auc": score, "nss": 2 * score, "kl": -score} | task_description


def test_the_store_is_that_of_the_document() -> None:
    store = ISTaskStore()
    assert store.get(None, 1, 1) == {"index": 0, "predicted": 1, "predicting": 1}
    assert store.get(None, 2, 1) == {"index": 47, "predicted": 1, "predicting": 2}
    assert list(ISTaskStore(ind=[1, 2, 3])) == [
        (1, {"index": 1, "predicting": 1, "predicted": 2}),
        (2, {"index": 2, "predicting": 1, "predicted": 3}),
        (3, {"index": 3, "predicting": 1, "predicted": 4}),
    ]
    assert len(list(store)) == 48 * 47 and len(list(store.partition())) == 100


def test_its_scores_are_computed_and_each_stands_in_its_cell(tmp_path: Path) -> None:
    store = ISTaskStore()
    manager = tasks.TaskManager(store, tmp_path, **QUICK)
    assert str(manager.status()).splitlines()[0] == "100 Jobs are still waiting for execution"
    worker = ISWorker(tmp_path, ISTaskStore(), progress=False)
    assert worker.run().tasks == 48 * 47
    assert str(manager.collect()).splitlines()[2] == "100 Jobs are done"
    expected = worker.data @ worker.data[:47].T
    numpy.testing.assert_allclose(store.results, expected)


def test_what_the_document_does_is_an_error_in_its_own_words() -> None:
    """So that the corrections are not made for nothing."""
    store = ISTaskStore()
    with pytest.raises(IndexError):
        store.results[store.ind2sub(48 * 47 - 1)] = 1.0
    with pytest.raises(KeyError, match="result"):
        {"index": 0, "auc": 0.5, "nss": 1.0, "kl": 0.1}["result"]
