"""The metrics of a sample pass for whoever reads them.

usage: check-metrics.py TEST_METRICS, which dumps the sample. promtool reads
text format 0.0.4 as node_exporter does; the other parser is a strict one of
OpenMetrics 1.0.
"""

import subprocess
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def dump(*args):
    return subprocess.run([sys.argv[1], "dump", *args], check=True,
                          stdout=subprocess.PIPE).stdout


def promtool(text):
    done = subprocess.run(["promtool", "check", "metrics"], input=text,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0 or done.stdout:
        sys.exit("promtool: %d %s" % (done.returncode, done.stdout.decode()))


def parse(text):
    families = list(text_string_to_metric_families(text.decode("utf-8")))
    assert len(families) > 20, families
    for family in families:
        assert family.name.startswith("clusterd_") and family.documentation, \
            family
    return families


text = dump()
promtool(text)
promtool(dump("classic"))
families = parse(text)
# The same with the labels of a user, whose values are odd.
text = dump("label")
promtool(text)
promtool(dump("classic", "label"))
for family in parse(text):
    for sample in family.samples:
        assert sample.labels["clusterd"] == 'a"b\\c\nd', sample
        assert sample.labels["rack"] == "\u00e9", sample
print("metrics: %d, and two parsers take them" % len(families))
