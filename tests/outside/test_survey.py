"""`ironic-proxy survey`: three real Ironics that were never meant for each other, and what would clash."""

import json
import subprocess

from gateway import DIRECTORY, binary, config
from standin import Standin, node


def run(path, *arguments):
    """The exit code, standard output and standard error."""
    command = [binary(), "survey", path, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def written(tmp_path, endpoints):
    text = config({f"loc{number}": url for number, url in enumerate(endpoints, 1)}, groups="_:loc1")
    path = tmp_path / "found.conf"
    path.write_text(text.replace(DIRECTORY, str(tmp_path)), encoding="utf-8")
    return path


def accepted(path, proposal):
    """Whether the proposal is taken behind the file with the endpoints."""
    more = path.parent / "proposal.conf"
    more.write_text(proposal, encoding="utf-8")
    command = [binary(), "--config-file", path, "--config-file", more, "--check-config"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode == 0 and done.stdout == "ok\n"


def pasted(text):
    return text.partition("proposed configuration:\n")[2]


def test_three_real_ironics(alike, there, tmp_path):
    path = written(tmp_path, [site.url for site in alike.values()])
    for number, api in enumerate(there.values(), 1):
        node = api.create(name=f"n{number}", driver_info={"ipmi_address": f"10.{number}0.0.5"})
        port = {"node_uuid": node["uuid"], "address": f"52:54:00:00:00:0{number}"}
        assert api("POST", "/v1/ports", json=port).status == 201
    code, text, errors = run(path)
    assert (code, errors) == (0, ""), text
    assert "loc1: versions 1.1 to 1.115, 1 nodes, 1 conductors, groups _" in text
    assert "held back" not in text and "clash" not in text
    assert pasted(text) == (
        "[DEFAULT]\ngroups = _:loc1,loc2:loc2,loc3:loc3\n[group:loc1]\nbmc_addresses = 10.10.0.0/24\n"
        "[group:loc2]\nlocal_groups = loc2:_\nbmc_addresses = 10.20.0.0/24\n"
        "[group:loc3]\nlocal_groups = loc3:_\nbmc_addresses = 10.30.0.0/24\n"
    )
    assert accepted(path, pasted(text))

    twin = there["loc2"].create(name="n1", instance_uuid="6f1e6ad1-8b1b-4a0a-b0a0-5a3cbb8a1d11")
    there["loc3"].create(name="n4", instance_uuid=twin["instance_uuid"], uuid=twin["uuid"])
    port = {"node_uuid": twin["uuid"], "address": "52:54:00:00:00:01", "name": "Uplink"}
    assert there["loc2"]("POST", "/v1/ports", json=port).status == 201
    more = there["loc1"].create(name="n5")
    port = {"node_uuid": more["uuid"], "address": "52:54:00:00:00:11", "name": "uplink"}
    assert there["loc1"]("POST", "/v1/ports", json=port).status == 201
    volume = {"uuid": "d4cf6a3e-9d0b-4b7e-8a51-1f4a2f0e9c11"}
    connector = {**volume, "type": "iqn", "connector_id": "iqn.2026-11.com.example:n"}
    target = {**volume, "volume_type": "iscsi", "volume_id": "04452bed-5367-4202-8bf5-de4335ac56d2", "boot_index": 0}
    for api, owner in ((there["loc1"], more), (there["loc2"], twin)):
        assert api("POST", "/v1/volume/connectors", json={**connector, "node_uuid": owner["uuid"]}).status == 201
        assert api("POST", "/v1/volume/targets", json={**target, "node_uuid": owner["uuid"]}).status == 201
    for name, extra in (("loc1", {"a": 1}), ("loc2", {"a": 2})):
        chassis = {"uuid": "3e9f8f53-3c2f-4ec7-a7c4-b2a8a3a1c111", "extra": extra}
        assert there[name]("POST", "/v1/chassis", json=chassis).status == 201
    code, text, errors = run(path, "--format", "json")
    assert (code, errors) == (1, "")
    told = json.loads(text)
    assert {(clash["kind"], clash["value"], *clash["locations"]) for clash in told["clashes"]} == {
        ("node name", "n1", "loc1", "loc2"),
        ("node UUID", twin["uuid"], "loc2", "loc3"),
        ("instance UUID", twin["instance_uuid"], "loc2", "loc3"),
        ("port MAC", "52:54:00:00:00:01", "loc1", "loc2"),
        ("port name", "uplink", "loc1", "loc2"),
        ("volume connector UUID", volume["uuid"], "loc1", "loc2"),
        ("volume connector", "iqn iqn.2026-11.com.example:n", "loc1", "loc2"),
        ("volume target UUID", volume["uuid"], "loc1", "loc2"),
    }
    assert [one["would_clash"] for one in told["differences"] if "differs: extra" in one["text"]] == [True]
    assert told["proposal"]["groups"] == "_:loc1,loc2:loc2,loc3:loc3"
    assert [location["groups"] for location in told["locations"]] == [[""], [""], [""]]
    text = run(path)[1]
    assert "clash: node name n1 is at loc1, loc2" in text
    assert accepted(path, pasted(text))


def test_who_holds_the_others_back_and_names_that_are_taken(tmp_path):
    with Standin() as new, Standin(versions=("1.1", "1.82")) as old:
        for site, groups in ((new, ["gpu"]), (old, ["", "gpu"])):
            site.conductors += [{"hostname": f"c{group}", "conductor_group": group, "alive": True} for group in groups]
        path = written(tmp_path, [new.endpoint, old.endpoint])
        code, text, _ = run(path)
        assert code == 0, text
        assert "versions in common: 1.1 to 1.82\nnewer ones are held back by loc2\n" in text
        assert "groups = gpu:loc1,_:loc2,loc2-gpu:loc2\n[group:loc2]\nlocal_groups = loc2-gpu:gpu\n" in text
        assert accepted(path, pasted(text))
        assert not [request for site in (new, old) for request in site.requests if request.method != "GET"]


def test_a_node_with_what_only_python_writes_is_surveyed_as_any_other(tmp_path):
    odd = {"a": float("nan"), "b": {"c": [float("-inf"), "\ud800"]}}
    sites = [Standin([node("odd", driver_info={**odd, "ipmi_address": f"10.{place}.0.1"})]) for place in (1, 2)]
    with sites[0] as one, sites[1] as other:
        code, text, errors = run(written(tmp_path, [one.endpoint, other.endpoint]))
        assert code in (0, 1), errors
        assert "clash: node name odd is at loc1, loc2" in text, text
        assert "bmc_addresses = 10.1.0.0/24" in text and "bmc_addresses = 10.2.0.0/24" in text, text


def test_a_location_that_does_not_answer(tmp_path):
    with Standin() as one, Standin() as other:
        path = written(tmp_path, [one.endpoint, other.endpoint])
        other.down()
        code, text, errors = run(path)
        assert code == 69 and "loc2" in errors and "proposed" not in text
        other.up()
