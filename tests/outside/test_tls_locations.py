"""TLS to locations and Keystones: who is believed, who is not, and files that change meanwhile."""

import re
import ssl
import subprocess

import pytest
from fleet import assert_unavailable, fleet, fleet_config, until
from gateway import DIRECTORY, binary
from pki import Authority, SecuredKeystone, SecuredStandin, replace
from standin import Standin, node

PASSWORD = "correct-horse-7"
# What the gateway needs to see a change: it looks once a second and waits for one look without a change.
SOON = 15


@pytest.fixture
def ca(tmp_path):
    return Authority(tmp_path / "pki", "ca")


@pytest.fixture
def stranger(tmp_path):
    """An authority that nobody is told to believe."""
    return Authority(tmp_path / "pki", "stranger")


# --- a location


def secured(identity, **options):
    return SecuredStandin(identity, [node("here")], **options)


def answers(hub, seconds=10):
    until(lambda: hub.get("/v1/nodes/here").status == 200, seconds, "the location")


def silent(hub, seconds=10):
    """The location is not believed: nothing is asked of it."""
    until(lambda: hub.get("/v1/nodes/here").status == 503, seconds, "a 503")
    assert_unavailable(hub.get("/v1/nodes/here"), "loc1")
    assert_unavailable(hub.put("/v1/nodes/here/maintenance", {}), "loc1")
    assert_unavailable(hub.get("/v1/nodes"), "loc1")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_a_location_is_believed_by_name_and_by_address(ca, name):
    with fleet(secured(ca.issue("edge", hosts=[name]), name=name), every={"cafile": ca.certfile}) as hub:
        assert hub.get("/v1/nodes/here").status == 200
        assert hub.get("/v1/nodes").names() == ["here"]
        assert hub.put("/v1/nodes/here/maintenance", {}).status == 202
        host = f"[{name}]" if ":" in name else name
        assert {request.header("Host") for request in hub.loc1.requests} == {f"{host}:{hub.loc1.port}"}
        assert {asked for asked, _ in hub.loc1.seen} == {name if name == "localhost" else None}, "addresses are not sent as names"


WRONG = {
    "another authority": lambda ca, stranger: stranger.issue("edge", hosts=["localhost"]),
    "signed by itself": lambda ca, stranger: ca.issue("edge", hosts=["localhost"], signed=False),
    "another name": lambda ca, stranger: ca.issue("edge", hosts=["other.example"]),
    "a name that holds ours": lambda ca, stranger: ca.issue("edge", hosts=["localhost.example", "xlocalhost"]),
    "an address for a name": lambda ca, stranger: ca.issue("edge", hosts=["127.0.0.1"]),
    "a common name only": lambda ca, stranger: ca.issue("localhost"),
    "expired": lambda ca, stranger: ca.issue("edge", hosts=["localhost"], ends=-1),
    "not valid yet": lambda ca, stranger: ca.issue("edge", hosts=["localhost"], begins=1),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_location_that_is_not_believed(ca, stranger, wrong):
    with fleet(secured(WRONG[wrong](ca, stranger)), wait=False, every={"cafile": ca.certfile, "probe_interval": 0.2}) as hub:
        until(lambda: hub.loc1.refused, what="a handshake")
        assert hub.get("/v1/nodes/here").status == 503
        assert not hub.loc1.requests, "nothing was sent"
        hub.logged(rf"ERROR.*No TLS with localhost at 127\.0\.0\.1:{hub.loc1.port}: invalid peer certificate: ")
        # The same location, once its certificate is right.
        seen = hub.loc1.refused
        until(lambda: hub.loc1.refused > seen + 1, what="more handshakes")
        assert len(re.findall("No TLS with", hub.gateway.log())) == 1, "said once, not with every try"
        hub.loc1.serve_as(ca.issue("edge", hosts=["localhost"]))
        answers(hub)


@pytest.mark.parametrize("hosts", [["localhost"], ["127.0.0.2"]])
def test_an_address_that_the_certificate_does_not_hold(ca, hosts):
    with fleet(secured(ca.issue("edge", hosts=hosts), name="127.0.0.1"), wait=False, every={"cafile": ca.certfile}) as hub:
        until(lambda: hub.loc1.refused, what="a handshake")
        assert hub.get("/v1/nodes/here").status == 503
        assert not hub.loc1.requests


def test_the_systems_authorities_without_a_cafile(ca):
    with fleet(secured(ca.issue("edge", hosts=["localhost"])), wait=False) as hub:
        until(lambda: hub.loc1.refused, what="a handshake")
        assert hub.get("/v1/nodes/here").status == 503
        assert not hub.loc1.requests


def test_insecure_is_said_at_every_start(stranger):
    with fleet(secured(stranger.issue("edge", hosts=["other.example"], ends=-1)), every={"insecure": True}) as hub:
        answers(hub)
        hub.logged(r"WARNING.*insecure: no certificate is verified")


@pytest.mark.parametrize("authority", [False, True])
def test_a_certificate_that_is_its_own_authority(ca, authority):
    """It is believed if it is in `cafile`, unless it is marked as an authority: that is none to serve with (RFC 5280)."""
    alone = ca.issue("edge", hosts=["localhost"], signed=False, authority=authority)
    with fleet(secured(alone), wait=False, every={"cafile": alone.certfile}) as hub:
        if authority:
            hub.logged(r"ERROR.*No TLS with localhost.*CaUsedAsEndEntity")
            assert not hub.loc1.requests
        else:
            answers(hub)


def test_a_location_that_forgot_its_tls(ca):
    """An https address is never spoken to in clear."""

    class Plain(Standin):
        @property
        def endpoint(self):
            return super().endpoint.replace("http://127.0.0.1", "https://localhost")

    with fleet(Plain([node("here")]), wait=False, every={"cafile": ca.certfile}) as hub:
        until(lambda: hub.loc1.connections, what="a connection")
        assert hub.get("/v1/nodes/here").status == 503
        assert not hub.loc1.asked()


def test_mutual_tls(ca, stranger):
    client = ca.issue("gateway")
    edge = ca.issue("edge", hosts=["localhost"])
    tls = {"cafile": ca.certfile, "certfile": client.certfile, "keyfile": client.keyfile}
    with fleet(secured(edge, clients=ca), every=tls) as hub:
        answers(hub)
        assert hub.put("/v1/nodes/here/maintenance", {}).status == 202
        assert {name for _, name in hub.loc1.seen} == {"gateway"}
    both = ca.directory / "both.pem"
    both.write_bytes(client.key_pem + client.pem)
    with fleet(secured(edge, clients=ca), every={"cafile": ca.certfile, "certfile": both}) as hub:
        answers(hub)
    other = stranger.issue("gateway")
    for wrong in ({}, {"certfile": other.certfile, "keyfile": other.keyfile}):
        with fleet(secured(edge, clients=ca), wait=False, every={"cafile": ca.certfile, **wrong}) as hub:
            until(lambda: hub.loc1.refused, what="a handshake")
            assert hub.get("/v1/nodes/here").status == 503
            assert not hub.loc1.requests
            if not wrong:
                hub.logged(r"ERROR.*No TLS with localhost at .*CertificateRequired \(it asks for a client certificate")


def test_a_location_without_a_cipher_suite_in_common_is_told_of(ca):
    edge = secured(ca.issue("edge", hosts=["localhost"]))
    edge.context.maximum_version = ssl.TLSVersion.TLSv1_2
    edge.context.set_ciphers("ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384")
    with fleet(edge, wait=False, every={"cafile": ca.certfile}) as hub:
        hub.logged(r"ERROR.*No TLS with localhost at .*HandshakeFailure \(it has no cipher suite in common.*CBC suites are not")
        assert hub.get("/v1/nodes/here").status == 503


def test_each_location_has_its_own_authority_and_certificate(ca, stranger):
    """Also when they are one address: neither connections nor belief pass from one location to another."""
    clients = [ca.issue("for-one"), stranger.issue("for-two")]
    sites = [
        secured(ca.issue("edge", hosts=["localhost"]), clients=ca),
        secured(stranger.issue("edge", hosts=["localhost"]), clients=stranger),
    ]
    each = {
        f"loc{index + 1}": {"cafile": authority.certfile, "certfile": client.certfile, "keyfile": client.keyfile}
        for index, (authority, client) in enumerate(zip((ca, stranger), clients))
    }
    with fleet(*sites, each=each) as hub:
        assert hub.get("/v1/nodes").status == 200
        assert {name for _, name in hub.loc1.seen} == {"for-one"}
        assert {name for _, name in hub.loc2.seen} == {"for-two"}

    class Again(SecuredStandin):
        """A second location at the address of the first, as seen from the configuration."""

        @property
        def endpoint(self):
            return sites[0].endpoint

    sites[0] = secured(ca.issue("edge", hosts=["localhost"]))
    each = {"loc1": {"cafile": ca.certfile}, "loc2": {"cafile": stranger.certfile}}
    with fleet(sites[0], Again(ca.issue("edge")), wait=False, each=each) as hub:
        pinned = {"X-Ironic-Proxy-Location": "loc1"}
        until(lambda: hub.get("/v1/nodes/here", headers=pinned).status == 200)
        for _ in range(5):
            assert hub.get("/v1/nodes/here", headers=pinned).status == 200
            assert hub.get("/v1/nodes/here", headers={"X-Ironic-Proxy-Location": "loc2"}).status == 503


def test_a_new_authority_counts_at_once(ca, stranger):
    """Also for connections that are open: one made under the old authority is not used any longer."""
    cafile = ca.directory / "bundle.pem"
    cafile.write_bytes(ca.pem)
    with fleet(secured(ca.issue("edge", hosts=["localhost"])), every={"cafile": cafile, "probe_interval": 0.2}) as hub:
        answers(hub)
        replace(cafile, stranger.pem)
        # Asked without a pause, so that a connection is always at hand.
        silent(hub, SOON)
        replace(cafile, b"garbage")
        hub.logged(r"ERROR.*location `loc1` are not used, the old ones stay.*bundle\.pem")
        replace(cafile, stranger.pem + ca.pem)
        answers(hub, SOON)
        replace(cafile, b"garbage again")
        until(lambda: len(re.findall("ERROR.*not used, the old ones stay", hub.gateway.log())) == 2, SOON)
        answers(hub)
        hub.loc1.serve_as(stranger.issue("edge", hosts=["localhost"]))
        hub.loc1.drop_connections()
        answers(hub, SOON)


@pytest.mark.parametrize("clients", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_location_that_is_known_is_spared_the_whole_handshake(ca, stranger, version, clients):
    """Until its authorities are read again: no session outlives whom it was trusted by."""
    cafile = ca.directory / "bundle.pem"
    cafile.write_bytes(ca.pem)
    client = ca.issue("gateway")
    tls = {"cafile": cafile, **({"certfile": client.certfile, "keyfile": client.keyfile} if clients else {})}
    edge = secured(ca.issue("edge", hosts=["localhost"]), clients=ca if clients else None)
    edge.context.maximum_version = version
    with fleet(edge, every=tls) as hub:
        answers(hub)
        for _ in range(3):
            known = len(hub.loc1.resumed)
            hub.loc1.drop_connections()
            answers(hub)
            assert hub.loc1.resumed[known:] and all(hub.loc1.resumed[known:])
            assert {name for _, name in hub.loc1.seen} == {"gateway" if clients else None}
        known = len(hub.loc1.resumed)
        replace(cafile, ca.pem + stranger.pem)
        hub.logged(r"The certificates of location `loc1` were read again")
        hub.loc1.drop_connections()
        answers(hub)
        assert not hub.loc1.resumed[known]


def test_a_shared_file_of_authorities_is_told_of_once(ca):
    old = Authority(ca.directory / "old", "old", begins=-9, ends=10)
    sites = [SecuredStandin(old.issue("edge", hosts=["localhost"])) for _ in range(3)]
    with fleet(*sites, every={"cafile": old.certfile}) as hub:
        line = r"WARNING.*Certificate `CN=old` expires in .*\(location `loc1` and 2 more, "
        until(lambda: re.search(line, hub.gateway.log()), SOON, "the end of the authority")
        assert len(re.findall("Certificate `CN=old`", hub.gateway.log())) == 1
        replace(old.certfile, old.pem + ca.pem)
        again = "The certificates of location `loc1` and 2 more were read again"
        until(lambda: again in hub.gateway.log(), SOON, "the reading")
        assert hub.gateway.log().count("were read again") == 1
        # A bundle in which every authority is over is no use to anybody; one of them may be.
        replace(old.certfile, Authority(ca.directory / "over", "over", begins=-9, ends=-1).pem)
        until(lambda: re.search(r"ERROR.*`loc1` and 2 more are not used.*`CN=over` has expired", hub.gateway.log()), SOON, "a complaint")


def test_a_new_client_certificate_counts_at_once(ca):
    client, renewed = ca.issue("old"), ca.issue("new")
    tls = {"cafile": ca.certfile, "certfile": client.certfile, "keyfile": client.keyfile, "probe_interval": 0.2}
    with fleet(secured(ca.issue("edge", hosts=["localhost"]), clients=ca), every=tls) as hub:
        answers(hub)
        assert {name for _, name in hub.loc1.seen} == {"old"}
        client.install(renewed)

        def asked_as_new():
            assert hub.get("/v1/nodes/here").status == 200, "no request fails meanwhile"
            return hub.loc1.seen[-1][1] == "new"

        until(asked_as_new, SOON, "the new certificate at the location")
        client.install(ca.issue("over", ends=-1))
        hub.logged(r"ERROR.*location `loc1` are not used, the old ones stay: .*`CN=over` has expired")
        hub.loc1.drop_connections()
        answers(hub)
        assert hub.loc1.seen[-1][1] == "new"


@pytest.mark.parametrize("option", ["cafile", "certfile", "keyfile"])
@pytest.mark.parametrize("content", [None, "secret-garbage", ""])
def test_bad_files_of_a_location_at_the_start(ca, tmp_path, option, content):
    client = ca.issue("gateway")
    wrong = tmp_path / "wrong.pem"
    if content is not None:
        wrong.write_text(content)
    tls = {"cafile": ca.certfile, "certfile": client.certfile, "keyfile": client.keyfile, option: wrong}
    path = tmp_path / "ironic-proxy.conf"
    path.write_text(fleet_config(["https://127.0.0.1:1"], every=tls).replace(DIRECTORY, str(tmp_path)))
    done = subprocess.run([binary(), "--config-file", path], capture_output=True, text=True, timeout=20, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == (75 if content is None else 78), said
    assert (option in said or "wrong.pem" in said) and "[group:loc1]" in said, said
    assert "panicked" not in said and "secret-garbage" not in said


# --- Keystone


def keystone_options(keystone, **tls):
    return {
        "auth_type": "password",
        "auth_url": f"{keystone.endpoint}/v3",
        "username": "hub",
        "password": PASSWORD,
        "user_domain_name": "Default",
        "system_scope": "all",
        **tls,
    }


def test_the_keystone_of_a_location(ca, stranger):
    client = ca.issue("gateway")
    cafile = ca.directory / "bundle.pem"
    cafile.write_bytes(stranger.pem)
    with SecuredKeystone(ca.issue("keystone", hosts=["localhost"]), {"hub": PASSWORD}, clients=ca) as keystone:
        site = Standin([node("here")], credentials=("token", keystone.valid))
        tls = {"cafile": cafile, "certfile": client.certfile, "keyfile": client.keyfile}
        with fleet(site, wait=False, every=keystone_options(keystone, **tls)) as hub:
            until(lambda: keystone.refused, what="a handshake")
            hub.logged(r"No token for location loc1")
            assert hub.get("/v1/nodes/here").status == 503
            assert not keystone.requests, "no password goes to who is not believed"
            replace(cafile, ca.pem)
            answers(hub, 30)
            assert {name for _, name in keystone.seen} == {"gateway"}
            # A new client certificate is shown with the next token.
            client.install(ca.issue("renewed"))
            hub.logged(r"INFO.*The certificates of location `loc1` were read again")
            seen = len(re.findall("were read again", hub.gateway.log()))
            until(lambda: len(re.findall("were read again", hub.gateway.log())) >= max(seen, 2), SOON)
            keystone.revoke_all()
            answers(hub, 30)
            assert keystone.seen[-1][1] == "renewed"


def test_the_keystone_of_the_clients(ca, stranger):
    cafile = ca.directory / "bundle.pem"
    cafile.write_bytes(stranger.pem)
    with SecuredKeystone(ca.issue("keystone", hosts=["localhost"]), {"hub": PASSWORD, "ann": PASSWORD}) as keystone:
        scope = {"system": {"all": True}}
        person = {"name": "ann", "password": PASSWORD, "domain": {"name": "Default"}}
        issued = keystone._issue({"identity": {"methods": ["password"], "password": {"user": person}}, "scope": scope})
        token = dict(issued.headers)["X-Subject-Token"]
        inbound = keystone_options(keystone, cafile=cafile, http_request_max_retries=0)
        site = Standin([node("here")])
        api = {"auth_strategy": "keystone"}
        with fleet(site, wait=False, api=api, sections={"keystone_authtoken": inbound}) as hub:
            until(lambda: hub.get("/v1").status == 200)
            headers = {"X-Auth-Token": token}
            assert hub.get("/v1/nodes/here", headers=headers).status == 503
            assert hub.get("/v1/nodes/here").status == 401
            assert not keystone.requests
            replace(cafile, ca.pem)
            until(lambda: hub.get("/v1/nodes/here", headers=headers).status == 200, 30, "the Keystone to be believed")
            assert hub.get("/v1/nodes/here", headers={"X-Auth-Token": "nonsense"}).status == 401


def test_a_catalog_that_leads_out_of_tls_is_told_of(ca):
    site = Standin([node("here")], credentials=("token", lambda token: True))
    catalog = [("public", "RegionOne", site.endpoint)]
    with SecuredKeystone(ca.issue("keystone", hosts=["localhost"]), {"hub": PASSWORD}, catalog=catalog) as keystone:
        options = keystone_options(keystone, cafile=ca.certfile, endpoint_override=None)
        with fleet(site, every=options) as hub:
            answers(hub)
            hub.logged(r"WARNING.*Keystone of location loc1 speaks TLS, but its catalog names an http address")
