"""Certificates that a reload brings: of the listener and towards locations, while clients ask."""

import datetime
import http.client
import re
import ssl
import subprocess
import threading

import pytest
from admin import SECTION, Admin
from fleet import fleet, fleet_config, until
from gateway import DIRECTORY, binary
from pki import Authority, SecuredKeystone, SecuredStandin
from standin import Standin, node


@pytest.fixture
def ca(tmp_path):
    return Authority(tmp_path / "pki", "ca")


class Clients:
    """Some on one connection for all requests, some with a handshake for each."""

    def __init__(self, hub, ca):
        self._context = ssl.create_default_context(cafile=ca.certfile)
        self._port = hub.port
        self._over = threading.Event()
        self.failures = []
        self.answered = {True: 0, False: 0}
        self.handshakes = 0

    def connect(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=10, context=self._context)
        connection.connect()
        return connection

    def serial(self):
        connection = self.connect()
        try:
            return int(connection.sock.getpeercert()["serialNumber"], 16)
        finally:
            connection.close()

    def _run(self, keep):
        connection = self.connect()
        first = connection.sock
        while not self._over.is_set():
            try:
                connection.request("GET", "/v1/nodes/here", headers={"X-OpenStack-Ironic-API-Version": "1.80"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200 or (keep and connection.sock is not first):
                    self.failures.append((keep, answer.status, answer.getheader("Connection")))
            except OSError as error:
                self.failures.append((keep, repr(error)))
            self.answered[keep] += 1
            if not keep:
                connection.close()
        connection.close()

    def __enter__(self):
        self._threads = [threading.Thread(target=self._run, args=(keep,)) for keep in (True, False)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def go_on(self):
        before = dict(self.answered)
        until(lambda: all(self.answered[keep] > before[keep] for keep in before), what="both kinds of clients answered again")


def test_a_reload_brings_other_certificates_and_no_client_notices(ca):
    ours = [ca.issue(name, hosts=["127.0.0.1"]) for name in ("one", "two", "three")]
    towards = [ca.issue(name) for name in ("gateway-one", "gateway-two", "gateway-three")]

    def options(turn):
        return {
            "api": {"enable_ssl_api": True, "cert_file": ours[turn].certfile, "key_file": ours[turn].keyfile},
            "every": {"cafile": ca.certfile, "certfile": towards[turn].certfile, "keyfile": towards[turn].keyfile},
            "sections": {"admin": SECTION, "node_cache": {"sweep_interval": 0}},
        }

    site = SecuredStandin(ca.issue("edge", hosts=["localhost"]), [node("here")], clients=ca)
    with fleet(site, wait=False, **options(0)) as hub:
        admin = Admin(hub.gateway)
        clients = Clients(hub, ca)
        assert clients.serial() == ours[0].serial
        with clients:
            clients.go_on()
            assert {name for _, name in site.seen} == {"gateway-one"}
            for turn in (1, 2):
                hub.gateway.write_config(fleet_config([site.endpoint], **options(turn)))
                done = admin.run("reload")
                assert done.returncode == 0, done.stderr
                assert clients.serial() == ours[turn].serial, "it counts when the command ends"
                clients.go_on()
                clients.go_on()
                assert site.seen[-1][1] == f"gateway-{('one', 'two', 'three')[turn]}"
            # One that does not fit its key changes nothing.
            spoilt = options(2)
            spoilt["api"]["key_file"] = ours[0].keyfile
            hub.gateway.write_config(fleet_config([site.endpoint], **spoilt))
            assert admin.run("reload").returncode == 1
            clients.go_on()
            assert clients.serial() == ours[2].serial
        assert clients.failures == []


def test_a_certificate_that_is_over_is_told_of_and_served(ca, tmp_path):
    """A gateway that does not start would be worse: clients may look away, and the log says it is an error."""
    over = ca.issue("over", hosts=["127.0.0.1"], ends=-1)
    api = {"enable_ssl_api": True, "cert_file": over.certfile, "key_file": over.keyfile}
    with fleet(Standin([node("here")]), wait=False, api=api) as hub:
        hub.logged(r"ERROR.*Certificate `CN=over` has expired on .*the listener")
        context = ssl.create_default_context(cafile=ca.certfile)
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            http.client.HTTPSConnection("127.0.0.1", hub.port, timeout=10, context=context).connect()
    path = tmp_path / "ironic-proxy.conf"
    path.write_text(fleet_config(["http://127.0.0.1:1"], api=api).replace(DIRECTORY, str(tmp_path)))
    done = subprocess.run([binary(), "--config-file", path, "--check-config"], capture_output=True, text=True, timeout=20, check=False)
    assert "warning" in done.stderr and "CN=over" in done.stderr, done.stderr


# The day of its issue is over within the first second.
@pytest.mark.parametrize(("ends", "told"), [(20, "expires in (19|20) days on "), (40, None)])
def test_a_server_s_certificate_that_ends_soon_is_told_of(ca, tmp_path, ends, told):
    """By `check --online`, in the log, and as a date on the admin door and to Prometheus."""
    site = SecuredStandin(ca.issue("edge", hosts=["localhost"], ends=ends), [node("here")])
    with fleet(site, every={"cafile": ca.certfile}, sections={"admin": SECTION}) as hub:
        admin = Admin(hub.gateway)
        end = datetime.datetime.fromisoformat(admin.location("loc1")["certificates"]["server"])
        assert (end - datetime.datetime.now(datetime.timezone.utc)).days in (ends - 1, ends)
        assert 'use="server"' in admin.get("/metrics").text
        done = subprocess.run([binary(), "--config-file", hub.gateway.config_path, "check", "--online"], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done
        assert bool(told) == ("the certificate that it shows" in done.stderr), done.stderr
        if told:
            assert f"warning: [group:loc1]: {site.endpoint} (" in done.stderr
            assert re.search(f"the certificate that it shows {told}", done.stderr), done.stderr
            hub.gateway.restart()
            hub.logged(f"WARN.*The certificate that location `loc1` shows {told}")


def test_check_online_tells_of_a_keystone_whose_certificate_ends(ca, tmp_path):
    with SecuredKeystone(ca.issue("keystone", hosts=["localhost"], ends=10), {"gw": "right"}) as keystone, Standin() as site:
        site.credentials = ("token", keystone.valid)
        section = {"auth_type": "password", "auth_url": f"{keystone.endpoint}/v3", "username": "gw", "password": "right",
                   "user_domain_name": "Default", "system_scope": "all", "cafile": ca.certfile}  # fmt: skip
        path = tmp_path / "ironic-proxy.conf"
        (tmp_path / "state").mkdir()
        path.write_text(fleet_config([site.endpoint], each={"loc1": section}).replace(DIRECTORY, str(tmp_path)))
        words = [binary(), "--config-file", path, "check", "--online"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done
        told = [line for line in done.stderr.splitlines() if "the certificate that it shows" in line]
        (line,) = told
        assert re.match(rf"warning: https://localhost:{keystone.port}: the certificate that it shows expires in (9|10) days on ", line)


def test_check_online_tells_of_a_location_whose_certificate_is_over(ca, tmp_path):
    with SecuredStandin(ca.issue("edge", hosts=["localhost"], ends=-1)) as site:
        path = tmp_path / "ironic-proxy.conf"
        (tmp_path / "state").mkdir()
        text = fleet_config([site.endpoint], every={"cafile": ca.certfile})
        path.write_text(text.replace(DIRECTORY, str(tmp_path)))
        words = [binary(), "--config-file", path, "check", "--online"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "[group:loc1]: " in done.stderr and "expired" in done.stderr.lower(), done.stderr
