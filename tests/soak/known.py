"""Seeds that have found something once: (seed, episode, seconds).

What they found is in the tests named behind them. Those that begin with `old-`
are of plan.py without `more`. Whoever changes what is drawn there has to look for
others, with a clusterd from before these were mended (478409f; f945265 for those
without `old-`).
"""

KNOWN = [
    # Places in the kernel's order after many lanes were shut down at a moment:
    # test_balance_order.py.
    ("old-525", 0, 1),
    ("old-536", 0, 1),
    # Handshakes that end in the lane of a worker that does not come:
    # test_balance_wait.py.
    ("old-524", 0, 1),
    ("old-534", 2, 1),
    # Starts that hang beside those that are well: test_balance_wait.py.
    ("old-541", 2, 1),
    ("old-513", 2, 1),
    # A lane that its worker shuts down and lets listen again, unseen:
    # test_balance_order.py.
    (1912, 0, 1),
]
