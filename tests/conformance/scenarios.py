"""What each pair of a server and a client is put through. README.md says what the commands do."""

import json
import os
import socket
import struct
import time
from contextlib import contextmanager
from datetime import datetime

import values
from program import DEADLINE, Program, Wrong, shortened

EVENT = "my_event"
TYPES = ("data", "error", "control")
VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors")


class Pair:
    """A server's command, a client's, a transport, and a directory for the sockets."""

    def __init__(self, server, client, transport, directory):
        self.commands = {"server": server, "client": client}
        self.transport, self.directory = transport, directory
        self.programs = []

    def _start(self, role, *arguments):
        name, command = self.commands[role]
        full = [*command, *arguments, "--transport", self.transport]
        program = Program(f"the {role} in {name}", full, self.directory)
        self.programs.append(program)
        return program

    def server(self, *arguments):
        more = ("--set", "port=0") if self.transport == "tcp" else ()
        server = self._start("server", "serve", EVENT, *more, *arguments)
        self.address = server.ready()["address"]
        return server

    def client(self, command, *arguments):
        client = self._start("client", command, EVENT, "--set", "reconnect_delay=0.01", *arguments)
        client.ready()
        return client

    def connected(self, command, server, *arguments):
        """A client that the server knows, and its id."""
        client = self.client(command, *arguments)
        return client, server.until("connected")["connected"]

    def end(self):
        for program in self.programs:
            program.kill()


def expect(program, data, message_type="data", sender=None):
    line = program.until("event")
    wanted = {"event": EVENT, "type": message_type, "data": data}
    if sender:
        wanted["from"] = sender
    got = {key: line.get(key) for key in wanted}
    if not values.same(got, wanted):
        raise Wrong(f"{program.name} got\n  {shortened(got)}\nand not\n  {shortened(wanted)}")
    moment = datetime.fromisoformat(line["timestamp_iso"]).timestamp()
    if abs(moment * 1000 - line["timestamp_ms"]) > 1 or abs(moment - time.time()) > 600:
        raise Wrong(f"{program.name} got wrong timestamps: {shortened(line)}")


def expect_error(program, status):
    line = program.until("error")
    if line["error"]["status"] != status or not line["error"]["text"]:
        raise Wrong(f"{program.name} says {shortened(line)}, and not the status {status}")


# --- Scenarios ------------------------------------------------------------------------------------


def _both_ways(pair, payloads):
    server = pair.server()
    client, sender = pair.connected("send", server, "--count", str(len(payloads)))
    messages = [{"type": TYPES[n % 3], "data": data} for n, data in enumerate(payloads)]
    client.say(*messages)
    client.end_input()
    for message in messages:
        expect(server, message["data"], message["type"], sender)
    server.say(*messages)
    for message in messages:
        expect(client, message["data"], message["type"])
    client.ends()
    server.until("disconnected")
    server.ends()


def all_values(pair):
    _both_ways(pair, list(values.PAYLOADS.values()))


def large(pair):
    megabyte = 1 << 20
    _both_ways(pair, [{"text": "é" * (megabyte // 2)}, values.PAYLOADS["bin"],
                      {"many": [{"$bin": "AAEC" * (megabyte // 16)}] * 4}])


def backlog(pair):
    server = pair.server("--set", "message_queue_size=5")
    server.say(*({"type": TYPES[n % 3], "data": {"n": n}} for n in range(8)))
    server.stat("queued", 5)
    first = pair.client("listen", "--count", "6")
    for n in range(3, 8):
        expect(first, {"n": n}, TYPES[n % 3])
    second, _ = pair.connected("listen", server, "--count", "1"), server.stat("clients", 2)
    server.say({"data": {"n": 8}})
    for client in first, second[0]:
        expect(client, {"n": 8})
        client.ends()
    server.ends()


def unicast(pair):
    server = pair.server()
    quiet = ("--set", "auto_reconnect=false")
    one, one_id = pair.connected("listen", server, *quiet)
    two, two_id = pair.connected("listen", server, *quiet)
    server.say({"to": two_id, "data": {"for": "two"}}, {"to": one_id, "data": {"for": "one"}},
               {"data": {"for": "both"}}, {"to": "client-99", "data": {}})
    expect_error(server, -8)
    for client, name in (one, "one"), (two, "two"):
        expect(client, {"for": name})
        expect(client, {"for": "both"})
    server.say({"do": "disconnect", "client": one_id}, {"data": {"for": "who is left"}})
    expect_error(one, -4)
    one.ends(1)
    expect(two, {"for": "who is left"})
    server.say({"do": "disconnect", "client": one_id})
    while "error" not in (line := server.line()):
        if line != {"disconnected": one_id}:
            raise Wrong(f"{server.name} says {shortened(line)}")
    if line["error"]["status"] != -8:
        raise Wrong(f"{server.name} says {shortened(line)}, and not the status -8")
    server.ends()
    expect_error(two, -4)
    two.ends(1)


def reconnect(pair):
    client = pair.client("listen", "--open", "--count", "3")
    for n in range(3):
        server = pair.server()
        server.until("connected")
        server.say({"data": {"n": n}})
        expect(client, {"n": n})
        server.ends()
    client.ends()


def refusal(pair):
    server = pair.server("--set", "max_connections=1")
    one, _ = pair.connected("listen", server, "--count", "1")
    # It may be refused before or after it is ready.
    two = pair._start("client", "listen", EVENT, "--set", "auto_reconnect=false")
    if "ready" in (line := two.line()):
        line = two.line()
    if line.get("error", {}).get("status") != -6:
        raise Wrong(f"{two.name} says {shortened(line)}, and not the status -6")
    two.ends(1)
    server.stat("rejected", 1)
    server.say({"data": {"for": "one"}})
    expect(one, {"for": "one"})
    one.ends()
    server.ends()


def denial(pair):
    server = pair.server("--set", "allow_client_send=false")
    client, _ = pair.connected("send", server, "--count", "2")
    client.say({"data": {"n": 1}})
    server.stat("denied", 1)
    server.stat("messages_received", 0)
    server.say({"data": {"n": 2}})
    client.end_input()
    line = client.until("event")
    if line["type"] != "error" or line["data"].get("code") != "send_denied":
        raise Wrong(f"{client.name} says {shortened(line)}, and not that sending is denied")
    expect(client, {"n": 2})
    client.ends()
    server.ends()


def ordered(pair):
    numbers = range(10_000)
    server = pair.server()
    client, sender = pair.connected("send", server, "--count", str(len(numbers)))
    messages = [{"data": {"n": n}} for n in numbers]
    server.say(*messages)
    client.say(*messages)
    client.end_input()
    for program, known in (server, sender), (client, None):
        for n in numbers:
            line = program.until("event")
            if line["data"] != {"n": n} or line.get("from") != known:
                raise Wrong(f"{program.name} got {shortened(line)} as number {n}")
    client.ends()
    server.ends()


# --- Peers that err -------------------------------------------------------------------------------


def _vectors(name):
    with open(os.path.join(VECTORS, f"{name}.jsonl"), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


MALFORMED = _vectors("malformed")
HARMLESS = [bytes.fromhex(it["frame"]) for it in MALFORMED if it["connection"] == "stays open"]
FATAL = [bytes.fromhex(it["frame"]) for it in MALFORMED if it["connection"] == "closed"]
GOOD = next(it for it in _vectors("valid") if it["name"] == "unicode")


def _socket(address, transport):
    peer = socket.socket(socket.AF_UNIX if transport == "unix" else socket.AF_INET)
    peer.settimeout(DEADLINE)
    if transport == "tcp":
        host, _, port = address.rpartition(":")
        address = (host, int(port))
    peer.connect(address)
    return peer


def _expect_good(program):
    line = program.until("event")
    got = {key: line[key] for key in ("event", "type", "data", "timestamp_ms", "timestamp_iso")}
    wanted = {"event": GOOD["envelope"]["event_name"], "type": GOOD["envelope"]["message_type"]}
    wanted |= {key: GOOD["envelope"][key] for key in got.keys() - wanted.keys()}
    if not values.same(got, wanted):
        raise Wrong(f"{program.name} got {shortened(got)} and not {shortened(wanted)}")


def malformed_client(pair):
    server = pair.server()
    client, sender = pair.connected("send", server, "--count", "1")
    with _socket(pair.address, pair.transport) as peer:
        server.until("connected")
        peer.sendall(b"".join(HARMLESS) + bytes.fromhex(GOOD["frame"]))
        _expect_good(server)
    for frame in FATAL:
        with _socket(pair.address, pair.transport) as peer:
            peer.sendall(frame)
            try:
                while peer.recv(4096):
                    pass
            except ConnectionResetError:
                pass
            except TimeoutError:
                raise Wrong(f"the connection stays open after {frame!r}") from None
    server.stat("malformed", len(HARMLESS) + len(FATAL))
    client.say({"data": {"all": "well"}})
    expect(server, {"all": "well"}, sender=sender)
    server.say({"data": {"all": "well"}})
    client.end_input()
    expect(client, {"all": "well"})
    client.ends()
    server.ends()


@contextmanager
def _own_server(pair):
    """A server of ours, and what makes clients find it."""
    more = ()
    if pair.transport == "unix":
        server = socket.socket(socket.AF_UNIX)
        server.bind(os.path.join(pair.directory, f"{EVENT}.sock"))
        server.listen()
    else:
        server = socket.create_server(("127.0.0.1", 0))
        more = ("--set", f"port={server.getsockname()[1]}")
    server.settimeout(DEADLINE)
    with server:
        yield server, more


def malformed_server(pair):
    good = bytes.fromhex(GOOD["frame"])
    with _own_server(pair) as (server, more):
        for frame in FATAL:
            client = pair.client("listen", "--open", *more)
            with server.accept()[0] as peer:
                peer.sendall(b"".join(HARMLESS) + good + struct.pack(">I", 100) + b"half a frame")
                _expect_good(client)
            with server.accept()[0] as peer:
                peer.sendall(good + frame)
                _expect_good(client)
                expect_error(client, -5)
            client.ends(1)


SCENARIOS = {scenario.__name__: scenario for scenario in (
    all_values, large, backlog, unicast, reconnect, refusal, denial, ordered, malformed_client,
    malformed_server)}
