#!/usr/bin/env python3
"""A peer written from docs/wire-protocol.md alone, for tests/conformance: see the README there."""

import argparse
import json
import os
import queue
import sys
import threading
import time
from collections import Counter, deque

import peer_wire as wire
from peer_values import described, read_line

TIMEOUT, CLOSED, MESSAGE, MAX_CONNECTIONS, NO_CLIENT = -3, -4, -5, -6, -8

output = threading.Lock()


def write(line):
    text = json.dumps(line, ensure_ascii=False)
    with output:
        print(text, flush=True)


class Failure(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status

    def write(self):
        write({"error": {"status": self.status, "text": str(self)}})


def write_message(envelope, sender=None):
    line = {
        "event": envelope["event_name"],
        "type": envelope["message_type"],
        "data": described(envelope["data"]),
        "timestamp_ms": envelope["timestamp_ms"],
        "timestamp_iso": envelope["timestamp_iso"],
    }
    write(line | {"from": sender} if sender else line)


def frame_of(event, request):
    return wire.frame(event, request.get("data", {}), request.get("type", "data"))


# --- Serving --------------------------------------------------------------------------------------


class Server:
    """Accepts in one thread and reads in one for each client; whoever writes waits."""

    def __init__(self, options, happened):
        self.settings, self.event, self.happened = options.settings, options.event, happened
        self.listener, self.address, self.paths, self.kept = wire.listen(
            options.event, options.transport, options.settings)
        self.clients, self.stats, self.comings = {}, Counter(), 0
        self.backlog = deque(maxlen=int(self.settings["message_queue_size"]))
        self.mutex = threading.Lock()

    def accept(self):
        while True:
            peer, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with self.mutex:
            limit = int(self.settings["max_connections"])
            full = len(self.clients) >= limit
            if not full:
                self.comings += 1
                client = f"client-{self.comings}"
                self.clients[client] = peer
                write({"connected": client})
                self.stats["connections"] += 1
                while self.backlog:
                    peer.sendall(self.backlog.popleft())
        if full:
            self.stats["rejected"] += 1
            self.warn(peer, "max_connections", limit=limit)
        else:
            self.read(peer, client)
            with self.mutex:
                self.clients.pop(client, None)
                write({"disconnected": client})
        wire.hang_up(peer)

    def warn(self, peer, code, **more):
        data = {"code": code, "message": f"refused: {code}"} | more
        peer.sendall(wire.frame(self.event, data, "error"))

    def read(self, peer, client):
        denied = False
        while True:
            try:
                body = wire.read_body(peer, self.settings)
            except wire.TooLarge:
                self.stats["malformed"] += 1
                return
            except (EOFError, OSError):
                return
            envelope = wire.envelope_of(body, self.settings)
            if not envelope:
                self.stats["malformed"] += 1
            elif self.settings["allow_client_send"] == "false":
                self.stats["denied"] += 1
                if not denied:
                    self.warn(peer, "send_denied")
                denied = True
            else:
                self.stats["messages_received"] += 1
                write_message(envelope, client)
                self.happened.put("received")

    def send(self, data, client):
        with self.mutex:
            if client is None:
                recipients = list(self.clients.values())
                if not recipients:
                    self.backlog.append(data)
            elif client in self.clients:
                recipients = [self.clients[client]]
            else:
                raise Failure(NO_CLIENT, f"there is no client {client}")
            for peer in recipients:
                try:
                    peer.sendall(data)
                    self.stats["messages_sent"] += 1
                except OSError:
                    pass  # it has left, which its reader says

    def disconnect(self, client):
        with self.mutex:
            peer = self.clients.pop(client, None)
        if not peer:
            raise Failure(NO_CLIENT, f"there is no client {client}")
        threading.Thread(target=wire.hang_up, args=(peer,), daemon=True).start()

    def stat(self, name):
        with self.mutex:
            return {"clients": len(self.clients), "queued": len(self.backlog)}.get(
                name, self.stats[name])

    def do(self, request):
        if request.get("do") == "disconnect":
            self.disconnect(request["client"])
        elif request.get("do") == "stat":
            write({"stat": request["name"], "value": self.stat(request["name"])})
        else:
            self.send(frame_of(self.event, request), request.get("to"))

    def stop(self):
        self.listener.close()
        for path in self.paths:
            os.unlink(path)
        with self.mutex:
            peers = list(self.clients.values())
        for peer in peers:
            wire.hang_up(peer)


def forward_lines(happened):
    for line in sys.stdin:
        happened.put(read_line(line))
    happened.put("end")


def serve(options):
    happened = queue.Queue()
    server = Server(options, happened)
    write({"ready": True, "address": server.address})
    for work, arguments in ((server.accept, ()), (forward_lines, (happened,))):
        threading.Thread(target=work, args=arguments, daemon=True).start()
    missing = options.count
    while missing != 0 and (what := happened.get()) != "end":
        if what == "received":
            missing -= 1
            continue
        try:
            server.do(what)
        except Failure as failure:
            failure.write()
    server.stop()


# --- Listening and sending ------------------------------------------------------------------------


class Client:
    """Connects again by itself, after a delay that grows."""

    def __init__(self, options):
        self.options, self.peer, self.address = options, None, ""
        self.stats, self.first = Counter(), True
        if not options.open:
            try:
                self.connect()
            except OSError as problem:
                raise Failure(CLOSED, f"no server: {problem}") from problem

    def connect(self):
        options = self.options
        self.peer, self.address = wire.connect(options.event, options.transport, options.settings)
        self.first = True

    def connected(self, deadline):
        delay = 0.01
        while not self.peer:
            try:
                self.connect()
                self.stats["reconnects"] += 1
            except OSError as problem:
                if time.monotonic() + delay > deadline:
                    raise Failure(TIMEOUT, f"no server in time: {problem}") from problem
                time.sleep(delay)
                delay = min(2 * delay, 0.5)
        self.peer.settimeout(max(deadline - time.monotonic(), 0.001))
        return self.peer

    def receive(self):
        deadline = time.monotonic() + self.options.timeout / 1000
        while True:
            try:
                body = wire.read_body(self.connected(deadline), self.options.settings)
            except TimeoutError as problem:
                raise Failure(TIMEOUT, "nothing came in time") from problem
            except wire.TooLarge as problem:
                raise Failure(MESSAGE, f"a frame is too large: {problem}") from problem
            except (EOFError, OSError) as problem:
                self.peer.close()
                self.peer = None
                if self.options.settings["auto_reconnect"] == "false":
                    raise Failure(CLOSED, "the server has closed the connection") from problem
                continue
            first, self.first = self.first, False
            envelope = wire.envelope_of(body, self.options.settings)
            if not envelope:
                continue
            if (first and envelope["message_type"] == "error"
                    and envelope["data"].get("code") == "max_connections"):
                raise Failure(MAX_CONNECTIONS, "the server is full")
            self.stats["messages_received"] += 1
            return envelope

    def send(self, data):
        deadline = time.monotonic() + 5
        while True:
            try:
                self.connected(deadline).sendall(data)
                self.stats["messages_sent"] += 1
                return
            except (BrokenPipeError, ConnectionResetError):
                self.peer.close()
                self.peer = None


def receive(client, count):
    while count != 0:
        write_message(client.receive())
        count -= 1


def connect(options):
    client = Client(options)
    write({"ready": True, "address": client.address})
    return client


def listen(options):
    receive(connect(options), options.count)


def send(options):
    client = connect(options)
    for line in sys.stdin:
        request = read_line(line)
        if request.get("do") == "stat":
            write({"stat": request["name"], "value": client.stats[request["name"]]})
        else:
            client.send(frame_of(options.event, request))
    receive(client, max(options.count, 0))
    if client.peer:
        wire.hang_up(client.peer)


# --- Arguments ------------------------------------------------------------------------------------


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("serve", "listen", "send"))
    parser.add_argument("event")
    parser.add_argument("--transport", choices=("unix", "tcp"), default="unix")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--count", type=int, default=-1)
    parser.add_argument("--timeout", type=int, default=10000, metavar="MS")
    parser.add_argument("--open", action="store_true")
    options = parser.parse_args()
    options.settings = dict(wire.SETTINGS)
    for setting in options.set:
        key, equals, value = setting.partition("=")
        if not equals:
            parser.error(f"--set needs KEY=VALUE, not {setting}")
        # What else there is concerns the library alone.
        options.settings[key] = value
    return options


def end_loudly(failed):
    """A thread that fails must not leave the others waiting for it."""
    threading.__excepthook__(failed)
    os._exit(1)


def main():
    options = parse()
    threading.excepthook = end_loudly
    try:
        {"serve": serve, "listen": listen, "send": send}[options.command](options)
    except Failure as failure:
        failure.write()
        sys.exit(1)


main()
