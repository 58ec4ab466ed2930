"""clusterd-web: what may be changed, and who may."""

import json

import pytest

from harness import wait_until
from webs import TOKEN, needs_web

pytestmark = needs_web


@pytest.fixture
def served(box, webs):
    box.web()
    d = box.start()
    d.wait_ready(2)
    return d, webs(token=TOKEN)


def test_nothing_without_a_token_file(box, webs):
    box.web()
    box.start().wait_ready(2)
    web = webs()
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        for path in ("/", "/action", "/status.json", "/metrics"):
            status, headers, _ = web.request(method, path)
            assert (status, headers["Allow"]) == (405, "GET, HEAD"), \
                (method, path)
    assert web.get("/action")[0] == 404


def test_actions(served):
    d, web = served
    old = d.ready_pids()
    status, text = web.act(action="reload")
    assert (status, json.loads(text)["ok"]) == (200, True), text
    old = d.wait_replaced(old, 2)
    assert web.act(action="reload", app="web")[0] == 200
    old = d.wait_replaced(old, 2)
    assert web.act(action="restart", app="web", instance=1)[0] == 200
    wait_until(lambda: len(set(old) & set(d.ready_pids())) == 1, "one is new")
    assert web.act(action="scale", app="web", instances="+1")[0] == 200
    d.wait_ready(3)
    assert web.act(action="scale", app="web", instances=1)[0] == 200
    d.wait_ready(1)
    # What clusterd refuses it says.
    status, text = web.act(action="restart", app="none")
    said = json.loads(text)
    assert (status, said["ok"]) == (409, False)
    assert said["text"] == 'there is no app "none": there is web'


def test_wrong_token(served):
    d, web = served
    old = d.ready_pids()
    for token in (None, "", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(),
                  "x" * 4000):
        status, text = web.act(token=token, action="restart", app="web")
        assert status == 401 and "token" in text, token
    assert d.ready_pids() == old
    assert not d.find("asks for")


def test_other_origins(served):
    d, web = served
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"},
                    {"Origin": "http://127.0.0.1:1"},
                    {"Origin": "ftp://" + web.name},
                    {"Sec-Fetch-Site": "cross-site"},
                    {"Sec-Fetch-Site": "same-site"},
                    {"Sec-Fetch-Site": "none"}):
        status, text = web.act(headers=headers, action="restart", app="web")
        assert status == 403 and "origin" in text, headers
    assert not d.find("asks for")


def test_own_origin(served):
    _, web = served
    assert web.act(headers={"Origin": "http://" + web.name,
                            "Sec-Fetch-Site": "same-origin"},
                   action="restart", app="web")[0] == 200


def test_requests_that_are_none(served):
    d, web = served
    post = {"Authorization": "Bearer " + TOKEN,
            "Content-Type": "application/json"}
    for body, words in (
            ("", "no JSON object"), ("[]", "no JSON object"),
            ("{", "a string is missing"), ('{"action":"stop"}', "stop"),
            ('{"action":"signal","app":"web"}', "argument"),
            ('{"action":"reload"}x', "behind"),
            ('{"action":"reload","action":"reload"}', "twice"),
            ('{"action":"reload","force":1}', "unknown"),
            ('{"action":"scale","app":"web"}', "missing"),
            ('{"action":"scale","app":"web","instances":0}', "1 instance"),
            ('{"action":"restart","app":"web\\nstop"}', "backslash"),
            ('{"action":"restart stop"}', "no command|not a command")):
        status, _, text = web.request("POST", "/action", body, post)
        assert status == 400, (body, text)
        assert any(w in text for w in words.split("|")), (body, text)
    assert web.request("POST", "/action", "{" + " " * 2000, post)[0] == 413
    assert web.request("POST", "/action", iter([b"{", b" " * 2000]),
                       post)[0] == 413      # in chunks
    assert web.request("POST", "/action", '{"action":"reload"}',
                       {**post, "Content-Type": "text/plain"})[0] == 415
    assert web.get("/action")[0] == 405
    assert web.request("POST", "/", "{}", post)[0] == 405
    assert not d.find("asks for")
