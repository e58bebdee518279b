"""The promise: the server answers its own page on its own machine, whoever has the token, and says no in a sentence."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import torch

from pellucid.errors import ArgumentError, DataError
from pellucid.web import server
from pellucid.web.opened import Item, Opened, Taking
from pellucid.web.questions import QUESTIONS, Answer, Question
from pellucid.web.see import serve


class Served(NamedTuple):
    opened: Opened
    port: int
    token: str

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        host: str | None = None,
        token: str | None = None,
        **headers: str,
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON or text, and headers. ``token=""`` gives none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        given = self.token if token is None else token
        own = {"Host": host or f"127.0.0.1:{self.port}"} | ({"Authorization": f"Bearer {given}"} if given else {})
        connection.request(method, path, body, own | {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        content = answer.read().decode()
        connection.close()
        kind = answer.getheader("content-type", "")
        return answer.status, json.loads(content) if kind == "application/json" else content, dict(answer.getheaders())

    def question(self, name: str, **parameters: Any) -> tuple[int, Any, dict[str, str]]:
        """The one line that comes of one question."""
        status, text, headers = self.ask("/ask", "POST", json.dumps([[name, parameters]]))
        return status, json.loads(text)["answer"] if status == 200 else text, headers


@pytest.fixture
def served(reader: Opened) -> Iterator[Served]:
    def read(name: str, content: bytes) -> list[Item]:
        if content == b"strange":
            raise DataError(f"{name}: this is strange")
        if content == b"broken":
            raise KeyError("a mistake of ours")
        return [Item(f"{name} {len(content)}", torch.zeros(1, 8, 8), (torch.zeros(1, 1, 8, 8),))]

    reader.takes = Taking(read, (".png",))
    page = serve(reader)
    address, token = page.url.split("#token=")
    yield Served(reader, int(address.rstrip("/").rpartition(":")[2]), token)
    page.close()


def test_whoever_has_the_token_is_answered(served: Served) -> None:
    status, answer, _ = served.question("overview")
    assert status == 200
    assert answer["title"] == "reader"


@pytest.mark.parametrize("token", ["", "wrong", "é"])
@pytest.mark.parametrize(
    ("path", "method"), [("/ask", "POST"), ("/ask/overview", "GET"), ("/items?name=a.png", "POST"), ("/ask/%2e", "GET")]
)
def test_without_the_token_nothing_is_answered_or_taken(served: Served, path: str, method: str, token: str) -> None:
    before = len(served.opened.items)
    status, answer, _ = served.ask(path, method, b"x" if method == "POST" else None, token=token)
    assert status == 401
    assert "token is missing or wrong" in answer["error"]
    assert len(served.opened.items) == before


def test_the_token_is_long_and_another_each_time(reader: Opened, served: Served) -> None:
    page = serve(reader)
    other = page.url.split("#token=")[1]
    page.close()
    assert other != served.token
    assert len(other) >= 32


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost.", ""]
)
def test_a_request_to_another_name_is_refused(served: Served, host: str) -> None:
    """A name of another site may be pointed at the loopback address (DNS rebinding); the page's own files are refused, too."""
    for path in ("/ask/overview", "/"):
        status, answer, _ = served.ask(path, host=host.format(port=served.port) or " ")
        assert status in (400, 403), path
        assert status == 400 or "its own machine only" in answer["error"]


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "localhost:9999"])
def test_the_own_machine_has_two_names_and_tunnels_other_ports(served: Served, host: str) -> None:
    own = host.format(port=served.port)
    for headers in ({}, {"Origin": f"http://{own}"}):
        assert served.ask("/ask", "POST", '[["overview", {}]]', host=own, **headers)[0] == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:1", "null", "http://127.0.0.1:{port}.evil.example"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_another_page_may_not_ask(served: Served, origin: str, method: str) -> None:
    for path in ("/ask", "/items?name=a.png"):
        status, answer, headers = served.ask(path, method, Origin=origin.format(port=served.port))
        assert status == 403
        assert "another page" in answer["error"]
        assert not any(name.lower().startswith("access-control") for name in headers)


@pytest.mark.parametrize(
    "path",
    ["/../server.py", "/..%2fserver.py", "/%2e%2e/server.py", "//etc/passwd", "/%2fetc%2fpasswd", "/..\\server.py", "/app.js/../../server.py", "/%00"],
)  # fmt: skip
def test_no_path_leads_out_of_the_page(served: Served, path: str) -> None:
    status, content, _ = served.ask(path, token="")
    assert status in (400, 404, 405)
    assert "import" not in str(content)
    assert "root:" not in str(content)


def test_every_answer_has_the_headers_that_keep_it_in(served: Served) -> None:
    """Nothing from elsewhere is loaded, only notebooks of this machine may frame it, nothing is kept or told on."""
    asked = (("POST", "/ask", "[]", 400), ("POST", "/ask", '[["overview", {}]]', 200))
    files = (("GET", path, None, 404 if path == "/nowhere" else 200) for path in ("/", "/app.js", "/nowhere"))
    for method, path, body, status in (*asked, *files):
        found, _, headers = served.ask(path, method, body)
        assert found == status
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"].split() == ["'self'", *server.NOTEBOOKS.split()]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ('["nothing", {}]', "there is no question 'nothing'; there are overview"),
        ('["layers", {}]', "layers: network: field required"),
        ('["layers", {"network":"reader","item":99}]', "item 99 does not exist; there are 3"),
        ('["layers", {"network":"no","item":0}]', "there is no network 'no'; there are reader"),
        ('["layers", {"network":"reader","item":"0"}]', "item: input should be a valid integer"),
        ('["layers", {"network":"reader","item":1e99}]', "item: input should be a valid integer"),
        ('["layers", {"network":"reader","item":0,"more":1}]', "more: extra inputs are not permitted"),
        ('["thumbnails", {"first":0,"count":1000000000}]', "count is 1000000000; give 1 to 32"),
        ('["answer", {"network":"reader","item":-1}]', "item -1 does not exist"),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(served: Served, asked: str, words: str) -> None:
    """And the questions beside it are answered."""
    status, text, _ = served.ask("/ask", "POST", f'[["overview", {{}}], {asked}, ["overview", {{}}]]')
    before, failed, after = map(json.loads, text.splitlines())
    assert status == 200
    assert words in failed["error"]
    assert before == after
    assert before["answer"]["title"] == "reader"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[" * 20000, "no JSON"),
        ("{}", "no list of up to 200 names"),
        ("[]", "no list of up to 200 names"),
        ('[["overview"]]', "no list of up to 200 names"),
        ('[["overview", []]]', "no list of up to 200 names"),
        ('[[{}, "overview"]]', "no list of up to 200 names"),
        (json.dumps([["overview", {}]] * 201), "no list of up to 200 names"),
    ],
)
def test_what_are_no_questions_is_a_sentence(served: Served, body: str, words: str) -> None:
    status, answer, _ = served.ask("/ask", "POST", body)
    assert status == 400
    assert words in answer["error"]


def test_an_answer_does_not_wait_for_those_after_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves once it is there; they come in the order in which they were asked."""
    let_go = threading.Event()

    class Long(Question):
        def answer(self, opened: Opened) -> Answer:
            return {"waited": let_go.wait(20)}

    monkeypatch.setitem(QUESTIONS, "long", Long)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    own = {"Authorization": f"Bearer {served.token}"}
    connection.request("POST", "/ask", '[["overview", {}], ["long", {}], ["layers", {}]]', own)
    response = connection.getresponse()
    assert json.loads(response.readline())["answer"]["title"] == "reader"
    let_go.set()
    assert json.loads(response.readline()) == {"answer": {"waited": True}}
    assert "field required" in json.loads(response.readline())["error"]
    assert response.readline() == b""
    connection.close()


def test_a_mistake_of_ours_is_a_sentence_too(served: Served) -> None:
    status, answer, _ = served.ask("/items?name=a.png", "POST", b"broken")
    assert status == 500
    assert answer["error"] == "this could not be computed (KeyError: 'a mistake of ours'); please report it"


def test_a_file_becomes_an_item(served: Served) -> None:
    status, answer, _ = served.ask("/items?name=" + quote("../내 파일.png"), "POST", b"12345")
    assert (status, answer) == (200, {"item": 3, "count": 1})
    assert served.opened.items[3].name == "../내 파일.png 5"
    assert served.ask("/items?name=a.png", "POST", b"strange")[:2] == (400, {"error": "a.png: this is strange"})
    served.opened.takes = None
    assert "nothing can be given here" in served.ask("/items?name=a.png", "POST", b"1")[1]["error"]


def test_there_is_room_for_so_many_items(served: Served) -> None:
    served.opened.items[:] = served.opened.items[:1] * 512
    status, answer, _ = served.ask("/items?name=a.png", "POST", b"1")
    assert status == 400
    assert answer["error"].startswith("512 inputs are open")


def test_a_large_file_is_refused_before_it_has_come(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it says of its size, and, where it says nothing, once too much has come; memory stays free."""
    monkeypatch.setattr(server, "LARGEST", 2**20)
    status, answer, _ = served.ask("/items?name=a.png", "POST", b"", Content_Length=str(2**40))
    assert status == 413
    assert "larger than 1 MB" in answer["error"]
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as raw:
        raw.sendall(
            f"POST /items?name=a.png HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {served.token}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        sent = 0
        try:
            while sent < 2**26:  # an endless stream
                raw.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
                sent += 2**16
        except OSError:
            pass  # the server has closed the door
        assert sent < 2**26
    assert len(served.opened.items) == 3
    assert served.question("overview")[0] == 200


def test_it_listens_on_the_loopback_address_alone(served: Served) -> None:
    """Every address of 127.0.0.0/8 is this machine's, and only the one that it is bound to answers."""
    for address in ("127.0.0.2", socket.gethostbyname(socket.gethostname())):
        if address != "127.0.0.1":
            with pytest.raises(OSError), socket.create_connection((address, served.port), timeout=2):  # noqa: PT011
                pass


def test_a_port_that_is_taken_or_is_none(served: Served) -> None:
    for port, words in (
        (served.port, f"port {served.port} cannot be used"),
        (70000, "port is 70000"),
        (-1, "port is -1"),
    ):
        with pytest.raises(ArgumentError, match=words):
            serve(served.opened, port)


def test_small_answers_do_not_wait_for_acknowledgements(served: Served) -> None:
    """On one connection, as a browser asks: where parts wait for the one before, none comes in less than 40 ms (Nagle, delayed
    acknowledgements)."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        connection.request("POST", "/ask", json.dumps([["overview", {}]]), {"Authorization": f"Bearer {served.token}"})
        assert connection.getresponse().read()
        times.append(time.perf_counter() - start)
    connection.close()
    assert min(times[5:]) < 0.035


def test_a_long_question_blocks_neither_files_nor_another(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, go = threading.Event(), threading.Event()

    class Long(Question):
        def answer(self, opened: Opened) -> Answer:
            waiting.set()
            go.wait(20)
            return {"done": True}

    monkeypatch.setitem(QUESTIONS, "long", Long)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(served.question("long")[1]))
    asking.start()
    assert waiting.wait(20)
    started = time.perf_counter()
    assert served.ask("/app.js")[0] == 200
    assert served.question("overview")[0] == 200
    took = time.perf_counter() - started
    assert not answers
    go.set()
    asking.join(20)
    assert answers == [{"done": True}]
    assert took < 10


def test_questions_at_the_same_time_have_their_own_answers(served: Served) -> None:
    """What is asked of three items by eight at a time is what is asked of each alone."""
    wanted = {k: served.question("answer", network="reader", item=k)[1] for k in range(3)}
    assert wanted[0] != wanted[1]
    served.opened._passes.clear()
    found: list[tuple[int, Any]] = []

    def ask(k: int) -> None:
        found.append((k, served.question("answer", network="reader", item=k)[1]))

    threads = [threading.Thread(target=ask, args=(k % 3,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert all(wanted[k] == answer for k, answer in found)
