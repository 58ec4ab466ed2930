"""What a worker can write to clusterd's log by what it binds."""

import re
import sys

from harness import free_port, wait_until

BINDS = """
import contextlib, socket, sys, time
port, times = int(sys.argv[1]), int(sys.argv[2])
for _ in range(times):
    with socket.socket() as s, contextlib.suppress(OSError):
        s.bind(("127.0.0.1", port))
time.sleep(600)
"""


def test_lines_that_a_worker_brings_about_are_counted(box):
    port = free_port()
    script = box.write("worker.py", BINDS)
    box.web(command=f"{sys.executable} {script} {port} 300",
            listen=f"[::1]:{port}", instances=1, ready="alive:10ms",
            handoff="adopt", stop_timeout="1s")
    d = box.start()

    def told():
        lines = len(d.find(r"web\[0\] pid \d+: asks for [^\n]*: refused"))
        left_out = [int(m[1]) for m in d.find(
            r"web: (\d+) more lines such as \"asks for [^\n]* left out")]
        return lines, sum(left_out)
    wait_until(lambda: sum(told()) == 300, told, 30)
    lines, left_out = told()
    times = re.findall(r"^\S+ (\d+:\d+:\d+)\.\d+ .* refused$", d.log(), re.M)
    assert lines <= 20 * (len(set(times)) + 1) and left_out > 0, times
    d.stop()
