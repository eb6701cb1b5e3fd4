"""What /metrics says, parsed by the client library of Prometheus itself."""

import subprocess

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


class Metrics:
    """One page: families by name, and the value of a sample by its labels."""

    def __init__(self, said):
        assert said.status == 200, said
        self.text = said.text
        self.content_type = said.headers["Content-Type"]
        parse = openmetrics if "openmetrics" in self.content_type else text
        self.families = {family.name: family for family in parse(said.text)}

    def samples(self, name):
        """Every sample of that very name."""
        return [sample for family in self.families.values() for sample in family.samples if sample.name == name]

    def __call__(self, name, **labels):
        """The value of one sample; None if there is none."""
        found = [sample.value for sample in self.samples(name) if sample.labels == labels]
        assert len(found) < 2, (name, labels)
        return found[0] if found else None

    def all(self, name):
        """Values by the values of their labels."""
        return {tuple(sample.labels.values()): sample.value for sample in self.samples(name)}


def read(admin, accept=None):
    return Metrics(admin.get("/metrics", headers={"Accept": accept} if accept else None))


def grown(before, after, name):
    """How much each sample of a counter grew, of those that did."""
    old = before.all(name)
    differences = {labels: value - old.get(labels, 0) for labels, value in after.all(name).items()}
    return {labels: difference for labels, difference in differences.items() if difference}


def promtool(*arguments, stdin=None):
    return subprocess.run(["promtool", *map(str, arguments)], input=stdin, capture_output=True, text=True, check=False, timeout=120)
