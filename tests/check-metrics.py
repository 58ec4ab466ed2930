"""The metrics of a sample pass for whoever reads them.

usage: check-metrics.py TEST_METRICS, which dumps the sample. promtool reads text
format 0.0.4 as node_exporter does; the parsers of prometheus_client are strict
ones of that and of OpenMetrics 1.0. Who is not installed is not asked, and it is
said.
"""

import re
import shutil
import subprocess
import sys

try:
    from prometheus_client import parser
    from prometheus_client.openmetrics import parser as openmetrics
except ImportError:
    parser = None

TOTAL = "_total"


def dump(*args):
    return subprocess.run([sys.argv[1], "dump", *args], check=True,
                          stdout=subprocess.PIPE).stdout


def promtool(text):
    done = subprocess.run(["promtool", "check", "metrics"], input=text,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0 or done.stdout:
        sys.exit("promtool: %d %s" % (done.returncode, done.stdout.decode()))


def parse(module, text):
    """What each metric is by its headings, and the samples."""
    families = list(module.text_string_to_metric_families(
        text.decode("utf-8")))
    assert len(families) > 20, families
    names = [f.name for f in families]
    assert len(set(names)) == len(names), names
    samples = {}
    for family in families:
        assert family.name.startswith("clusterd") and family.documentation, \
            family
        assert family.type in ("counter", "gauge", "info"), family
        for s in family.samples:
            # Whoever knows it as a counter does so by its heading.
            assert s.name.endswith(TOTAL) == (family.type == "counter"), s
            key = s.name, *sorted(s.labels.items())
            assert key not in samples, key
            samples[key] = float(s.value)
    return families, samples


def refused(module, text):
    try:
        parse(module, text)
    except (ValueError, AssertionError):
        return True
    return False


def check(*label):
    """How many metrics, and who took them."""
    judges = []
    if shutil.which("promtool"):
        promtool(dump("classic", *label))
        judges.append("promtool")
    if parser is None:
        return 0, judges
    classic, of_classic = parse(parser, dump("classic", *label))
    families, of_other = parse(openmetrics, dump(*label))
    # The same figures, whatever the format.
    assert of_classic == of_other
    assert {f.type for f in classic} == {"counter", "gauge"}
    assert {f.type for f in families} == {"counter", "gauge", "info"}
    # The judges are strict: neither format passes for the other, nor half of it.
    assert refused(openmetrics, dump("classic", *label))
    assert refused(openmetrics, dump(*label).replace(b"# EOF\n", b""))
    assert refused(parser, dump(*label))
    if label:
        for name, *labels in of_other:
            assert dict(labels)["clusterd"] == 'a"b\\c\nd', labels
            assert dict(labels)["rack"] == "\u00e9", labels
    return len(families), judges + ["prometheus_client"]


def described():
    """What the source says of each metric, and what the manual does."""
    with open("src/core/status/metrics_text.c", encoding="utf-8") as f:
        source = re.findall(r'"(clusterd_\w+)",\s*((?:"(?:[^"\\]|\\.)*"\s*)+)',
                            f.read())
    with open("man/clusterctl.1", encoding="utf-8") as f:
        manual = re.findall(r"^\.It Li (clusterd_\w+)(?: Pq (.*))?\n"
                            r"((?:[^.\n].*\n)+)", f.read(), re.MULTILINE)
    return ({name: re.sub(r'"\s*"', "", words.strip()[1:-1])
             for name, words in source},
            {name: " ".join(words.split()) for name, _, words in manual},
            {name: set(labels.split(" , ")) - {""}
             for name, labels, _ in manual})


def check_manual():
    source, manual, labels = described()
    for name in source.keys() | manual.keys():
        if source.get(name) != manual.get(name):
            sys.exit(f"{name}: the source has {source.get(name)!r}, "
                     f"man/clusterctl.1 {manual.get(name)!r}")
    # Of each that the sample has, its labels.
    for line in dump("classic").decode("utf-8", "replace").splitlines():
        m = re.match(r'(clusterd_\w+)(?:\{(.*)\})? \S+$', line)
        if m is None:
            continue
        found = set(re.findall(r'(?:^|",)([a-z]+)="', m[2] or ""))
        if found != labels[m[1]]:
            sys.exit(f"{m[1]}: it has the labels {found}, man/clusterctl.1 "
                     f"{labels[m[1]]}")
    return len(source)


print("metrics: %d, all in the manual" % check_manual())
n, judges = check()
# The same with the labels of a user, whose values are odd.
check("label")
print("metrics: %s" % (judges and "%d, and %s take%s them" % (
    n, " and ".join(judges), "s" * (len(judges) == 1)) or
    "not looked at: neither promtool nor python3-prometheus-client is there"))
