#!/usr/bin/python3
"""What checks of very many instances cost.

    python3 -B tests/bench/health.py [--instances N] [--seconds S]
        [--interval DURATION] [--kinds none,http:/,queue] [CLUSTERD]

One app of hello-server, with each of the kinds of `health`, one after the other:
once all are ready, and a first round of checks has passed, there is a line: how much
CPU clusterd took, in per cent of one; its longest turn by the clock, and without
what others had of the CPU; how many turns took more than 5 ms without that; and how
many turns there were. looptime.c measures those, which takes root or the like.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time

import chaos_look
from figures import ENV, ROOT, Bench, Trouble, await_exit, end
from turns import first, most, wait_log

LIMIT = 120
LONG = 5        # milliseconds


def run(bench, args, program, kind):
    path = bench.path("app.ini")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"[clusterd]\ncontrol = {path}.sock\n[web]\n"
                f"command = {bench.hello}\nlisten = 127.0.0.1:0\n"
                f"instances = {args.instances}\nhandoff = env\n"
                f"health = {kind}\nhealth_interval = {args.interval}\n")
    log = bench.path("log")
    with open(log, "wb") as f:
        # One process is looked at: there is none beside it.
        p = subprocess.Popen([program, "-c", path], stderr=f,
                             env=dict(ENV, CLUSTERD_KEEPER="no"),
                             preexec_fn=first)
    try:
        wait_log(log, "start complete", 1, p)
        time.sleep(args.seconds)
        looked = chaos_look.Turns(bench.path("turns"), p.pid, LONG, False)
        begin, cpu = time.monotonic(), chaos_look.cpu_seconds(p.pid)
        time.sleep(args.seconds)
        took = time.monotonic() - begin
        cpu = chaos_look.cpu_seconds(p.pid) - cpu
        looked.end()
        p.send_signal(signal.SIGTERM)
        await_exit(p.pid, LIMIT)
        p.wait()
    finally:
        end(p)
    if looked.why_not:
        raise Trouble(looked.why_not)
    print(f"{kind:12} {100 * cpu / took:8.2f} "
          f"{most(t[2] for t in looked.periods):8.1f} "
          f"{most(t[4] for t in looked.periods):8.1f} {len(looked.long):6} "
          f"{sum(t[1] for t in looked.periods):7}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--interval", default="10s")
    parser.add_argument("--kinds", default=["none", "http:/", "queue"],
                        type=lambda s: s.split(","))
    parser.add_argument("clusterd", nargs="?",
                        default=os.path.join(ROOT, "build/clusterd"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory, False)
        chaos_look.LOOPTIME = bench.compile("looptime", "looptime", [])
        print(f"{'health':12} {'CPU %':>8} {'wall':>8} {'ran ms':>8} "
              f"{'>5ms':>6} {'turns':>7}")
        for kind in args.kinds:
            run(bench, args, os.path.abspath(args.clusterd), kind)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as e:
        print(e, file=sys.stderr)
        sys.exit(2)
