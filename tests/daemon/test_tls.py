"""TLS, redirects, HTTP/2, compressed bodies and the body that blows up."""

import socket
import subprocess
import threading

import pytest

from harness import SMALL_QUARANTINE

NODES = 50


def certificate(directory, name, names="IP:127.0.0.1"):
    """Makes a self-signed certificate and its key; gives both files."""
    key, cert = directory / f"{name}.key", directory / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-keyout", str(key), "-out", str(cert), "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"],
                   check=True, capture_output=True)
    return str(cert), str(key)


@pytest.fixture(name="secure")
def secure_fixture(make_sim, make_watch, tmp_path):
    """A simulator that speaks TLS for 127.0.0.1, a daemon without a source yet, and the certificate's file."""
    cert, key = certificate(tmp_path, "server")
    sim = make_sim("--tls-cert", cert, "--tls-key", key)
    sim.fleet(nodes=NODES, non_compliant=0)
    return make_watch(), sim, cert


def assert_refused(pw, sim):
    """The sweep failed at once and said why; not one request got through."""
    assert pw.once() == 75
    sweep = pw.last_sweep()
    assert sweep["outcome"] == "failed" and "certificate" in sweep["error_msg"], sweep
    assert sweep["retries"] == 0
    assert not sim.requests()


def test_ca_file_is_what_makes_a_stranger_a_friend(secure):
    """A certificate of one's own is refused without ca_file and accepted with it."""
    pw, sim, cert = secure
    pw.source(sim)
    assert_refused(pw, sim)
    pw.source(sim, ca_file=cert)
    pw.sweeps(1)
    assert pw.last_sweep()["records"] == NODES


def test_another_ca_is_refused(secure, tmp_path):
    """ca_file pins: a server with another certificate is refused, and so is one that the system trusts."""
    pw, sim, cert = secure
    other, _ = certificate(tmp_path, "other")
    pw.source(sim, ca_file=other)
    assert_refused(pw, sim)
    # What the system trusts is no matter where there is a ca_file: these two name its store.
    assert pw.once(env={"SSL_CERT_FILE": cert, "CURL_CA_BUNDLE": cert, "SSL_CERT_DIR": str(tmp_path)}) == 75
    assert not sim.requests()


def test_another_host_name_is_refused(make_sim, make_watch, tmp_path):
    """A trusted certificate for another name is refused, and so is one for a name where an address was asked for."""
    cert, key = certificate(tmp_path, "elsewhere", "DNS:elsewhere.example,DNS:127.0.0.1")
    sim, pw = make_sim("--tls-cert", cert, "--tls-key", key), make_watch()
    sim.fleet(nodes=NODES)
    pw.source(sim, ca_file=cert)
    assert_refused(pw, sim)
    pw.source(sim.endpoint.replace("127.0.0.1", "localhost"), ca_file=cert)
    assert_refused(pw, sim)


def test_expired_certificate_is_refused(make_sim, make_watch, tmp_path):
    """A certificate whose time is over is none."""
    cert, key = certificate(tmp_path, "old")
    ended = subprocess.run(["openssl", "x509", "-in", cert, "-signkey", key, "-days", "-1", "-extfile", "/dev/stdin"],
                           input=b"subjectAltName=IP:127.0.0.1\n", capture_output=True, check=False)
    if ended.returncode != 0:
        pytest.skip("this openssl makes no expired certificate")
    (tmp_path / "old.pem").write_bytes(ended.stdout)
    sim, pw = make_sim("--tls-cert", cert, "--tls-key", key), make_watch()
    sim.fleet(nodes=NODES)
    pw.source(sim, ca_file=cert)
    assert_refused(pw, sim)


def test_a_renewed_ca_file_is_read_again(secure, tmp_path, make_sim):
    """The file under the same path is another one: a running daemon trusts what it says now."""
    pw, sim, _ = secure
    path = tmp_path / "trusted.pem"
    other, other_key = certificate(tmp_path, "other")
    path.write_bytes((tmp_path / "other.pem").read_bytes())
    pw.source(sim, ca_file=path, retries=0)
    pw.start()
    pw.wait_rows("SELECT 1 FROM sweep WHERE outcome = 'failed'")
    path.write_bytes((tmp_path / "server.pem").read_bytes())
    pw.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL")
    assert make_sim("--tls-cert", other, "--tls-key", other_key).is_tls


def test_signatures_and_log_in_over_tls(secure):
    """Credentials go the same way; ca_file holds for IAM too."""
    pw, sim, cert = secure
    sim.control("auth", mode="token")
    sim.control("iam/user", domain="acme", user="watch", password="pw")
    pw.source(sim, ca_file=cert, auth="password", iam_endpoint=sim.endpoint, iam_domain="acme", iam_user="watch",
              iam_password_file=pw.secret("password", "pw"))
    pw.sweeps(1)
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1")
    pw.source(sim, ca_file=cert, **pw.aksk())
    pw.sweeps(1)


@pytest.mark.parametrize("value", ["yes", "no"])
def test_http2_is_an_option(secure, value):
    """With http2 = yes a server that speaks HTTP/1.1 only is served too."""
    pw, sim, cert = secure
    pw.source(sim, ca_file=cert, http2=value)
    pw.sweeps(2)
    assert pw.last_sweep()["records"] == NODES


def test_faults_over_tls_are_faults(secure):
    """A connection that is cut within TLS is no end of a page."""
    pw, sim, cert = secure
    pw.source(sim, ca_file=cert, offset="page")
    pw.sweeps(1)
    for kind in ("truncate", "reset_mid", "length_long"):
        sim.fault(kind, page=2)
        pw.sweeps(1)
    assert pw.changes() == []


def test_redirects_are_not_followed(pw, sim, make_sim):
    """A redirect is no answer: nobody is asked at its target, credentials least of all."""
    other = make_sim()
    other.fleet(nodes=NODES)
    sim.fleet(nodes=NODES)
    sim.fault("html_302", times=0, location=f"{other.endpoint}/v1/patch/instance/compliant")
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1")
    pw.source(sim, retries=0, **pw.aksk())
    assert pw.once() == 75
    sweep = pw.last_sweep()
    assert sweep["outcome"] == "failed" and sweep["error_msg"]
    assert len(sim.requests()) == 1 and not other.requests()


def test_a_key_in_the_clear_is_refused(pw):
    """http with credentials is refused but to the machine itself and to link-local addresses."""
    pw.source("http://192.0.2.1:8080", **pw.aksk())
    code, output = pw.check()
    assert code == 78 and "http" in output
    pw.source("http://127.0.0.1:8080", **pw.aksk())
    assert pw.check()[0] == 0


def test_a_key_that_a_proxy_would_see_is_refused(pw, sim):
    """Nor may http:// to this machine go by a proxy elsewhere, unless there is nothing to hide."""
    pw.source(sim, proxy="proxy.example:3128", **pw.aksk())
    code, output = pw.check()
    assert code == 78 and "endpoint would carry credentials in the clear" in output
    pw.source(sim, proxy="http://127.0.0.1:3128", **pw.aksk())
    assert pw.check()[0] == 0
    pw.source(sim, proxy="proxy.example:3128")
    assert pw.check()[0] == 0


# Compressed bodies

def test_compressed_bodies_are_accepted(pw, sim):
    """gzip is asked for and undone, and it saves something."""
    sim.fleet(nodes=500)
    pw.source(sim, page_size=100)
    pw.sweeps(1)
    plain = pw.last_sweep()
    sim.control("gzip", on=1)
    pw.sweeps(1)
    packed = pw.last_sweep()
    assert packed["records"] == 500 and packed["bytes"] < plain["bytes"] / 2
    assert pw.changes() == []
    for kind in ("truncate", "garbage", "cut_json"):
        sim.fault(kind, page=2)
        pw.sweeps(1)
    assert pw.changes() == []


@pytest.mark.parametrize("page", [1, 3])
def test_a_gzip_bomb_does_not_go_off(pw, sim, page):
    """A page that unpacks to a gibibyte is given up early: the sweep is not complete and says why, memory stays."""
    sim.fleet(nodes=NODES, non_compliant=0)
    pw.source(sim, offset="page", retries=1)
    pw.start(env=SMALL_QUARANTINE)
    pw.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL")
    before_kib = pw.status_kib("VmHWM")
    sim.fault("gzip_bomb", page=page, times=0)
    sweep = pw.wait_rows("SELECT * FROM sweep WHERE outcome IN ('failed', 'incomplete')")[0]
    assert sweep["outcome"] == ("failed" if page == 1 else "incomplete")
    assert sweep["error_msg"] and sweep["reason"]
    pw.wait_rows("SELECT count(*) FROM sweep WHERE outcome IN ('failed', 'incomplete') HAVING count(*) >= 3")
    assert pw.status_kib("VmHWM") - before_kib < 64 * 1024
    sim.control("fault/clear")
    pw.wait_sweeps(1)
    assert pw.last_sweep()["outcome"] in ("complete", "running")
    assert pw.changes() == []


@pytest.mark.parametrize("path", ["iam", "metadata"])
def test_a_gzip_bomb_of_iam_or_metadata(pw, sim, path):
    """The services that give credentials can do no such harm either."""
    sim.fleet(nodes=NODES)
    sim.control("auth", mode="token" if path == "iam" else "aksk")
    sim.control("iam/user", domain="acme", user="watch", password="pw")
    if path == "iam":
        pw.source(sim, auth="password", iam_endpoint=sim.endpoint, iam_domain="acme", iam_user="watch",
                  iam_password_file=pw.secret("password", "pw"))
    else:
        pw.source(sim, auth="metadata", metadata_endpoint=sim.endpoint)
    sim.fault("gzip_bomb", path=path, times=0)
    pw.start()
    pw.wait_rows("SELECT 1 FROM sweep WHERE outcome = 'failed'", deadline_s=30)
    assert pw.status_kib("VmHWM") < 400 * 1024
    sim.control("fault/clear")
    pw.wait_rows("SELECT 1 FROM source WHERE baseline_at IS NOT NULL", deadline_s=30)


# A proxy between

class Proxy:
    """An HTTP proxy that knows CONNECT and nothing else; with a status it refuses."""

    def __init__(self, status=None):
        self.status, self.asked, self.over = status, [], threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self):
        while not self.over.is_set():
            try:
                client, _ = self.socket.accept()
            except OSError:
                continue
            self.threads.append(threading.Thread(target=self.serve, args=(client,)))
            self.threads[-1].start()

    def serve(self, client):
        with client:
            client.settimeout(10)
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096) or b"\r\n\r\n"
            self.asked.append(head)
            if self.status:
                client.sendall(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\n\r\n".encode())
                return
            host, port = head.split()[1].decode().rsplit(":", 1)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with socket.create_connection((host, int(port))) as server:
                back = threading.Thread(target=self.pump, args=(server, client))
                back.start()
                self.pump(client, server)
                back.join()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.socket.close()


def test_a_proxy_is_gone_through(secure):
    """With proxy = all goes by CONNECT, the certificate is still the server's, and the proxy learns no key."""
    pw, sim, cert = secure
    sim.control("auth", mode="aksk", access_key="AK-1", secret_key="SK-1")
    proxy = Proxy()
    try:
        pw.source(sim, ca_file=cert, proxy=proxy.url, **pw.aksk())
        pw.sweeps(1)
        assert pw.last_sweep()["records"] == NODES
        assert {head.split()[0] for head in proxy.asked} == {b"CONNECT"}
        assert all(b"AK-1" not in head and b"uthorization" not in head for head in proxy.asked)
    finally:
        proxy.close()


def test_a_proxy_that_refuses(secure):
    """A proxy that wants a log-in, or is not there, is named in the error; the API's server is not asked around it."""
    pw, sim, cert = secure
    proxy = Proxy("407 Proxy Authentication Required")
    try:
        pw.source(sim, ca_file=cert, proxy=proxy.url, retries=0)
        assert pw.once() == 75
        assert "407" in pw.last_sweep()["error_msg"] and proxy.asked
    finally:
        proxy.close()
    assert pw.once() == 75  # now nothing listens there
    assert "onnect" in pw.last_sweep()["error_msg"]
    assert not sim.requests()
