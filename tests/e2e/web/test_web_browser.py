"""clusterd-web: the page in a real browser, where there is one."""

import os
import shutil
import signal
import time

import pytest

from harness import HAS_KEEPER, SLOW, kill, probe, wait_until
from webs import needs_web

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
except ImportError:
    webdriver = None

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [needs_web, pytest.mark.heavy, pytest.mark.skipif(
    None in (webdriver, CHROMIUM, DRIVER),
    reason="no chromium with chromedriver and selenium")]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu",
                 "--disable-dev-shm-usage", "--window-size=1600,1000"):
        options.add_argument(word)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    b = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield b
    b.quit()


class Page:
    def __init__(self, browser, web):
        self.browser = browser
        browser.get(f"http://{web.name}/")

    def js(self, script, *arguments):
        return self.browser.execute_script("return " + script, *arguments)

    def text(self, selector):
        return self.js("[...document.querySelectorAll(arguments[0])]"
                       ".map((e) => e.innerText).join('\\n')", selector)

    def wait(self, selector, words, limit=15):
        wait_until(lambda: words in self.text(selector),
                   lambda: f"{words!r} in {self.text('body')}", limit)

    def complaints(self):
        return [e["message"] for e in self.browser.get_log("browser")
                if "/events" not in e["message"]]


@pytest.fixture
def page(box, webs, browser):
    """A page of two workers that have said something nasty."""
    box.web(command=["/bin/sh -c",
                     "printf '<img src=x onerror=alert(1)> \\033[31mred\\n'; "
                     "exec " + probe()],
            stdout="prefix", stderr="prefix")
    d = box.start()
    d.wait_ready(2)
    web = webs()
    p = Page(browser, web)
    p.wait("#live", "live")
    p.wait("article", "2 of 2 ready")
    p.d, p.web = d, web
    yield p
    # Nothing that the policy had to refuse, no error of the script.
    assert p.complaints() == []


def test_crash(page):
    """It is seen within a second, in words."""
    victim = page.d.ready_pids()[0]
    page.browser.set_script_timeout(30)
    page.js("(window.seen = 0, new MutationObserver(() => { if (!window.seen &&"
            " document.getElementById('events').innerText.includes('died'))"
            " window.seen = Date.now(); }).observe(document.body,"
            " { subtree: true, childList: true, characterData: true }))")
    at = time.time() * 1000
    kill(victim)
    seen = wait_until(lambda: page.js("window.seen"), "it is seen", 15)
    assert seen - at < 1000 * SLOW, seen - at
    page.wait("#events", "killed by signal 9 (SIGKILL)")
    page.wait(".row .why", "killed by signal 9 (SIGKILL)")
    page.wait("#news", "died") if page.js(
        "document.getElementById('news').textContent") == "" else None
    page.wait("article", "2 of 2 ready")


def test_reload_and_apps(box, page):
    env = {"RUNTIME_DIRECTORY": box.dir}
    box.config(web={"command": probe("--note", "2"),
                    "listen": "127.0.0.1:0", "instances": 2},
               other={"command": probe(), "listen": "127.0.0.1:0",
                      "instances": 1})
    assert box.ctl("-c", box.path("app.ini"), "reload",
                   env=env).returncode == 0
    page.wait("article h2", "other")
    page.wait("article", "2 of 2 ready, generation 2")
    page.wait("#events", "reload complete")
    assert page.js("[...document.querySelectorAll('.seats')].map((e) =>"
                   " e.getAttribute('aria-label'))")[0] == \
        "2 of 2 seats have generation 2"


def test_health(box, webs, browser):
    """One that is unwell is not shown as ready; it is said why, and when it is over."""
    box.web(instances=1, health=f"exec:/bin/sh -c 'test -e {box.path('well')}'",
            health_interval="100ms", health_failures="100")
    box.touch("well")
    d = box.start()
    d.wait_ready(1)
    p = Page(browser, webs())
    p.wait(".row .state", "ready")
    os.unlink(box.path("well"))
    p.wait(".row .state", "unhealthy")
    p.wait(".row .why", "unhealthy: /bin/sh: exited with code 1")
    p.wait("#events", "is unhealthy")
    box.touch("well")
    p.wait(".row .state", "ready")
    p.wait("#events", "is well again")


def test_output(page):
    """What workers write is text; escape sequences are shown, not followed."""
    assert page.js("document.getElementById('output').hidden")
    page.js("document.getElementById('follow').click()")
    page.wait("#output", "<img src=x onerror=alert(1)> ␛[31mred")
    assert page.js("document.querySelectorAll('#output img').length") == 0
    page.js("(document.getElementById('filter').value = 'nobody said that',"
            " document.getElementById('filter').dispatchEvent("
            "new Event('input')))")
    page.wait("#no-output", "No line has that in it.")


@pytest.mark.skipif(not HAS_KEEPER, reason="no keeper here")
def test_supervisor_restarts(page):
    os.kill(page.d.find_supervisor(), signal.SIGKILL)
    page.wait("#who", "supervisor restarted 1×")
    page.wait("#live", "live")


def test_lost_and_back(box, page):
    """Of clusterd, and of clusterd-web itself."""
    page.d.send(signal.SIGTERM)
    assert page.d.wait() == 0
    page.wait("#trouble", "clusterd does not answer")
    d = box.start()
    d.wait_ready(2)
    page.wait("#live", "live", 20)
    assert page.js("document.getElementById('trouble').hidden")


@pytest.mark.parametrize("width", [360, 1600])
def test_widths(page, width):
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": 900, "deviceScaleFactor": 1,
        "mobile": width < 500})
    try:
        assert page.js("document.documentElement.scrollWidth") <= width
        # Each thing has a name for who does not see it.
        assert page.js("[...document.querySelectorAll('svg[role=img]')]"
                       ".every((e) => !e.closest('article') || e.hasAttribute("
                       "'aria-label') || !e.closest('.sums'))")
        assert page.js("[...document.querySelectorAll('input, select')]"
                       ".every((e) => e.labels.length > 0)")
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride",
                                     {})


def test_five_hundred_rows(box, webs, browser):
    """They scroll: graphs are drawn of those in sight alone."""
    box.config(many={"command": "/bin/sleep 1000", "instances": 500,
                     "ready": "alive:1ms"})
    d = box.start()
    d.wait_log("start complete", 60)
    page = Page(browser, webs())
    page.wait("article", "500 of 500 ready", 30)
    assert page.js("document.querySelectorAll('.row').length") == 501
    drawn = "[...document.querySelectorAll('.row')].filter((e) => " \
        "e.querySelector('path.line[d]')).map((e) => e.dataset.id)"
    first = wait_until(lambda: page.js(drawn), "the first are drawn")
    assert "many:0" in first and len(first) < 100
    page.js("scrollTo(0, document.body.scrollHeight)")
    wait_until(lambda: "many:499" in page.js(drawn), "the last are drawn")
    assert len(page.js(drawn)) < 200
