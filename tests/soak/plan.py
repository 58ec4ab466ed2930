"""What is done to a cluster, by the random numbers alone.

Whoever changes what is drawn here makes other rounds of all seeds. So what came
later is drawn by other numbers, `more`: without them the rounds of the older
seeds of known.py are what they were.
"""

# `auto`, which is the default, twice.
BALANCES = ["round-robin", "least-connections", "random", "source", "shared",
            "auto", "auto"]

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
                 defer=False, policy="soon", patient=False, own=False,
                 listens=False):
        self.balance = balance
        self.instances = instances
        self.max_surge = max_surge
        self.port = port            # which of two
        self.shut = shut            # workers shut their listeners down
        self.defer = defer          # … and have TCP_DEFER_ACCEPT
        self.policy = policy
        self.patient = patient      # with those who take long to be ready
        self.own = own              # an address for each instance, too
        self.listens = listens      # workers call listen(2) anyway

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
    """Steps, each (when, what, argument), and in which settings it ends; half of
    them are of a kind that has been trouble once, with what is not given left
    to chance. Time stands still in the step "complete" until the reload is."""

    def __init__(self, rnd, balances, settings, light, more=None):
        self.rnd, self.balances, self.light = rnd, balances, light
        self.settings, self.more = settings, more
        self.steps = []
        # A single client sees what the next one's coming would mend.
        self.crowd = rnd.choice([1, 2, 6, 6])
        recipe = rnd.choices(
            [self.anything, self.late_handshakes, self.hangs_beside,
             self.fails_beside, self.shuts_all, self.shares, self.leaves],
            [10, 3, 2, 2, 0 if light else 3, 2, 1])[0]
        self.slow = 0.0     # so many clients' handshakes are
        if more:
            self.draw_more(recipe)
        else:
            recipe()
        self.steps.sort(key=lambda step: step[0])

    def anything(self):
        rnd = self.rnd
        style = rnd.choices(["one", "few", "storm"],
                            [6, 3, 1] if self.light else [4, 3, 3])[0]
        # Most of what can be done needs a policy or a kind of worker first,
        # which is there when something happens.
        at = 0.0
        if rnd.random() < 0.6:
            self.add_reload(0, "hup")
            at = 1.0 if self.light else 0.6
            at *= rnd.random() < 0.7
        if style == "storm":
            end = at + 1.5
            while at < end:
                self.add(at)
                at += rnd.choice([0, 0.01, 0.05, 0.1, 0.3, 0.6]) * rnd.random()
        else:
            for _ in range(1 if style == "one" else rnd.choice([2, 3])):
                self.add(at)
                at += 0.1 + 0.4 * rnd.random()

    def late_handshakes(self):
        """… which end in the lane of somebody who does not come."""
        self.crowd = 6
        self.add_reload(0, "hup", defer=True, shut=False, instances=3,
                        policy=self.rnd.choice(["late", "parked", "never"]))
        self.steps.append((0.1, "complete", 5))
        self.steps.append((0.5 + self.rnd.random(), self.rnd.choice(
            ["kill", "kill-but-one"]), self.rnd.randrange(1000)))

    def hangs_beside(self):
        """Some hang in their start, while the others come."""
        self.crowd = 6
        self.add_reload(0, "hup", patient=True, policy="soon", instances=3)
        self.add_bad_starts(0.3, "h")

    def fails_beside(self):
        """Some fail in their start, again and again."""
        self.crowd = 6
        self.add_reload(0, "hup", policy="soon", instances=3)
        self.add_bad_starts(0.3, "x")
        self.steps = [s for s in self.steps if s[2] != WELL]
        self.steps.append((4.0 + 3 * self.rnd.random(), "starts", WELL))

    def add_bad_starts(self, at, letter):
        self.steps.append((0.1, "complete", 5))
        self.steps.append((at, "starts", letter + self.rnd.choice("01")))
        self.steps.append((at, "kill-all", 0))
        self.steps.append((at + 1.5, "starts", WELL))

    def shuts_all(self):
        """All shut their lanes down at a moment, under one program, and another
        kind of program has to know who is where."""
        moving = [b for b in self.balances if b in BALANCES[:2]]
        begin = self.rnd.choice(moving) if moving else None
        for i in range(4):
            self.steps.append((0.1 * i + 0.05, "complete", 5))
            self.add_reload(0.1 * i, "hup", shut=True, instances=8,
                            max_surge=8, defer=False, policy="soon",
                            **({"balance": begin} if begin else {}))
        self.add_reload(0.5, "hup", shut=True, instances=8,
                        max_surge=8, defer=False, policy="soon",
                        balance=self.rnd.choice(["random", "source"]))

    def shares(self):
        """All have one lane, whose flags are everybody's."""
        self.crowd = self.rnd.choice([1, 1, 2])
        self.add_reload(0, "hup", policy="soon", instances=3,
                        balance=self.rnd.choice(["shared", "auto"]))
        what = self.rnd.choice(["kill", "kill", "abort", "hup"])
        self.steps.append((0.1, "complete", 10))
        if what == "kill":
            self.steps.append((0.3, what, self.rnd.randrange(1000)))
        else:
            self.add_reload(0.3, what, policy="soon", instances=3,
                            balance="shared")

    def leaves(self):
        """An address is left, and another balance comes."""
        self.crowd = 6
        self.add_reload(0, "hup", policy="soon", instances=3)
        self.steps.append((0.1, "complete", 5))
        self.add_reload(0.3, "hup", policy="soon", instances=3,
                        port=1 - self.settings.port)

    def draw_more(self, recipe):
        more = self.more
        self.slow = more.choice([0, 0, 0.2])
        if more.random() < 0.4:
            recipe = more.choice([self.slow_handshakes, self.listens_again,
                                  self.scales, self.own_addresses,
                                  self.one_at_a_time])
        recipe()
        for _ in range(more.choice([0, 0, 1, 2])):
            self.add_more(2 * more.random())

    def add_more(self, at):
        what = self.more.choice(["scale", "scale", "listen", "shut-listen"])
        self.steps.append((at, what, self.scale() if what == "scale" else
                           self.more.randrange(1000)))

    def scale(self):
        return self.more.choice(["+1", "-1", "+2", "-2", "1", "2",
                                 "3" if self.light else "7"])

    def slow_handshakes(self):
        """… of any server, which end when somebody is gone."""
        more = self.more
        self.crowd, self.slow = 6, 0.7
        self.add_reload(0, "hup", defer=False, policy=more.choice(
            ["soon", "late", "parked", "never"]),
            instances=more.choice([1, 2, 3]))
        self.steps.append((0.1, "complete", 10))
        what = more.choice(["kill", "kill-but-one", "kill-all", "term",
                            "scale", "hup"])
        at = 1.5 + more.random()
        if what == "hup":
            self.add_reload(at, "hup", policy="soon")
        else:
            self.steps.append((at, what, self.scale() if what == "scale"
                               else more.randrange(1000)))

    def listens_again(self):
        """… as programs do that open none of their listeners themselves."""
        more = self.more
        self.crowd = 6
        self.add_reload(0, "hup", policy="soon", shut=False, listens=True,
                        instances=more.choice([2, 3]))
        self.steps.append((0.1, "complete", 10))
        for i in range(more.choice([2, 6])):
            self.steps.append((0.2 + i * 0.3 * more.random(), more.choice(
                ["listen", "shut-listen", "kill"]), more.randrange(1000)))
        self.add_reload(2.0, "hup", policy="soon", listens=True)

    def scales(self):
        more = self.more
        self.crowd = 6
        self.add_reload(0, "hup", policy="soon")
        self.steps.append((0.1, "complete", 10))
        for i in range(more.choice([2, 5])):
            self.steps.append((0.2 + i * 0.4 * more.random(), "scale",
                               self.scale()))
        self.steps.append((0.3 + more.random(), more.choice(
            ["kill", "kill-any", "kill-but-one"]), more.randrange(1000)))

    def own_addresses(self):
        more = self.more
        self.crowd = 6
        self.add_reload(0, "hup", own=True, instances=more.choice([2, 3]))
        self.steps.append((0.1, "complete", 10))
        what = more.choice(["kill", "kill-all", "kill-but-one", "term",
                            "scale", "hup", "hup"])
        if what == "hup":
            self.add_reload(0.3, "hup", own=True, policy="soon")
        else:
            self.steps.append((0.3, what, self.scale() if what == "scale"
                               else more.randrange(1000)))

    def one_at_a_time(self):
        """The old worker of an instance is gone before the new one starts."""
        more = self.more
        self.crowd = 6
        self.add_reload(0, "hup", policy="soon",
                        instances=more.choice([1, 2, 3]))
        self.steps.append((0.1, "complete", 10))
        self.add_reload(0.3, "hup", policy="soon", max_surge=0)
        if more.random() < 0.5:
            self.steps.append((0.3 + more.random(), "kill-any",
                               more.randrange(1000)))
        if more.random() < 0.5:
            self.add_reload(0.4 + more.random(), "hup", max_surge=0)

    def add_reload(self, at, what, **given):
        setting = draw_settings(self.rnd, self.balances, self.settings.port,
                                self.light)
        if self.more:
            setting.own = self.more.random() < 0.25
            setting.listens = self.more.random() < 0.3
            if self.more.random() < 0.2:
                setting.max_surge = 0
        if given:
            setting.port = self.settings.port
        vars(setting).update(given)
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
