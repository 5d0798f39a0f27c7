"""What the tests of hooks share: events as patchwatch writes them, hook-cli, and a receiver on loopback that
answers as it is told and remembers what it got."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

HOOK_CLI = os.environ.get("HOOK_CLI", str(Path(__file__).resolve().parents[2] / "build/dev/bin/hook-cli"))
SANITIZER = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99", "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=99"}
COUNTS = ("count", "critical", "high", "medium", "low", "informational", "unspecified")
HOSTILE = "<!channel> @here `x` *b* _i_ & \"q\" \\ {{node.key}} \n\r\x1b[2J\x00\u202e\u00e9 \U0001f680 </script>"


def counts(**given):
    return {name: given.get(name, 0) for name in COUNTS}


def event(number=1, kind="node.non_compliant", name="prod-web-1", time_ms=1795506828123, source="prod", **data):
    """A CloudEvent of a node, as docs/events.md has it."""
    key = data.pop("key", f"ECS/i-{number}")
    to = {"node.compliant": "compliant", "node.missing": None}.get(kind, "non_compliant")
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ms // 1000)) + f".{time_ms % 1000:03}Z"
    node = {"key": key, "name": name, "instance_id": f"i-{number}", "node_id": None, "ip": "192.168.0.17", "eip": None,
            "region": "cn-north-4", "group": None, "enterprise_project_id": "0", "operating_system": "EulerOS",
            "report_scene": "ECS", "cce_info_id": None}
    report = {"id": "r-2", "status": to, "status_text": to, "baseline_id": "bl-1", "baseline_name": "Linux default",
              "rule_type": "default", "report_time": time_ms, "job_id": "job-2", "order_id": "order-2",
              "compliant": counts(count=118), "non_compliant": counts(count=2, high=2)}
    body = {"node": {**node, **data.pop("node", {})}, "from": "compliant", "to": to, "cause": "patches", "report": report,
            "previous": None, "sweep": 97, **data}
    return {"specversion": "1.0", "id": f"00000000-0000-5000-8000-{number:012}", "source": f"/patchwatch/{source}",
            "type": "io.patchwatch." + kind, "subject": key, "time": stamp, "datacontenttype": "application/json",
            "recordedtime": stamp, "sequence": f"{number:019}", "data": body}


def source_event(kind, number=50, time_ms=1795506828123, **data):
    made = event(number, kind, time_ms=time_ms)
    del made["subject"]
    made["data"] = {"sweep": 5, "cause": "failed", **data}
    return made


def line(one):
    return json.dumps(one, ensure_ascii=False, separators=(",", ":"))


class Hook:
    """One hook, "h", of an alerts.yaml in its own folder."""

    def __init__(self, folder, **keys):
        self.folder = folder
        self.alerts = folder / "alerts.yaml"
        self.alerts.write_text("version: 1\nhooks:\n  h: " + json.dumps({"type": "webhook", **keys}) + "\n"
                               "rules: [{name: r, hooks: [h]}]\n", encoding="utf-8")

    def secret(self, name, text, mode=0o600):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def run(self, *arguments, text="", env=None):
        return subprocess.run([HOOK_CLI, str(self.alerts), "h", *map(str, arguments)], input=text.encode(),
                              capture_output=True, timeout=120, check=False, env={**SANITIZER, **(env or {})})

    def send(self, *events, options=(), env=None):
        """The outcomes; all that was printed is kept in self.log."""
        done = self.run(*options, text="".join(line(one) + "\n" for one in events), env=env)
        self.log = done.stderr.decode()
        assert done.returncode == 0, self.log
        outcomes = [json.loads(one) for one in done.stdout.decode().splitlines()]
        return outcomes if "--each" in options else outcomes[0]

    def check(self, env=None):
        """The problems of the file, and whether it was taken."""
        done = self.run(text=line(event()) + "\n", env=env)
        assert done.returncode in (0, 78), done.stderr.decode()
        return done.stderr.decode(), done.returncode == 0


class Receiver:
    """An HTTP server. answers: (status, headers, body) for each request, the last one repeats; or "close"."""

    def __init__(self, answers=((200, {}, b"ok"),), tls=None):
        self.got, self.answers = [], list(answers)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append({"path": self.path, "headers": dict(self.headers.items()), "body": body})
                number = min(len(receiver.got), len(receiver.answers)) - 1
                receiver.answer(self, receiver.answers[number])

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @staticmethod
    def answer(handler, answer):
        if answer == "close":
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return
        if callable(answer):
            answer(handler)
            handler.close_connection = True
            return
        status, headers, body = answer
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def json(self, number=-1):
        return json.loads(self.got[number]["body"])

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def verify(got, secret, now=None, tolerance_s=300):
    """Standard Webhooks 1.0 as its text has it, independent of what sends: raises where it does not hold."""
    headers = {name.lower(): value for name, value in got["headers"].items()}
    stamp = int(headers["webhook-timestamp"])
    assert abs((now or time.time()) - stamp) < tolerance_s
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = f"{headers['webhook-id']}.{stamp}.".encode() + got["body"]
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert expected in headers["webhook-signature"].split(" ")
    return headers["webhook-id"]
