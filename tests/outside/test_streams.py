"""Several sockets of the service manager's: TCP and unix streams, all served, each as it was made."""

import http.client
import json
import os
import socket

import pytest
from client import Client
from fleet import fleet_config
from gateway import Gateway
from standin import Standin, node

from bed.process import Died


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@pytest.fixture
def site():
    with Standin([node("there")]) as site:
        yield site


@pytest.fixture
def second():
    with socket.create_server(("127.0.0.1", 0)) as second:
        yield second


@pytest.fixture
def unix(tmp_path):
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "api.sock"))
        os.chmod(tmp_path / "api.sock", 0o660)
        unix.listen()
        yield unix


def test_each_stream_is_served(site, second, unix, tmp_path):
    path = tmp_path / "api.sock"
    with Gateway(fleet_config([site.endpoint]), more=(second, unix)) as gateway:
        port = second.getsockname()[1]
        for url in (gateway.url, f"http://127.0.0.1:{port}"):
            assert Client(url).get("/v1/nodes").names() == ["there"]
        connection = UnixConnection(path)
        for _ in range(2):
            connection.request("GET", "/v1/nodes", headers={"Host": "api.example.com", "X-OpenStack-Ironic-API-Version": "1.72"})
            answer = connection.getresponse()
            shown = json.loads(answer.read())
            assert answer.status == 200
            assert [item["name"] for item in shown["nodes"]] == ["there"]
            assert shown["nodes"][0]["links"][0]["href"].startswith("http://api.example.com/v1/nodes/")
        connection.close()
        # Who may write to it is its unit's affair.
        assert path.stat().st_mode & 0o777 == 0o660
        assert f"http://127.0.0.1:{port}, unix://{path}" in gateway.log()
    # All of them ended with it: nobody takes what is left in their queues.
    assert path.exists()


def test_what_is_no_stream_is_no_door(site):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        with pytest.raises(Died, match="cannot listen"), Gateway(fleet_config([site.endpoint]), more=(datagrams,)):
            pass
