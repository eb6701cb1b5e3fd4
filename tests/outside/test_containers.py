"""What is in conf/ for containers: the recipe, kolla's convention, Kubernetes."""

import json
import re
import subprocess

import pytest
import yaml
from admin import SECTION
from balancer import front
from bed import venvs
from fleet import fleet

from gateway import REPOSITORY, binary

CONTAINER = REPOSITORY / "conf/container"
KUBERNETES = REPOSITORY / "conf/kubernetes"
MANIFEST = KUBERNETES / "ironic-proxy.yaml"


def linted(name, *words):
    command = [venvs.program(venvs.LINTERS, name), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def objects():
    with MANIFEST.open(encoding="utf-8") as text:
        return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}


@pytest.mark.slow
def test_the_recipe_has_no_fault(tmp_path):
    done = linted("hadolint", CONTAINER / "Containerfile")
    assert (done.returncode, done.stdout) == (0, "")
    worse = tmp_path / "Containerfile"
    worse.write_text((CONTAINER / "Containerfile").read_text(encoding="utf-8").replace("WORKDIR /src", "WORKDIR src"), encoding="utf-8")
    assert linted("hadolint", worse).returncode != 0, "the linter does not look"


def test_kolla_puts_the_files_where_its_command_reads_them():
    """By the rules of kolla's `set_configs.py`: copied from source to dest, then owner and mode are set."""
    said = json.loads((CONTAINER / "config.json").read_text(encoding="utf-8"))
    assert set(said) == {"command", "config_files", "permissions"}
    (file,) = said["config_files"]
    assert set(file) == {"source", "dest", "owner", "perm"}
    assert f"--config-file {file['dest']}" in said["command"]
    assert file["perm"] == "0600", "it holds passwords"
    assert all(set(one) <= {"path", "owner", "perm", "recurse"} for one in said["permissions"])
    recipe = (CONTAINER / "Containerfile").read_text(encoding="utf-8")
    assert 'CMD ["kolla_start"]' in recipe
    assert re.search(rf"useradd .* {file['owner']}\b", recipe)


@pytest.mark.slow
def test_kubernetes_takes_the_manifest(tmp_path):
    done = linted("kubernetes-validate", "--strict", MANIFEST)
    assert done.returncode == 0, done.stdout + done.stderr
    worse = tmp_path / "worse.yaml"
    worse.write_text(MANIFEST.read_text(encoding="utf-8").replace("minAvailable", "minimumAvailable"), encoding="utf-8")
    assert linted("kubernetes-validate", "--strict", worse).returncode != 0, "the linter does not look"


def test_what_the_manifest_refers_to_is_in_it(objects):
    """What no schema tells."""
    pod = objects["Deployment", "ironic-proxy"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for container in pod["spec"]["containers"] for port in container["ports"]}
    for (kind, _), one in objects.items():
        selector = one.get("spec", {}).get("selector", {})
        selector = selector.get("matchLabels", selector)
        assert selector.items() <= labels.items(), kind
    services = [one for (kind, _), one in objects.items() if kind == "Service"]
    assert all(port["targetPort"] in ports and port["port"] == ports[port["targetPort"]] for service in services for port in service["spec"]["ports"])
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    for container in pod["spec"]["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        probes = [container[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe", "startupProbe") if probe in container]
        # A name is one of this container's own (Kubernetes' `pkg/probe/util.go`); by its number any of the pod's can be asked.
        own = {port["name"] for port in container["ports"]}
        assert all(port in own if isinstance(port, str) else port in ports.values() for port in probes)
    assert ("Secret", volumes["configuration"]["secret"]["secretName"]) in objects
    assert ("ConfigMap", volumes["admin"]["configMap"]["name"]) in objects
    with (KUBERNETES / "servicemonitor.yaml").open(encoding="utf-8") as text:
        monitor = yaml.safe_load(text)
    watched = [one for one in services if monitor["spec"]["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()]
    assert [one["metadata"]["name"] for one in watched] == ["ironic-proxy-admin"]
    # Its value at the Service is what Prometheus calls the job, whose alerts ask for that name.
    job = watched[0]["metadata"]["labels"].get(monitor["spec"].get("jobLabel"), watched[0]["metadata"]["name"])
    rules = (REPOSITORY / "conf" / "prometheus" / "ironic-proxy.rules.yml").read_text(encoding="utf-8")
    assert {job} == set(re.findall(r'job="(.*?)"', rules))
    assert [one["port"] for one in monitor["spec"]["endpoints"]] == [port["name"] for port in watched[0]["spec"]["ports"]]


def test_the_configuration_in_the_manifest_is_taken(objects, tmp_path):
    text = objects["Secret", "ironic-proxy"]["stringData"]["ironic-proxy.conf"]
    pod = objects["Deployment", "ironic-proxy"]["spec"]["template"]["spec"]
    mounts = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if not mount.get("readOnly")]
    # Nothing else can be written there.
    assert re.search(r"state_path = (.*)", text)[1] in mounts
    assert re.search(r"socket = (.*)/admin.sock", text)[1] in mounts
    memory = pod["containers"][0]["resources"]["limits"]["memory"]
    bodies = int(re.search(r"max_buffered = (\d+)", text)[1])
    # What is made of a body may be as large again; walks, the directory and the program itself take the rest.
    assert memory.endswith("Mi") and 2 * bodies + (192 << 20) <= int(memory[:-2]) << 20
    drained = int(re.search(r"shutdown_delay = (\d+)", text)[1]) + 70
    assert drained < pod["terminationGracePeriodSeconds"]
    path = tmp_path / "ironic-proxy.conf"
    for directory in mounts:
        text = text.replace(f" {directory}", f" {tmp_path}")
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    done = subprocess.run([binary(), "--config-file", path, "--check-config"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_metrics_and_life_get_out_of_the_pod_and_nothing_else(objects):
    """The container `admin` with its own configuration, as a real HAProxy reads it."""
    configuration = objects["ConfigMap", "ironic-proxy-admin"]["data"]["haproxy.cfg"]
    with fleet(1, sections={"admin": {**SECTION, "listen": "127.0.0.1:0"}}) as hub:
        address = hub.logged("can be read on http://").rpartition("http://")[2].strip()
        with front(configuration.replace("bind :9386", "bind fd@3").replace("127.0.0.1:9385", address)) as outside:
            assert outside.get("/live").status == 200
            metrics = outside.get("/metrics")
            assert metrics.status == 200
            assert "ironic_proxy_build_info" in metrics.body.decode()
            for path in ("/status", "/locations", "/locate/x", "/ready", "/metrics/", "//metrics", "/live/../status"):
                assert outside.get(path).status == 404, path
            assert outside.post("/metrics", {}).status == 404
            assert outside.post("/reload", {}).status == 404
