"""HTTPS: what is served, what is refused, and that a slow or silent peer cannot hold a connection for nothing."""

import contextlib
import datetime
import http.client
import ipaddress
import json
import socket
import ssl
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fake_upstream import FakeUpstream, says
from wire import LIMIT_S, QUERN, ROOT, Server, wait_until


def make_certificate(folder, name):
    """A certificate for 127.0.0.1 that signs itself: paths of certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file


class TlsServer(Server):
    scheme = "https"

    def __init__(self, certificate, key, *args):
        self.trust = ssl.create_default_context(cafile=certificate)
        super().__init__("--tls-cert", certificate, "--tls-key", key, *args)

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=LIMIT_S, context=self.trust)

    def request(self, method, path, body=None, headers=None, connection=None):
        if connection is not None:
            return super().request(method, path, body, headers, connection)
        with contextlib.closing(self.connect()) as own:
            return super().request(method, path, body, headers, own)

    def tls_socket(self):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)
        return self.trust.wrap_socket(raw, server_hostname="127.0.0.1")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"), "server")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "script.json"
    rules = [
        {"match": "endless", "text": "x y z ", "repeat": 10_000, "delay_ms": 5},
        {"match": "flood", "text": "many words come quickly ", "repeat": 5_000},
        {"text": "Hello!"},
    ]
    path.write_text(json.dumps({"rules": rules}))
    return path


@pytest.fixture(scope="module")
def secure(files, script):
    server = TlsServer(*files, "--script", script, "--name", "demo")
    yield server
    assert server.is_well(), "".join(server.errors)
    server.stop()


@pytest.fixture
def hasty(files, script):
    server = TlsServer(*files, "--script", script, "--name", "demo", "--header-timeout", 1, "--keep-alive-timeout", 1)
    yield server
    server.stop()


def test_answers_and_streams(secure):
    assert secure.chat("hi").content == "Hello!"
    events = secure.chat_events("flood", max_tokens=3000)
    text = "".join(choice["delta"].get("content", "") for event in events[:-1] for choice in event["choices"])
    assert len(text) > 10_000 and events[-1] == "[DONE]"


def test_a_connection_serves_many_requests(secure):
    connection = secure.connect()
    for _ in range(20):
        assert secure.request("GET", "/health", connection=connection).status == 200
    big = secure.request(
        "POST",
        "/v1/chat/completions",
        {"model": "demo", "messages": [{"role": "user", "content": "word " * 5000}], "max_tokens": 1},
        connection=connection,
    )
    assert big.status == 200
    connection.close()


def test_pipelined_requests_are_answered_in_turn(secure):
    with secure.tls_socket() as s:
        s.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n" * 3 + b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        got = b""
        while piece := s.recv(65536):  # an unclean end would raise
            got += piece
    assert got.count(b"HTTP/1.1 200") == 4


def test_only_tls_1_2_and_later_is_spoken(secure):
    assert secure.tls_socket().version() == "TLSv1.3"
    for version, spoken in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = version
        raw = socket.create_connection(("127.0.0.1", secure.port), timeout=LIMIT_S)
        try:
            with old.wrap_socket(raw):
                assert spoken
        except (ssl.SSLError, ConnectionResetError):
            assert not spoken


def test_plain_http_and_nonsense_get_nothing(secure):
    for data in (b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n", b"\x00" * 600, b"\x16\x03\x01\xff\xff" + b"x" * 100):
        with secure.socket() as s:
            s.sendall(data)
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := s.recv(65536):
                    got += piece
            assert b"HTTP/" not in got
    assert secure.is_well()


def test_a_silent_or_slow_handshake_is_closed(hasty):
    with hasty.socket() as silent, hasty.socket() as slow:
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 100
        slow.settimeout(0.05)
        closed = False
        for byte in hello:
            try:
                slow.sendall(bytes([byte]))
                closed = slow.recv(100) == b""
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                closed = True
            if closed:
                break
        assert closed, "it had five seconds"
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(100) == b""


def test_an_idle_connection_ends_cleanly(hasty):
    with hasty.tls_socket() as s:
        s.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
        while b'"ok"' not in s.recv(65536):
            pass
        assert s.recv(100) == b"", "the end is told, not cut"


def test_a_peer_that_only_ended_its_sending_side_is_served(secure):
    s = secure.tls_socket()
    s.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
    socket.socket.shutdown(s, socket.SHUT_WR)  # the TCP end alone; SSLSocket's own would give up TLS too
    got = b""
    with contextlib.suppress(ssl.SSLError, OSError):
        while piece := s.recv(65536):
            got += piece
    assert b"200" in got.split(b"\r\n")[0]


def test_a_client_that_leaves_is_cancelled(secure):
    before = secure.metric("quern_engine_cancelled_total")
    body = json.dumps({"model": "demo", "stream": True, "messages": [{"role": "user", "content": "endless"}]}).encode()
    with secure.tls_socket() as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        got = b""
        while b'" y' not in got:
            got += s.recv(65536)
    wait_until(lambda: secure.metric("quern_engine_cancelled_total") > before, "the generation is cancelled")


def test_an_error_before_the_body_ended_still_arrives(secure):
    with secure.tls_socket() as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 999999999\r\n\r\n" + b"x" * 100_000)
        got = b""
        with contextlib.suppress(ssl.SSLError, ConnectionResetError):
            while piece := s.recv(65536):
                got += piece
    assert b" 413 " in got.split(b"\r\n")[0]


# ---- starting ----


def start(*args, listen="127.0.0.1:0"):
    command = [QUERN, "serve", "--listen", listen, "--model", ROOT / "models/demo", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1 and "listening" not in done.stdout
    return done.stderr


def test_wrong_files_are_named(tmp_path, files):
    cert, key = files
    other_cert, other_key = make_certificate(tmp_path, "other")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked.key"
    secret = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    for args, words in [
        (["--tls-cert", cert], ["--tls-cert and --tls-key"]),
        (["--tls-cert", tmp_path / "none.pem", "--tls-key", key], ["--tls-cert", "none.pem"]),
        (["--tls-cert", nonsense, "--tls-key", key], ["--tls-cert", "nonsense.pem"]),
        (["--tls-cert", cert, "--tls-key", cert], ["--tls-key", "server.pem"]),
        (["--tls-cert", cert, "--tls-key", locked], ["--tls-key", "locked.key", "password"]),
        (["--tls-cert", cert, "--tls-key", other_key], ["is not the key of the certificate", "other.key"]),
    ]:
        errors = start(*args)
        for word in words:
            assert word in errors, errors


def test_beyond_loopback_needs_tls_or_a_word():
    errors = start("--api-key", "k", listen="0.0.0.0:0")
    assert "--tls-cert" in errors and "--plain-http" in errors


# ---- upstreams over TLS ----


def front_table(url, extra=""):
    return (
        f'[[models]]\nname = "demo"\ntokenizer = "{ROOT}/models/demo"\ncontext = 2048\nexchange = "text"\n'
        f'probe_interval = 0\n[[models.upstream]]\nurl = "{url}"\n{extra}\n'
    )


def test_an_upstreams_certificate_is_checked(files, tmp_path):
    cert, key = files
    other, _ = make_certificate(tmp_path, "other")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)
    fake = FakeUpstream(says("over TLS"), tls=tls)
    by_name = fake.url.replace("127.0.0.1", "localhost")
    try:
        for url, extra, answered in [
            (fake.url, f'ca_file = "{cert}"', True),
            (fake.url, "", False),
            (fake.url, f'ca_file = "{other}"', False),
            (by_name, f'ca_file = "{cert}"', False),
            (by_name, "verify_certificate = false", True),
        ]:
            config = tmp_path / "quern.toml"
            config.write_text(front_table(url, extra))
            server = Server("--config", config)
            answer = server.chat("hi")
            server.stop()
            if answered:
                assert answer.content == "over TLS"
            else:
                assert answer.status == 503 and "certificate verify failed" in answer.error["message"]
    finally:
        fake.close()
