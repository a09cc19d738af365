"""Tokens: from which files they are taken, and when one is needed."""

import os
from pathlib import Path

import pytest

from multiprocesstools.errors import BadArgument
from multiprocesstools.tasks.token import is_loopback, is_same, read_token, required

TOKEN = "0123456789abcdefXYZ"


def write(path: Path, content: str = TOKEN, mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


def test_a_token_is_one_line_of_a_private_file(tmp_path: Path) -> None:
    assert read_token(write(tmp_path / "token", f" {TOKEN}\n")) == TOKEN


def test_a_file_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match=r"none': it cannot be read \(No such file.*umask 077"):
        read_token(tmp_path / "none")


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644])
def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(BadArgument, match=f"mode {mode:04o}.*chmod 600") as caught:
        read_token(write(tmp_path / "token", mode=mode))
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("content", ["", "short", "two\nlines of a token", "ä" * 20, "x" * 5000])
def test_what_is_no_token_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(BadArgument, match="one line of 16 to"):
        read_token(write(tmp_path / "token", content))


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(BadArgument, match="no regular file"):
        read_token(tmp_path / "pipe")


def test_only_the_same_token_is_the_same() -> None:
    assert is_same(TOKEN, f"Bearer {TOKEN}")
    assert not any(
        is_same(TOKEN, said) for said in ("", TOKEN, f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer \udcff")
    )


def test_loopback_needs_no_token_and_all_else_does(tmp_path: Path) -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "localhost.example.org", "")))
    assert required("127.0.0.1", None) is None
    assert required("0.0.0.0", write(tmp_path / "token")) == TOKEN
    with pytest.raises(BadArgument, match=r"other machines can reach '0.0.0.0'.*mode 0600"):
        required("0.0.0.0", None)
