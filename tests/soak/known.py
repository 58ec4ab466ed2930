"""Seeds that have found something once: (seed, episode, seconds)."""

KNOWN = []
