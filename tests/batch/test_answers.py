"""What the four batch systems answer, and what it means.

A fake talks in place of the programs. The answers of Slurm and Grid Engine were recorded from labs (22.05.8, SGE 8.1.9)
and varied; that of PBS is one of PBS Professional 2022, as the documentation of PSI/J shows it, varied; those of LSF
are written by IBM's documentation of LSF 10.1.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.batch import gridengine, lsf, pbs, slurm
from multiprocesstools.batch.command import Answer, NoAnswer
from multiprocesstools.batch.system import Words
from multiprocesstools.claims.identity import Job
from multiprocesstools.claims.peers import COMING, Word

HOSTILE = ["", "-1", "0", "1;id", "1,2", "--help", "1 2", "1\n2", "@host", "1@host", "../1", "\u0661", "1" * 20]


class Talk:
    """Says what was recorded, by the name of the program, and keeps what was asked."""

    def __init__(self, **answers: str | Answer) -> None:
        self.answers, self.asked = answers, []  # type: ignore[var-annotated]

    def __call__(self, program: str, *arguments: str) -> Answer:
        self.asked.append((program, *arguments))
        answer = self.answers.get(program)
        if answer is None:
            raise NoAnswer(f"there is no {program}")
        return answer if isinstance(answer, Answer) else Answer(0, answer)


def summary(words: Words) -> dict[str, str]:
    """What is known of a job, by its number and index: i interrupted, d died, ? no proof, … coming."""

    def brief(word: Word) -> str:
        return "…" if word.coming else ("i" if word.interrupted else "d") + ("" if word.proof else "?")

    return {f"{job.id} {job.index}".strip(): brief(word) for job, word in words.items()}


# -- Slurm

CONFIG = "Configuration data as of 2026-11-25\nClusterName             = lab\nCommunicationParameters = (null)\n"
SQUEUE = """\
1|1|N/A|CANCELLED
4|2|1|CANCELLED
3|2|0|RUNNING
2|2|2|COMPLETING
5|5|N/A|NODE_FAIL
6|6|N/A|FAILED
7|7|N/A|PENDING
8|8|[3-4]|PENDING
9|9|N/A|TIMEOUT
10|10|N/A|OUT_OF_MEMORY
11|11|N/A|REVOKED
12|12|N/A|SUSPENDED
13|13|N/A|TIMEOUT
13|13|N/A|RUNNING
14|14|N/A|COMPLETED
nonsense
15|15|N/A|TIMEOUT|RUNNING
"""


def slurm_job(number: str, index: str = "", cluster: str = "lab") -> Job:
    return Job("slurm", number, cluster, index)


def test_slurm_ends_exactly_the_job_that_it_says_is_over() -> None:
    talk = Talk(scontrol=CONFIG, squeue=SQUEUE)
    asked = [slurm_job(str(n)) for n in (1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 77)]
    arrays = [slurm_job("4", "1"), slurm_job("3", "0"), slurm_job("2", "2"), slurm_job("4", "2"), slurm_job("4")]
    said = slurm.ask([*asked, *arrays], talk)
    assert summary(said) == {
        "1": "i", "5": "i?", "6": "d", "9": "i", "10": "d", "14": "d", "4 1": "i", "2 2": "…",
    }  # fmt: skip
    assert said[slurm_job("9")].text == "job 9 on cluster lab ended: TIMEOUT"
    assert said[slurm_job("2", "2")] is COMING
    assert [question[0] for question in talk.asked] == ["scontrol", "squeue", "sacct"]


def test_slurm_of_another_cluster_is_not_even_asked() -> None:
    talk = Talk(scontrol=CONFIG, squeue=SQUEUE)
    assert slurm.ask([slurm_job("1", cluster="other"), slurm_job("1", cluster="")], talk) == {}
    assert talk.asked == [("scontrol", "show", "config")]
    assert summary(slurm.ask([slurm_job("1"), slurm_job("6", cluster="other")], talk)) == {"1": "i"}
    assert talk.asked[-1][-1] == "--jobs=1"


ACCOUNTS = (
    "1|1|lab|COMPLETED\n20|20|lab|CANCELLED by 1000\n22|21_3|lab|TIMEOUT\n23|23|other|TIMEOUT\n24|24|lab|REQUEUED\n"
)


@pytest.mark.parametrize(
    "unknown", [Answer(0, ""), Answer(1, "", "slurm_load_jobs error: Invalid job id specified\n")], ids=["many", "one"]
)
def test_what_slurm_has_forgotten_its_accounting_knows(unknown: Answer) -> None:
    forgotten = [slurm_job("20"), slurm_job("22", "3"), slurm_job("22"), slurm_job("23"), slurm_job("24")]
    assert summary(slurm.ask(forgotten, Talk(scontrol=CONFIG, squeue=unknown, sacct=ACCOUNTS))) == {
        "20": "i", "22 3": "i",
    }  # fmt: skip
    disabled = Answer(1, "", "Slurm accounting storage is disabled\n")
    assert slurm.ask(forgotten, Talk(scontrol=CONFIG, squeue=unknown, sacct=disabled)) == {}


def test_accounting_is_not_asked_about_a_job_that_slurm_knows() -> None:
    """Its database may still hold the end of a job that was requeued since."""
    talk = Talk(scontrol=CONFIG, squeue="1|1|N/A|RUNNING\n", sacct=ACCOUNTS)
    assert slurm.ask([slurm_job("1")], talk) == {}
    assert [question[0] for question in talk.asked] == ["scontrol", "squeue"]


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param({}, id="missing"),
        pytest.param({"scontrol": ""}, id="no cluster"),
        pytest.param({"scontrol": CONFIG}, id="no squeue"),
        pytest.param(
            {"scontrol": CONFIG, "squeue": Answer(1, SQUEUE, "Unable to contact slurm controller")}, id="down"
        ),
    ],
)
def test_a_slurm_that_does_not_answer_says_nothing(answers: dict[str, Any]) -> None:
    with pytest.raises(NoAnswer):
        slurm.ask([slurm_job("1")], Talk(**answers))


# -- Grid Engine

QSTAT = """<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>
    <job_list state="running">
      <JB_job_number>1</JB_job_number><JB_name>j.sh</JB_name><state>r</state><slots>1</slots>
    </job_list>
    <job_list state="running">
      <JB_job_number>2</JB_job_number><JB_name>j.sh</JB_name><state>r</state><slots>1</slots><tasks>2</tasks>
    </job_list>
  </queue_info>
  <job_info>
    <job_list state="pending">
      <JB_job_number>2</JB_job_number><JB_name>j.sh</JB_name><state>qw</state><slots>1</slots><tasks>4</tasks>
    </job_list>
  </job_info>
</job_info>
"""


def account(
    number: str, task: str, failed: str, status: str, end: str = "Wed Nov 25 20:57:05 2026", **more: str
) -> str:
    facts = {
        "qname": "all.q", "hostname": "vm", "owner": "root", "jobname": "j.sh", "jobnumber": number, "taskid": task,
        "end_time": end, "failed": failed, "exit_status": status,
    }  # fmt: skip
    return "=" * 62 + "\n" + "".join(f"{name:12} {value:20}\n" for name, value in (facts | more).items())


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "default" / "common").mkdir(parents=True)
    (tmp_path / "default" / "common" / "act_qmaster").write_text("vm\n")
    monkeypatch.setenv("SGE_ROOT", str(tmp_path))
    monkeypatch.delenv("SGE_CELL", raising=False)
    return "vm/default"


def test_grid_engine_ends_what_is_not_listed_and_has_a_record_of_its_end(cell: str) -> None:
    def job(number: str, task: str = "undefined", where: str = cell) -> Job:
        return Job("gridengine", number, where, task)

    killed = "137                  (Killed)"
    talk = Talk(
        qstat=QSTAT,
        qacct=account("2", "1", "100 : assumedly after job", killed)
        + account("2", "2", "0", "0")
        + account("2", "3", "25  : rescheduling", "0")
        + account("2", "5", "0", "0", "-/-"),
    )
    asked = [job("1"), *(job("2", str(task)) for task in (1, 2, 3, 5, 6)), job("2"), job("2", "1", "other/default")]
    said = gridengine.ask(asked, talk)
    assert summary(said) == {"2 1": "d"}
    assert said[job("2", "1")].text == (
        "job 2.1 on cluster vm/default ended: exit status 137, failed 100 : assumedly after job"
    )
    assert talk.asked == [("qstat", "-xml", "-g", "d", "-u", "*"), ("qacct", "-j", "2")]


def test_a_fork_that_writes_who_deleted_a_job_says_that_it_was_interrupted(cell: str) -> None:
    job = Job("gridengine", "3", cell, "")
    record = account("3", "undefined", "100 : assumedly after job", "137", deleted_by="root@vm")
    assert summary(gridengine.ask([job], Talk(qstat=QSTAT, qacct=record))) == {"3": "i"}
    assert gridengine.ask([job], Talk(qstat=QSTAT, qacct=Answer(1, "", "error: job id 3 not found\n"))) == {}
    assert gridengine.ask([job], Talk(qstat=QSTAT)) == {}


@pytest.mark.parametrize(
    "listed",
    ["", "job-ID  prior", QSTAT[:300], "<!DOCTYPE x><job_info></job_info>", QSTAT.replace(">1<", ">one<"), "<a></a>"],
    ids=["empty", "text", "torn", "entities", "no number", "another document"],
)
def test_a_qstat_that_nobody_understands_proves_nothing(cell: str, listed: str) -> None:
    with pytest.raises(NoAnswer):
        gridengine.ask(
            [Job("gridengine", "3", cell, "")], Talk(qstat=listed, qacct=account("3", "undefined", "0", "0"))
        )


def test_a_cell_that_is_unknown_here_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SGE_ROOT", raising=False)
    assert gridengine.ask([Job("gridengine", "3", "", "")], Talk()) == {}


# -- PBS

SERVER = "edtb-01.mcp.alcf.anl.gov"
QSTAT_JSON = {
    "timestamp": 1643013555,
    "pbs_version": "2022.0.0.20211103141832",
    "pbs_server": SERVER,
    "Jobs": {
        f"2154.{SERVER}": {
            "job_state": "F", "substate": 92, "Exit_status": 0,
            "comment": "Job run at Mon Jan 24 at 08:39 on (edtb-01[0]:ncpus=1) and finished",
        },
        f"2155.{SERVER}": {"job_state": "F", "substate": 93, "Exit_status": -29},
        f"2156.{SERVER}": {"job_state": "F", "substate": "91", "Exit_status": 271},
        f"2157.{SERVER}": {"job_state": "R", "substate": 42},
        f"2158[3].{SERVER}": {"job_state": "X", "substate": 92, "Exit_status": 1},
        f"2158[4].{SERVER}": {"job_state": "E", "substate": 51},
        f"2159.{SERVER}": {"job_state": "M", "substate": 94},
    },
}  # fmt: skip


def pbs_job(number: str, server: str = SERVER) -> Job:
    return Job("pbs", f"{number}.{server}", "", "")


def test_pbs_ends_exactly_the_job_of_its_own_server_and_is_told_no_server() -> None:
    numbers = ["2154", "2155", "2156", "2157", "2158[3]", "2158[4]", "2159", "2160"]
    talk = Talk(qstat=Answer(35, json.dumps(QSTAT_JSON), f"qstat: Unknown Job Id 2160.{SERVER}"))
    said = pbs.ask([*map(pbs_job, numbers), pbs_job("2154", "elsewhere")], talk)
    assert summary(said) == {
        f"2154.{SERVER}": "d", f"2155.{SERVER}": "i", f"2156.{SERVER}": "i", f"2158[3].{SERVER}": "d",
    }  # fmt: skip
    assert said[pbs_job("2155")].text == f"job 2155 on cluster {SERVER} ended: exit status -29, substate 93"
    assert talk.asked == [("qstat", "-x", "-f", "-F", "json", *numbers)]


@pytest.mark.parametrize("said", ["", "<Data></Data>", "[]", '{"Jobs": 1}', '{"Jobs": {"1.s": 2}}', "[" * 10**5])
def test_a_pbs_that_nobody_understands_proves_nothing(said: str) -> None:
    with pytest.raises(NoAnswer):
        pbs.ask([pbs_job("1")], Talk(qstat=said))
    assert pbs.ask([pbs_job("1")], Talk(qstat='{"timestamp": 1}')) == {}


# -- LSF

LSID = "IBM Spectrum LSF Standard 10.1.0.0\n\nMy cluster name is cluster1\nMy master name is hosta\n"
BJOBS = """\
123|0|DONE|-
124|0|EXIT|TERM_RUNLIMIT: job killed after reaching LSF run time limit
125|0|RUN|-
126|0|EXIT|TERM_MEMLIMIT: job killed after reaching LSF memory usage limit
127|4|EXIT|TERM_OWNER: job killed by owner
127|5|PEND|-
128|0|EXIT|TERM_FORCE_OWNER: job killed by owner without time for cleanup
129|0|UNKWN|-
130|0|EXIT|-
131|0|EXIT|-
131|0|RUN|-
Job <132> is not found
"""


def lsf_job(number: str, index: str = "0", cluster: str = "cluster1") -> Job:
    return Job("lsf", number, cluster, index)


def test_lsf_ends_exactly_the_job_that_it_says_is_over() -> None:
    talk = Talk(lsid=LSID, bjobs=Answer(255, BJOBS))
    asked = [lsf_job(str(number)) for number in range(123, 133)]
    arrays = [lsf_job("127", "4"), lsf_job("127", "5"), lsf_job("130", ""), lsf_job("123", "0", "other")]
    said = lsf.ask([*asked, *arrays], talk)
    assert summary(said) == {
        "123 0": "d", "124 0": "i", "126 0": "d", "127 4": "i", "128 0": "i?", "130 0": "d", "130": "d",
    }  # fmt: skip
    assert said[lsf_job("127", "4")].text == "job 127[4] on cluster cluster1 ended: EXIT (TERM_OWNER)"
    assert talk.asked[1][-2:] == ("131", "132")
    assert lsf.ask([lsf_job("123", cluster="")], talk) == {}


@pytest.mark.parametrize(
    "answers", [{}, {"lsid": "cannot connect"}, {"lsid": LSID}], ids=["none", "no name", "no bjobs"]
)
def test_an_lsf_that_does_not_answer_says_nothing(answers: dict[str, Any]) -> None:
    with pytest.raises(NoAnswer):
        lsf.ask([lsf_job("123")], Talk(**answers))


# -- what a record may put into a command


@pytest.mark.parametrize("number", HOSTILE)
def test_a_number_that_is_none_is_never_asked_about(number: str) -> None:
    for system in (slurm, gridengine, lsf):
        assert not system.is_valid(Job("x", number, "c", ""))
        assert system.is_valid(Job("x", "17", "c", "")) and system.is_valid(Job("x", "17", "c", "3"))
    assert not pbs.is_valid(Job("pbs", f"{number}.server", "", ""))
    assert not pbs.is_valid(Job("pbs", f"17[{number}].server", "", "")) or number == "0"


@pytest.mark.parametrize("server", ["", "-x", "a b", "a;b", "a/b", "a@b", "a\nb", ".x", "a" * 256])
def test_a_server_that_is_none_is_never_asked_about(server: str) -> None:
    assert not pbs.is_valid(Job("pbs", f"17.{server}", "", ""))
    assert pbs.is_valid(Job("pbs", "17[3].server-1.x", "", ""))


@pytest.mark.parametrize("index", HOSTILE[1:2] + HOSTILE[3:])
def test_an_index_that_is_none_is_never_asked_about(index: str) -> None:
    for system in (slurm, gridengine, lsf):
        assert not system.is_valid(Job("x", "17", "c", index))
