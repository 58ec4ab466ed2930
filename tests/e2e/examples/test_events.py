"""examples/events: the commands for `on_event`, with receivers that stand in."""

import http.server
import json
import os
import shutil
import threading

import pytest

from harness import IS_ROOT, ROOT, kill, wait_until

ME = {"on_event_user": "root"} if IS_ROOT else {}


def begin(box, script, argument, env=None, **keys):
    path = box.copy(os.path.join(ROOT, "examples/events", script))
    box.web(clusterd={"on_event": f"{path} {argument}", **ME}, instances=1,
            **keys)
    d = box.start(env=env)
    (pid,) = d.wait_ready(1)
    return d, pid


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_webhook(box):
    """It tries again where the receiver is not well, and posts what is wrong
    alone."""
    posted = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((self.path, self.headers["Content-Type"],
                           json.loads(body)))
            self.send_response(503 if len(posted) == 1 else 204)
            self.end_headers()

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        d, pid = begin(box, "webhook.sh",
                       f"http://127.0.0.1:{server.server_port}/hook")
        kill(pid)
        wait_until(lambda: len(posted) == 2, "the second try")
        d.stop()
    finally:
        server.shutdown()
        server.server_close()
    assert posted[0] == posted[1]
    path, kind, event = posted[0]
    assert (path, kind) == ("/hook", "application/json")
    assert (event["event"], event["app"], event["pid"]) == ("death", "web",
                                                            pid)
    assert not d.find("warning on_event")


def test_webhook_that_nobody_answers_is_told(box):
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    d, pid = begin(box, "webhook.sh", "no-such-scheme://x")
    kill(pid)
    d.wait_log("on_event: death: curl: .*no-such-scheme")
    d.wait_log("on_event: death: exited with code 1")
    d.stop()


def test_mail(box):
    box.write("sendmail", f"#!/bin/sh\n{{ echo $*; cat; }} >{box.dir}/new\n"
              f"mv {box.dir}/new {box.dir}/mail\n", 0o755)
    d, pid = begin(box, "mail.sh", "ops@example.org",
                   env={"PATH": f"{box.dir}:{os.environ['PATH']}"},
                   restart_limit="1/60s", restart_delay="1ms")
    kill(pid)
    wait_until(lambda: os.path.exists(box.path("mail")) or kill_next(d),
               "a mail")
    with open(box.path("mail")) as f:
        arguments, *headers = f.read().splitlines()
    assert arguments == "-i -- ops@example.org"
    end = headers.index("")
    assert headers[0] == "To: ops@example.org"
    assert headers[1] == f"Subject: clusterd on {os.uname().nodename}: " \
        "web parked"
    (body,) = headers[end + 1:]
    assert json.loads(body)["event"] == "parked"
    assert not d.find("warning on_event")
    # It was the last app: that is told before the end.
    d.wait_end(1)


def kill_next(d):
    """Until there are so many deaths that it is parked."""
    for pid in d.ready_pids():
        kill(pid)
