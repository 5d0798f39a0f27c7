"""Mail servers on loopback: aiosmtpd in a thread, and one that follows a script."""

import asyncio
import email
import email.policy
import socket
import ssl
import subprocess
import threading
import time

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


def make_certificate(folder, name="localhost", alt="DNS:localhost,IP:127.0.0.1"):
    """A self-signed certificate and its key."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={alt}", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return certificate, key


class Mailbox:
    """An SMTP server that keeps what it is given in `got`.

    tls: "starttls" or "smtps", with `certificate`. users: name to password; then a login is required. replies: what is
    answered to a command in place of its due: {"RCPT": {"ops@example": "550 no"}}, {"DATA": "451 later"}; delays likewise.
    """

    def __init__(self, tls=None, certificate=None, users=None, replies=None, mechanisms=None, delays=None):
        self.got, self.logins, self.commands = [], [], []
        self.replies, self.delays = replies or {}, delays or {}
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
        excluded = [one for one in ("PLAIN", "LOGIN") if mechanisms and one not in mechanisms]

        def authenticate(_server, _session, _envelope, mechanism, data):
            assert isinstance(data, LoginPassword)
            name, password = data.login.decode(), data.password.decode()
            self.logins.append((mechanism, name, password))
            return AuthResult(success=users.get(name) == password, handled=False)

        def protocol():
            return SMTP(self, hostname="mail.test", tls_context=context if tls == "starttls" else None,
                        require_starttls=tls == "starttls", authenticator=authenticate if users else None,
                        auth_required=bool(users), auth_require_tls=not users, auth_exclude_mechanism=excluded, timeout=60)

        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(
            self.loop.create_server(protocol, "127.0.0.1", 0, ssl=context if tls == "smtps" else None))
        self.port = self.server.sockets[0].getsockname()[1]
        scheme = "smtps" if tls == "smtps" else "smtp"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def close(self):
        async def stop():
            self.server.close()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def answer(self, command, otherwise):
        self.commands.append(command)
        await asyncio.sleep(self.delays.get(command, 0))
        reply = self.replies.get(command)
        return reply(self) if callable(reply) else reply or otherwise

    async def handle_EHLO(self, _server, session, _envelope, hostname, responses):
        session.host_name = hostname
        self.commands.append(f"EHLO {hostname}")
        return responses

    async def handle_MAIL(self, _server, _session, envelope, address, options):
        envelope.mail_from, envelope.mail_options = address, options
        return await self.answer("MAIL", "250 OK")

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        self.commands.append(f"RCPT {address}")
        reply = self.replies.get("RCPT", {}).get(address, "250 OK")
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, _server, session, envelope):
        reply = await self.answer("DATA", "250 taken")
        self.got.append({"from": envelope.mail_from, "to": list(envelope.rcpt_tos), "raw": envelope.original_content,
                         "tls": session.ssl is not None, "reply": reply,
                         "mail": email.message_from_bytes(envelope.original_content, policy=email.policy.default)})
        return reply

    async def handle_QUIT(self, _server, _session, _envelope):
        return await self.answer("QUIT", "221 bye")

    def wait_for(self, command, deadline_s=5):
        end = time.monotonic() + deadline_s
        while command not in self.commands:
            assert time.monotonic() < end, f"{command} never came: {self.commands}"
            time.sleep(0.01)


class Script:
    """Answers the commands of one client after the other: {"": greeting, "EHLO": …, "message": …}. None: says nothing any
    more; "close": drops the connection; "reset": with a reset."""

    DUE = {"": "220 hello", "EHLO": "250-me\r\n250 8BITMIME", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go on",
           "message": "250 taken", "QUIT": "221 bye"}

    def __init__(self, **answers):
        self.answers = {**self.DUE, **{("" if key == "greeting" else key): value for key, value in answers.items()}}
        self.commands = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.held = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    def say(self, peer, command):
        answer = self.answers.get(command, "500 what?")
        if answer is None:
            self.held.append(peer)
            return False
        if answer == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if answer in ("close", "reset"):
            peer.close()
            return False
        if callable(answer):
            answer(peer)
            return False
        peer.sendall(answer.encode() + b"\r\n")
        return True

    def talk(self, peer):
        lines = peer.makefile("rb")
        in_message = False
        if not self.say(peer, ""):
            return
        for line in lines:
            if in_message:
                if line != b".\r\n":
                    continue
                in_message, command = False, "message"
            else:
                command = line.split()[0].decode("latin-1").upper() if line.strip() else ""
                in_message = command == "DATA"
            self.commands.append(command)
            if not self.say(peer, command):
                return

    def close(self):
        self.listener.close()
        for peer in self.held:
            peer.close()
