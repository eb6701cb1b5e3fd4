"""Certificates for tests, and stand-ins that are reached through TLS."""

import datetime
import ipaddress
import os
import socket
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from standin import Standin, StandinKeystone

PEM = serialization.Encoding.PEM
DAY = datetime.timedelta(days=1)


def replace(path, content):
    """Puts new content in the place of a file at once, as deployment tools do."""
    path = Path(path)
    handle, scratch = tempfile.mkstemp(dir=path.parent)
    os.write(handle, content)
    os.close(handle)
    Path(scratch).replace(path)


class Identity:
    """A certificate with its key: PEM bytes, and files in a directory."""

    def __init__(self, certificate, key, directory, name):
        self.certificate = certificate
        self.key = key
        self.pem = certificate.public_bytes(PEM)
        self.key_pem = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.certfile = directory / f"{name}.pem"
        self.keyfile = directory / f"{name}.key"
        self.certfile.write_bytes(self.pem)
        self.keyfile.write_bytes(self.key_pem)

    def install(self, other):
        """This identity's files hold the other one from now on; the key comes first, as an unlucky tool has it."""
        replace(self.keyfile, other.key_pem)
        replace(self.certfile, other.pem)

    @property
    def serial(self):
        return self.certificate.serial_number


class Authority(Identity):
    """A test CA; its files are in a directory of the test."""

    def __init__(self, directory, name="ca", **options):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._count = 0
        key = ec.generate_private_key(ec.SECP256R1())
        super().__init__(_certificate(name, key, None, authority=True, **options), key, self.directory, name)

    def issue(self, name, *, hosts=(), signed=True, **options):
        """A certificate for `name`; `hosts` are DNS names and addresses. `ends` and `begins` are days from now."""
        self._count += 1
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, self if signed else None, hosts=hosts, **options)
        return Identity(certificate, key, self.directory, f"{self.certfile.stem}-{self._count}-{name}")


def _certificate(name, key, issuer, *, hosts=(), begins=-2, ends=100, authority=False):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins * DAY)
        .not_valid_after(now + ends * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False)
    if not authority:
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(issuer.key if issuer else key, hashes.SHA256())


def _general(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class _Secured:
    """In front of a stand-in: TLS as `identity`, for clients of `clients` (an Authority) if that is given.

    `name` is what the gateway is told to call it. What each handshake showed is in `seen`: (SNI, the client's common name or None).
    `resumed` says of each, in the same order, whether the client came back to an earlier session.
    """

    def __init__(self, identity, *arguments, name="localhost", clients=None, **options):
        self.name = name
        self.clients = clients
        self.seen = []
        self.resumed = []
        self.refused = 0
        self.serve_as(identity)
        super().__init__(*arguments, **options)

    @property
    def endpoint(self):
        host = f"[{self.name}]" if ":" in self.name else self.name
        return f"https://{host}:{self.port}"

    def serve_as(self, identity):
        """New connections are shown this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certfile, identity.keyfile)
        if self.clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.clients.certfile)
        # Called by the thread of the connection, for its own socket.
        context.sni_callback = lambda tls, name, _: setattr(tls, "asked_for", name)
        self.context = context

    def _bound(self, port):
        if self.name != "::1":
            return super()._bound(port)
        listener = socket.socket(socket.AF_INET6)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("::1", port))
        return listener

    def _serve(self, connection, number):
        connection.settimeout(10)
        with self._lock:
            self._open.discard(connection)
        try:
            secured = self.context.wrap_socket(connection, server_side=True)
        except OSError:
            self.refused += 1
            connection.close()
            return
        certificate = secured.getpeercert()
        client = dict(pair for part in certificate["subject"] for pair in part)["commonName"] if certificate else None
        with self._lock:
            self.seen.append((getattr(secured, "asked_for", None), client))
            self.resumed.append(secured.session_reused)
            self._open.add(secured)
        super()._serve(secured, number)


class SecuredStandin(_Secured, Standin):
    """An Ironic behind TLS."""


class SecuredKeystone(_Secured, StandinKeystone):
    """A Keystone behind TLS."""
