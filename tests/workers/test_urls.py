"""Inputs and outputs of processes by URL: file:// and http over loopback."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from multiprocesstools.workers import urls
from multiprocesstools.workers.urls import UrlProcess
from tests.workers.scripts import ENV, run_all, write_script

COUNT = """
    from multiprocesstools.workers.script import run
    def handler(data):
        return {"report": f"{data['who']} counts {len(data['volume'])}", "bytes": len(data["volume"])}
    run(handler)
"""


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    files: dict[str, bytes] = {"/volume.raw": bytes(100_000)}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path)
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def do_PUT(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                data = b""
                while size := int(self.rfile.readline(), 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
            else:
                data = self.rfile.read(int(self.headers["Content-Length"]))
            files[self.path] = data
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}", files
        finally:
            httpd.shutdown()
            thread.join()


def test_an_input_comes_from_a_file_url_and_an_output_goes_to_one(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("text")
    script = write_script(tmp_path, "#!/bin/sh\ntr a-z A-Z\n")
    target = tmp_path / "new" / "folder" / "out.txt"
    process = UrlProcess(script, inputs=f"file://{tmp_path}/in.txt", outputs=f"file://{target}")
    assert run_all([process]) == ["Completed"], process.error
    assert target.read_text() == "TEXT"
    assert [path.name for path in target.parent.iterdir()] == ["out.txt"]


def test_values_come_from_http_and_go_to_http_and_to_files(
    tmp_path: Path, server: tuple[str, dict[str, bytes]]
) -> None:
    url, files = server
    script = write_script(tmp_path, COUNT)
    outputs = {"report": f"{url}/report.txt"}
    process = UrlProcess(script, {"who": "me"}, inputs={"volume": f"{url}/volume.raw"}, outputs=outputs, env=ENV)
    assert run_all([process]) == ["Completed"], process.error
    assert files["/report.txt"] == b"me counts 100000"
    assert process.output == {"bytes": 100_000}


def test_a_server_that_does_not_answer_is_a_failed_process_and_no_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urls, "_SILENT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/volume"
        process = UrlProcess(write_script(tmp_path, COUNT), inputs=url, env=ENV)
        assert run_all([process]) == ["Failed"]
    assert str(process.error) == f"timeout: no answer from {url}"


def test_what_is_not_there_and_what_is_not_given_is_a_failed_process(
    tmp_path: Path, server: tuple[str, dict[str, bytes]]
) -> None:
    script = write_script(tmp_path, COUNT)
    known = {"who": "me", "volume": b""}
    cases = [
        UrlProcess(script, known, inputs={"volume": f"file://{tmp_path}/nowhere"}, env=ENV),
        UrlProcess(script, known, inputs={"volume": f"{server[0]}/nowhere"}, env=ENV),
        UrlProcess(script, known, inputs={"volume": "nothing://nowhere"}, env=ENV),
        UrlProcess(script, known, outputs={"picture": f"file://{tmp_path}/out"}, env=ENV),
        UrlProcess(script, known, outputs={"bytes": f"file://{tmp_path}/out"}, env=ENV),
    ]
    assert run_all(list(cases)) == ["Failed"] * 5
    words = ["nowhere", "nowhere", "nothing", "no 'picture'", "type int"]
    assert [word in str(case.error) for word, case in zip(words, cases, strict=True)] == [True] * 5
    assert not (tmp_path / "out").exists()
