"""What is done to a cluster, by the random numbers alone.

Whoever changes what is drawn here makes other rounds of all seeds, those of
known.py among them.
"""

BALANCES = ["round-robin", "least-connections", "random", "source", "shared",
            "auto"]

# What follows a death: the keys, each in its form for the configuration.
POLICIES = {
    "soon": {"restart_delay": "20ms", "restart_delay_max": "1s"},
    "late": {"restart_delay": "8s", "restart_delay_max": "8s"},
    "parked": {"restart_limit": "1/60s"},
    "never": {"restart": "never"},
}

# What the file has that says how a start goes, of all instances, of the even
# ones or of the odd ones: see server.c.
FAILS, HANGS, SLOW_START, WELL = "x", "h", "d", ""
WHOSE = ["", "", "0", "1"]

FREEZE_MOST = 1.2
BAD_STARTS_MOST = 1.5


class Settings:
    """What a reload changes."""

    def __init__(self, balance, instances=3, max_surge=1, port=0, shut=False,
                 defer=False, policy="soon", patient=False):
        self.balance = balance
        self.instances = instances
        self.max_surge = max_surge
        self.port = port            # which of two
        self.shut = shut            # workers shut their listeners down
        self.defer = defer          # … and have TCP_DEFER_ACCEPT
        self.policy = policy
        self.patient = patient      # with those who take long to be ready

    def __str__(self):
        return " ".join(f"{k}={v}" for k, v in vars(self).items())


def draw_settings(rnd, balances, port, light):
    """`light`: of programs that take long to start there are few."""
    return Settings(
        balance=rnd.choice(balances),
        instances=rnd.choice([1, 2, 3] if light else [1, 2, 4, 8]),
        max_surge=rnd.choice([1, 2] if light else [1, 2, 8]),
        port=1 - port if rnd.random() < 0.15 else port,
        shut=rnd.random() < 0.3, defer=rnd.random() < 0.4,
        policy=rnd.choice(["soon", "soon", "late", "parked", "never"]),
        patient=rnd.random() < 0.5)


class Round:
    """Steps, each (when, what, argument), and in which settings it ends."""

    def __init__(self, rnd, balances, settings, light):
        self.rnd, self.balances, self.light = rnd, balances, light
        self.settings = settings
        self.steps = []
        calm = rnd.random() < 0.6
        # Most of what can be done needs a policy or a kind of worker first.
        if rnd.random() < 0.6:
            self.add_reload(0, "hup")
        end = 0.4 if calm else 1.5
        at = 0.5 if self.steps and rnd.random() < 0.7 else 0
        end += at
        while at < end:
            self.add(at)
            at += rnd.choice([0.2, 0.3] if calm else
                             [0, 0.01, 0.05, 0.1, 0.3, 0.6]) * rnd.random()
            at += 0.2 if calm else 0
        self.steps.sort(key=lambda step: step[0])

    def add_reload(self, at, what):
        setting = draw_settings(self.rnd, self.balances, self.settings.port,
                                self.light)
        self.settings = setting
        self.steps.append((at, what, setting))

    def add(self, at):
        rnd = self.rnd
        what = rnd.choices(
            ["kill", "kill-any", "kill-all", "kill-but-one", "freeze",
             "freeze-kill", "term", "term-all", "hup", "abort", "abort-dies",
             "ttin", "ttou", "bad-starts", "die-badly"],
            [6, 2, 1, 3, 4, 3, 3, 1, 5, 1, 1, 2, 2, 2, 3])[0]
        rank = rnd.randrange(1000)
        span = rnd.uniform(0.1, FREEZE_MOST)
        starts = (rnd.choice([FAILS, FAILS, HANGS, HANGS, SLOW_START]) +
                  rnd.choice(WHOSE))
        if what in ("freeze", "freeze-kill"):
            self.steps.append((at, "stop", rank))
            self.steps.append((at + span, "kill-stopped" if
                               what == "freeze-kill" else "cont", rank))
        elif what in ("hup", "abort", "abort-dies"):
            self.add_reload(at, what)
        elif what in ("bad-starts", "die-badly"):
            # Somebody dies into it, or all that happens meanwhile.
            self.steps.append((at, "starts", starts))
            if what == "die-badly":
                self.steps.append((at, rnd.choice(["kill", "kill-all"]), rank))
            self.steps.append((at + rnd.uniform(0.2, BAD_STARTS_MOST),
                               "starts", WELL))
        else:
            self.steps.append((at, what, rank))
