#  test/cluster/openmetrics.py - reads a page of OpenMetrics from stdin with the parser of
#  prometheus_client, and fails unless it is right, has TYPE and HELP everywhere, and UNIT where the
#  name says so. Arguments are samples that have to be there: NAME{LABEL=VALUE,...}>=NUMBER, or ==
import re
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def fail (why):
    sys.exit ("openmetrics: " + why)


text = sys.stdin.read ()
families = list (text_string_to_metric_families (text))
samples = {}
for family in families:
    if not family.samples and family.name not in ("umbp_errors",):
        fail (family.name + " has no samples")
    if not family.documentation:
        fail (family.name + " has no HELP")
    if family.type == "unknown":
        fail (family.name + " has no TYPE: no row in actors/metrics.c")
    for unit in ("bytes", "seconds"):
        if family.name.endswith ("_" + unit) and family.unit != unit:
            fail (family.name + " has no UNIT")
    for sample in family.samples:
        key = (sample.name, frozenset (sample.labels.items ()))
        if key in samples:
            fail ("twice: " + str (key))
        samples[key] = sample.value

for wanted in sys.argv[1:]:
    name, labels, sign, value = re.fullmatch (r"(\w+)(?:\{(.*)\})?(>=|==)(.*)", wanted).groups ()
    pairs = frozenset (tuple (pair.split ("=")) for pair in labels.split (",")) if labels \
        else frozenset ()
    found = samples.get ((name, pairs))
    if found is None:
        fail ("missing: " + wanted)
    if not (found >= float (value) if sign == ">=" else found == float (value)):
        fail (f"{wanted}: is {found}")
print (f"{len (families)} families, {len (samples)} samples, {len (text)} bytes")
