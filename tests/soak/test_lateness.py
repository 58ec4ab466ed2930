"""What is known of the machine's lateness while a client waits."""

import time

import pytest

from clients import Lateness


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(Lateness, "samples", [])
    monkeypatch.setattr(Lateness, "under_way", None)


def test_sample_counts_for_all_of_the_time_that_it_took():
    Lateness.samples.append((5.0, 4.0, 0.95))
    for a, b in (4.2, 4.3), (3.0, 4.2), (4.9, 9.0):
        assert Lateness.between(a, b) == pytest.approx(
            Lateness.WAKES * 0.95)
    assert Lateness.between(1.0, 3.0) == 0
    assert Lateness.between(6.0, 7.0) == 0


def test_sample_that_is_not_over_counts():
    """Whoever is to take it may be let run last of all."""
    now = time.monotonic()
    Lateness.under_way = now - 2
    assert Lateness.between(now - 1.5, now) >= Lateness.WAKES * 1.9
    assert Lateness.between(now - 4, now - 3) == 0
