"""What clusterd-web costs, itself and clusterd, and how it looks from a browser.

    /usr/bin/python3 tests/bench/web.py page [INSTANCES]...     (8 100 1000)
    /usr/bin/python3 tests/bench/web.py metrics
    /usr/bin/python3 tests/bench/web.py browser

`page`: of so many workers that sleep, without a page and with one: memory (PSS) and
CPU of both halves of clusterd-web, the CPU of clusterd, wake-ups, and bytes of an
update, for WEB_SECONDS (10) each. `metrics`: the slowest of 1000 scrapes of 200
workers. `browser`, where chromium, chromedriver and selenium are: the first paint, how
soon a death is on the page, and the times of frames while 500 workers are scrolled
through. From the environment: CLUSTERD, CLUSTERD_WEB and PROBE.
"""

import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
for name in ("clusterd", "probe", "binder"):
    os.environ.setdefault(name.upper(), os.path.abspath(
        os.path.join(HERE, "..", "..", "build", name)))

from harness import Box, kill, wait_until          # noqa: E402
from webs import Stream, Web                       # noqa: E402

SECONDS = float(os.environ.get("WEB_SECONDS", "10"))
FRAMES = """
const done = arguments[0], times = [], end = performance.now() + 4000;
let last = performance.now();
(function step(now) {
    times.push(now - last);
    last = now;
    scrollBy(0, 60);
    if (now < end) requestAnimationFrame(step); else done(times.slice(2));
})(last);
"""


class Served:
    """So many workers that sleep, and clusterd-web beside them."""

    def __init__(self, instances):
        self.box = Box()
        self.box.config(many={"command": "/bin/sleep 100000",
                              "instances": instances, "ready": "alive:1ms"})
        self.d = self.box.start()
        self.d.wait_log("start complete", 120)
        self.web = Web(self.box)
        self.web.get("/livez")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.web.close()
        self.box.close()


def cpu(pid):
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f
                    if line.startswith("Pss:"))


def wakeups(pid):
    with open(f"/proc/{pid}/status") as f:
        return sum(int(line.split()[1]) for line in f
                   if "ctxt_switches" in line)


class Use:
    """Of clusterd-web and of the supervisor, between two moments."""

    def __init__(self, s):
        self.s, self.supervisor = s, s.d.find_supervisor()
        self.began, self.before = time.monotonic(), self.now()

    def now(self):
        pids = self.s.web.pids()
        return (sum(map(cpu, pids)), sum(map(wakeups, pids)),
                cpu(self.supervisor), wakeups(self.supervisor))

    def end(self):
        span = time.monotonic() - self.began
        web, woken, sup, sup_woken = (
            b - a for a, b in zip(self.before, self.now()))
        return (f"clusterd-web {100 * web / span:.2f} % of a CPU, "
                f"{woken / span:.1f} wake-ups/s; supervisor "
                f"{100 * sup / span:.2f} %, {sup_woken / span:.1f}/s")


def page(instances):
    with Served(instances) as s:
        time.sleep(3)
        use = Use(s)
        time.sleep(SECONDS)
        print(f"{instances:5} workers, no page:  {use.end()}", flush=True)
        stream = Stream(s.web)
        stream.until(lambda name, data: name == "state" and data["whole"], 60)
        first, n = stream.bytes, 0
        use, end = Use(s), time.monotonic() + SECONDS
        while time.monotonic() < end:
            n += stream.next()[0] == "state"
        print(f"{instances:5} workers, one page: {use.end()}; PSS "
              f"{sum(map(pss, s.web.pids()))} KiB; first {first} bytes, then "
              f"{n} updates of {(stream.bytes - first) // max(n, 1)} bytes in "
              f"{SECONDS:g} s", flush=True)
        stream.close()


def metrics():
    with Served(200) as s:
        times = []
        for _ in range(1000):
            began = time.monotonic()
            assert s.web.get("/metrics")[0] == 200
            times.append(1000 * (time.monotonic() - began))
        times.sort()
        print(f"1000 scrapes of 200 workers: median "
              f"{statistics.median(times):.1f} ms, 99 % {times[989]:.1f} ms, "
              f"slowest {times[-1]:.1f} ms", flush=True)


def new_browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu",
                 "--disable-dev-shm-usage", "--window-size=1600,1000"):
        options.add_argument(word)
    options.binary_location = "/usr/bin/chromium"
    return webdriver.Chrome(options=options,
                            service=Service("/usr/bin/chromedriver"))


def crash(b, s):
    """From the signal until the page has it, by the clock that both have."""
    b.execute_script(
        "window.seen = 0; new MutationObserver(() => { if (!window.seen && "
        "document.getElementById('events').innerText.includes('died'))"
        " window.seen = Date.now(); }).observe(document.body,"
        " { subtree: true, childList: true, characterData: true });")
    at = time.time() * 1000
    kill(s.d.workers()[0])
    return wait_until(lambda: b.execute_script("return window.seen"),
                      "a death on the page", 30) - at


def browser():
    b = new_browser()
    try:
        for instances in (8, 500):
            with Served(instances) as s:
                b.get(f"http://{s.web.name}/")
                wait_until(lambda: b.execute_script(
                    "return document.querySelectorAll('.row').length") ==
                    instances + 1, "all rows", 60)
                paint = b.execute_script(
                    "return performance.getEntriesByType('paint').map((e) => "
                    "`${e.name} ${Math.round(e.startTime)} ms`).join(', ')")
                print(f"{instances} workers: {paint}", flush=True)
                print(f"{instances} workers: a death is on the page after "
                      f"{crash(b, s):.0f} ms", flush=True)
                if instances == 500:
                    time.sleep(2)
                    b.set_script_timeout(60)
                    b.execute_script("scrollTo(0, 0)")
                    f = sorted(b.execute_async_script(FRAMES))
                    print(f"500 workers, scrolled: {len(f)} frames, median "
                          f"{statistics.median(f):.1f} ms, 95 % "
                          f"{f[len(f) * 95 // 100]:.1f} ms, slowest "
                          f"{f[-1]:.1f} ms", flush=True)
    finally:
        b.quit()


if __name__ == "__main__":
    what, *rest = sys.argv[1:] or ["page"]
    if what == "page":
        for count in rest or (8, 100, 1000):
            page(int(count))
    elif what in ("metrics", "browser"):
        {"metrics": metrics, "browser": browser}[what]()
    else:
        sys.exit(__doc__)
