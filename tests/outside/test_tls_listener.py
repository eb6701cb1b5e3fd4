"""TLS of the gateway's own port: certificates that change, and ends that are told in time."""

import http.client
import re
import socket
import ssl
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives import serialization
from fleet import fleet, fleet_config, until
from gateway import DIRECTORY, binary
from pki import PEM, Authority, replace
from standin import Standin, node

# What the gateway needs to see a change: it looks once a second and waits for one look without a change.
SOON = 15


@pytest.fixture
def ca(tmp_path):
    return Authority(tmp_path / "pki", "ca")


@pytest.fixture
def stranger(tmp_path):
    """An authority that nobody is told to believe."""
    return Authority(tmp_path / "pki", "stranger")


# --- the listener


class Hub:
    """A gateway with TLS, and what a client that believes `ca` gets from it."""

    def __init__(self, gateway, ca):
        self.gateway = gateway
        self.ca = ca
        self.port = int(gateway.url.rpartition(":")[2])

    def context(self, client=None, **versions):
        context = ssl.create_default_context(cafile=self.ca.certfile)
        if client:
            context.load_cert_chain(client.certfile, client.keyfile)
        for name, value in versions.items():
            setattr(context, name, value)
        return context

    def connect(self, client=None, **versions):
        """An open HTTP connection, after its handshake."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.context(client, **versions))
        connection.connect()
        return connection

    def status(self, client=None, **versions):
        """Of one request on a connection of its own; raises what a refused client gets."""
        connection = self.connect(client, **versions)
        try:
            return ask(connection)[0]
        finally:
            connection.close()

    def refuses(self, client=None, **versions):
        """Whether this client gets no answer; with TLS 1.3 a server can only say so after the client's handshake."""
        try:
            self.status(client, **versions)
        except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
            return True
        return False

    def serial(self, client=None):
        connection = self.connect(client)
        try:
            found = connection.sock.getpeercert()["serialNumber"]
            return int(found, 16)
        finally:
            connection.close()


def ask(connection, path="/v1/nodes"):
    connection.request("GET", path, headers={"X-OpenStack-Ironic-API-Version": "1.90"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def listener_config(identity, clients=None, **api):
    options = {"enable_ssl_api": True, "cert_file": identity.certfile, "key_file": identity.keyfile, **api}
    if clients:
        options["client_ca_file"] = clients.certfile
    return options


class Running:
    """`with Running(ca, site, api) as hub`: a gateway with TLS in front of one stand-in, ready to serve."""

    def __init__(self, ca, site, api):
        self._hub = fleet(site, wait=False, api=api)
        self._ca = ca

    def __enter__(self):
        hub = self._hub.__enter__()
        return Hub(hub.gateway, self._ca)

    def __exit__(self, *failure):
        return self._hub.__exit__(*failure)


@pytest.fixture
def site():
    # The fleet closes it.
    return Standin([node("here")])


def test_the_listener_speaks_tls_and_nothing_else(ca, site):
    identity = ca.issue("hub", hosts=["127.0.0.1", "localhost"])
    with Running(ca, site, listener_config(identity)) as hub:
        until(lambda: hub.status() == 200)
        connection = hub.connect()
        status, body = ask(connection)
        assert status == 200
        assert f'"https://127.0.0.1:{hub.port}/v1/nodes/'.encode() in body, "links show how the client came"
        first = connection.sock
        for path in ("/v1", "/v1/nodes/here", "/"):
            assert ask(connection, path)[0] == 200
        assert connection.sock is first, "the connection is kept"
        connection.close()
        with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as plain:
            plain.sendall(b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP/" not in plain.recv(1000)
        until(lambda: re.search(r"INFO.*Certificate `CN=hub` expires in \d+ days on .*the listener", hub.gateway.log()))


def test_http_2_is_not_agreed_on(ca, site):
    """Pingora's HTTP/2 has a fault that breaks connections to locations."""
    identity = ca.issue("hub", hosts=["127.0.0.1"])
    with Running(ca, site, listener_config(identity)) as hub:
        for offered, agreed in ((["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), ([], None)):
            context = hub.context()
            if offered:
                context.set_alpn_protocols(offered)
            with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as plain:
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                    assert secured.selected_alpn_protocol() == agreed


@pytest.mark.parametrize(
    ("minimum", "allowed"), [(None, {"TLSv1_2", "TLSv1_3"}), ("1.2", {"TLSv1_2", "TLSv1_3"}), ("1.3", {"TLSv1_3"})]
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_the_oldest_protocol(ca, site, minimum, allowed):
    identity = ca.issue("hub", hosts=["127.0.0.1"])
    api = listener_config(identity, tls_minimum_version=minimum)
    with Running(ca, site, api) as hub:
        until(lambda: hub.status() == 200)
        for name in ("TLSv1_1", "TLSv1_2", "TLSv1_3"):
            version = ssl.TLSVersion[name]
            try:
                served = hub.status(minimum_version=version, maximum_version=version) == 200
            except (ssl.SSLError, OSError):
                served = False
            assert served == (name in allowed), name


def test_clients_need_a_certificate_of_the_authority(ca, stranger, site):
    identity = ca.issue("hub", hosts=["127.0.0.1"])
    with Running(ca, site, listener_config(identity, clients=ca)) as hub:
        until(lambda: hub.status(ca.issue("client")) == 200)
        assert hub.refuses(), "no certificate"
        assert hub.refuses(stranger.issue("client")), "of another authority"
        assert hub.refuses(ca.issue("client", ends=-1)), "expired"
        assert hub.refuses(ca.issue("client", begins=1)), "not valid yet"
        assert hub.refuses(ca.issue("client", signed=False)), "signed by itself"
        assert hub.status(ca.issue("client")) == 200


def test_a_new_certificate_is_served_and_no_connection_is_dropped(ca, site):
    identity, second, third = (ca.issue(name, hosts=["127.0.0.1"]) for name in ("one", "two", "three"))
    with Running(ca, site, listener_config(identity)) as hub:
        until(lambda: hub.status() == 200)
        assert hub.serial() == identity.serial
        kept = hub.connect()
        before = kept.sock
        assert ask(kept)[0] == 200

        ended, failures, statuses = threading.Event(), [], []

        def keep_asking():
            while not ended.is_set():
                try:
                    statuses.append(hub.status())
                except OSError as error:
                    failures.append(error)

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            for new in (second, third):
                identity.install(new)
                until(lambda: hub.serial() == new.serial, SOON, "the new certificate")
                assert ask(kept)[0] == 200
        finally:
            ended.set()
            asking.join()
        assert not failures and set(statuses) == {200}
        assert kept.sock is before, "the connection from before the change still serves"
        kept.close()
        again = "The certificates of the listener were read again"
        until(lambda: len(re.findall(again, hub.gateway.log())) == 2, SOON, "both readings in the log")
        assert "ERROR" not in hub.gateway.log()


def test_a_bad_new_certificate_is_not_served(ca, site):
    identity, other = (ca.issue(name, hosts=["127.0.0.1"]) for name in ("one", "two"))
    with Running(ca, site, listener_config(identity)) as hub:
        until(lambda: hub.status() == 200)
        for count, (path, content) in enumerate(
            [(identity.certfile, b"garbage"), (identity.certfile, b""), (identity.certfile, other.pem), (identity.keyfile, b"secret-garbage")], 1
        ):
            replace(path, content)

            def complaints():
                return re.findall(r"ERROR.*the listener are not used, the old ones stay", hub.gateway.log())

            until(lambda: len(complaints()) == count, SOON, f"complaint {count}")
            assert hub.serial() == identity.serial
            assert hub.status() == 200
        assert "secret-garbage" not in hub.gateway.log()
        identity.keyfile.unlink()
        until(lambda: len(complaints()) == 5, SOON, "a complaint about the file that is gone")
        identity.install(other)
        until(lambda: hub.serial() == other.serial, SOON, "the good certificate")


def test_a_good_certificate_is_not_given_up_for_one_that_is_over(ca, site):
    identity, over, early, good = (
        ca.issue(name, hosts=["127.0.0.1"], **life)
        for name, life in (("one", {}), ("over", {"ends": -1}), ("early", {"begins": 1}), ("two", {}))
    )
    with Running(ca, site, listener_config(identity)) as hub:
        until(lambda: hub.status() == 200)
        for other, why in ((over, "`CN=over` has expired on"), (early, "`CN=early` is not valid before")):
            identity.install(other)
            complaint = rf"ERROR.*the listener are not used, the old ones stay: .*{why}"
            until(lambda: re.search(complaint, hub.gateway.log()), SOON, "a complaint")
            assert hub.status() == 200, "the old one is served"
            assert hub.serial() == identity.serial
        identity.install(good)
        until(lambda: hub.serial() == good.serial, SOON, "the good certificate")


def test_new_authorities_of_clients(ca, stranger, site):
    identity = ca.issue("hub", hosts=["127.0.0.1"])
    clients = Authority(ca.directory / "clients", "clients")
    old, new = clients.issue("old"), stranger.issue("new")
    with Running(ca, site, listener_config(identity, clients=clients)) as hub:
        until(lambda: hub.status(old) == 200)
        assert hub.refuses(new)
        kept = hub.connect(old)
        assert ask(kept)[0] == 200
        replace(clients.certfile, stranger.pem)
        until(lambda: hub.refuses(old), SOON, "the old authority to be refused")
        assert hub.status(new) == 200
        assert ask(kept)[0] == 200, "who is in stays in"
        kept.close()


def encrypted(identity):
    encryption = serialization.BestAvailableEncryption(b"pass")
    return identity.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    "case",
    ["no certificate", "garbage", "no key", "garbage as key", "another's key", "an encrypted key", "no authority", "an empty authority"],
)
def test_bad_files_at_the_start(ca, stranger, tmp_path, case):
    identity = ca.issue("hub", hosts=["127.0.0.1"])
    wrong = tmp_path / "wrong.pem"
    api = listener_config(identity, clients=ca)
    match case:
        case "no certificate":
            api["cert_file"] = wrong
        case "garbage":
            api["cert_file"] = wrong
            wrong.write_text("secret-garbage")
        case "no key":
            api["key_file"] = wrong
        case "garbage as key":
            api["key_file"] = wrong
            wrong.write_text("-----BEGIN PRIVATE KEY-----\nsecret-garbage\n-----END PRIVATE KEY-----\n")
        case "another's key":
            api["key_file"] = wrong
            wrong.write_bytes(stranger.key_pem)
        case "an encrypted key":
            api["key_file"] = wrong
            wrong.write_bytes(encrypted(identity))
        case "no authority":
            api["client_ca_file"] = wrong
        case "an empty authority":
            api["client_ca_file"] = wrong
            wrong.write_text("")
    path = tmp_path / "ironic-proxy.conf"
    path.write_text(fleet_config(["http://127.0.0.1:1"], api=api).replace(DIRECTORY, str(tmp_path)))
    done = subprocess.run([binary(), "--config-file", path], capture_output=True, text=True, timeout=20, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == (78 if wrong.exists() else 75), said
    option = next(option for option, path in api.items() if path == wrong)
    # A file that is not there is told of with its option, one that is no good with its path.
    assert option in said or ("wrong.pem" in said and "[api]" in said), said
    assert "panicked" not in said and "secret-garbage" not in said


# --- expiry


@pytest.mark.parametrize(
    ("ends", "line"),
    [
        (-1, r"ERROR.*Certificate `CN={0}` has expired on {1}"),
        (10, r"WARNING.*Certificate `CN={0}` expires in (9|10) days on {1}"),
        (29, r"WARNING.*Certificate `CN={0}` expires in (28|29) days on {1}"),
        (100, r"INFO.*Certificate `CN={0}` expires in (99|100) days on {1}"),
    ],
)
def test_the_end_of_every_certificate_is_in_the_log(tmp_path, ends, line):
    ca = Authority(tmp_path / "pki", "ca", begins=-9, ends=ends)
    hub, client = (ca.issue(name, hosts=["127.0.0.1"], begins=-9, ends=ends) for name in ("hub", "gateway"))
    site = Standin()
    tls = {"cafile": ca.certfile, "certfile": client.certfile, "keyfile": client.keyfile}
    inbound = {
        "auth_type": "password", "auth_url": "http://127.0.0.1:1/v3", "username": "u", "password": "p", "user_domain_id": "default",
        "system_scope": "all", **tls,
    }  # fmt: skip
    api = {**listener_config(hub, clients=ca), "auth_strategy": "keystone"}
    day = f"{ca.certificate.not_valid_after_utc:%Y-%m-%d}"
    with fleet(site, wait=False, api=api, every=tls, sections={"keystone_authtoken": inbound}) as running:
        for name, owner, path in [
            ("hub", "the listener", hub.certfile),
            ("ca", "the listener", ca.certfile),
            ("ca", "location `loc1`", ca.certfile),
            ("gateway", "location `loc1`", client.certfile),
            ("ca", "[keystone_authtoken]", ca.certfile),
            ("gateway", "[keystone_authtoken]", client.certfile),
        ]:
            pattern = line.format(name, day) + re.escape(f" ({owner}, {path})")
            running.logged(pattern)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_hundreds_of_clients_take_up_their_sessions(ca, site, version):
    """However many came meanwhile; and not under another certificate."""
    identity, other = (ca.issue(name, hosts=["127.0.0.1"]) for name in ("one", "two"))
    with Running(ca, site, listener_config(identity)) as hub:
        until(lambda: hub.status() == 200)
        context = hub.context(maximum_version=version)

        def meet(session=None):
            """The session that a client gets, and whether it was taken up from an earlier one."""
            with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as plain:
                with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secured:
                    # With TLS 1.3 tickets come after the handshake, with the answer.
                    secured.sendall(b"GET / HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
                    assert secured.recv(12) == b"HTTP/1.1 200"
                    return secured.session, secured.session_reused

        met = [meet() for _ in range(300)]
        assert not any(reused for _, reused in met)
        assert all(meet(session)[1] for session, _ in met)
        identity.install(other)
        until(lambda: hub.serial() == other.serial, SOON, "the new certificate")
        assert not meet(met[0][0])[1]
