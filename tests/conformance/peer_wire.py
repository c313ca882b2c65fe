"""Frames, envelopes and addresses, as docs/wire-protocol.md has them."""

import fcntl
import os
import socket
import stat
import struct
import time
from datetime import datetime, timezone

from peer_values import Pairs, depth, pack, unpack

SETTINGS = {
    "socket_dir": os.environ.get("DOTSOCK_SOCKET_DIR", "/tmp/sockets"),
    "host": "127.0.0.1",
    "port": "",
    "max_message_size": "16777216",
    "max_depth": "128",
    "max_connections": "1024",
    "message_queue_size": "100",
    "allow_client_send": "true",
    "auto_reconnect": "true",
}

FIELDS = {
    "event_name": str,
    "timestamp_ms": int,
    "timestamp_iso": str,
    "message_type": str,
    "data": Pairs,
}


class TooLarge(Exception):
    """The peer announced a frame that is over the limit."""


# --- Messages -------------------------------------------------------------------------------------


def frame(event, data, message_type="data"):
    now = time.time_ns()
    moment = datetime.fromtimestamp(now // 10**9, timezone.utc)
    moment = moment.replace(microsecond=now // 1000 % 10**6)
    body = pack({
        "event_name": event,
        "timestamp_ms": now // 10**6,
        "timestamp_iso": moment.isoformat(timespec="microseconds"),
        "message_type": message_type,
        "data": data,
    })
    return struct.pack(">I", len(body)) + body


def envelope_of(body, settings):
    """The fields of an envelope; None when it is none."""
    try:
        envelope = unpack(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(envelope, Pairs):
        return None
    fields = {}
    for key, value in envelope.pairs:
        wanted = FIELDS.get(key) if isinstance(key, str) else None
        if wanted and (key in fields or type(value) is not wanted):
            return None
        fields[key if isinstance(key, str) else None] = value
    if not FIELDS.keys() <= fields.keys():
        return None
    if fields["message_type"] not in ("data", "error", "control"):
        return None
    if not all(isinstance(key, str) for key, _ in fields["data"].pairs):
        return None
    return fields if depth(fields["data"]) <= int(settings["max_depth"]) else None


def _read_exactly(peer, size):
    data = bytearray()
    while len(data) < size:
        part = peer.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def read_body(peer, settings):
    """The next frame's body. EOFError at the end, TooLarge, and OSError."""
    (size,) = struct.unpack(">I", _read_exactly(peer, 4))
    if size > int(settings["max_message_size"]):
        raise TooLarge(f"{size} > {settings['max_message_size']}")
    return _read_exactly(peer, size)


def hang_up(peer):
    """Closes a connection without taking away what is on its way."""
    try:
        peer.shutdown(socket.SHUT_WR)
        peer.settimeout(2)
        while peer.recv(65536):
            pass
    except OSError:
        pass
    peer.close()


# --- Addresses ------------------------------------------------------------------------------------


def _path(event, settings, ending):
    return os.path.join(settings["socket_dir"], event + ending)


def _publish(path, address):
    """Writes a discovery file, which counts for as long as the descriptor is open."""
    new = f"{path}.{os.getpid()}"
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    os.write(file, f"{address}\n".encode())
    os.rename(new, path)
    return file


def listen(event, transport, settings):
    """A listening socket, its address, the paths to remove at the end, and descriptors to keep."""
    if transport == "tcp":
        listener = socket.create_server((settings["host"], int(settings["port"] or 0)))
        address = "{}:{}".format(*listener.getsockname())
        path = _path(event, settings, ".tcp")
        return listener, address, [path], [_publish(path, address)]
    path, lock = _path(event, settings, ".sock"), _path(event, settings, ".lock")
    file = os.open(lock, os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(128)
    return listener, path, [path, lock], [file]


def _published(path):
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode) or about.st_uid not in (0, os.getuid()):
            raise PermissionError(f"{path} is not to be trusted")
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.read(file, 300).decode().strip()
        raise FileNotFoundError(f"nobody holds {path}")
    finally:
        os.close(file)


def connect(event, transport, settings):
    """A connected socket, and the server's address. OSError when nobody is there."""
    if transport == "unix":
        peer, path = socket.socket(socket.AF_UNIX), _path(event, settings, ".sock")
        peer.connect(path)
        return peer, path
    address = f"{settings['host']}:{settings['port']}"
    if not settings["port"]:
        address = _published(_path(event, settings, ".tcp"))
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), 5), address
