"""What is measured: sections, who takes part in each, and the marks that are read off them."""

from collections import namedtuple

# One comparison. `low`: a smaller value is better. `counts` maps a peer, or "" for the others, to
# how many messages it sends; a peer may bring arguments of its own: "dotsock_open --cork". Of
# `repeats` runs in a round, one after the other, what counts is their mean.
Section = namedtuple("Section", "name title mode args metric low peers counts rounds repeats",
                     defaults=(1,))

# The value of each of `peers` in `section` against that of `reference` in the same round (in section
# `versus`, where that is another one); without a reference the value itself is what is limited.
# `minus`: what is limited is the difference, not the ratio.
Mark = namedtuple("Mark", "text section peers metric limit low reference versus minus")

NAMES = {
    "dotsock": "dotsock (C, start)",
    "dotsock_open": "dotsock (C, open)",
    "dotsock_run": "dotsock (C, run)",
    "dotsock_tcp": "dotsock (C, start, TCP)",
    "dotsock_rust": "dotsock (Rust, start)",
    "dotsock_rust_tcp": "dotsock (Rust, start, TCP)",
    "receive_c": "dotsock (C)",
    "receive_lua": "dotsock (LuaJIT)",
    "receive_go": "dotsock (Go)",
    "raw_block": "raw socket",
    "raw_epoll": "raw, epoll before each read",
    "raw_batch": "raw, 64 KiB batches",
    "raw_cork": "raw, adaptive",
    "raw_block_env": "raw, with envelope",
    "raw_batch_env": "raw, 64 KiB batches, with envelope",
    "raw_cork_env": "raw, adaptive, with envelope",
    "raw_waits_env": "raw, with envelope and the waits of dotsock",
    "raw_tcp": "raw TCP",
    "raw_tcp_epoll": "raw TCP, epoll before each read",
    "raw_tcp_waits_env": "raw TCP, with envelope and the waits of dotsock",
    "zmq_ipc": "ZeroMQ ipc",
    "zmq_tcp": "ZeroMQ tcp",
    "nng_ipc": "nng ipc",
    "nanomsg_ipc": "nanomsg ipc",
}


ARGUMENTS = {
    "": "",
    "--cork": ", corked",
    "look": ", one value looked up",
    "--sndbuf 212992": ", send buffer 416 KiB",
    "--spin 200": ", spin 200 µs",
}


def name_of(entry):
    peer, _, arguments = entry.partition(" ")
    return NAMES[peer] + ARGUMENTS[arguments]


SIZES = (64, 256, 1024, 65536)
CLIENTS = (10, 100, 1000)
IDLE = (1, 100, 1000, 9000)
RATES = (1_000, 100_000, 1_000_000)
PLACES = {"same": "both on one core", "split": "on two cores", "none": "free to move"}
# By where the scheduler puts its processes, a run that is free to move takes 4 or 60 µs a round trip,
# and 15 or 70 until ten clients have a broadcast.
PLACEMENTS = 8
LIBRARIES = ["zmq_ipc", "nng_ipc", "nanomsg_ipc"]


def size_text(size):
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


def mean_of(repeats):
    return f", mean of {repeats} runs in each round" if repeats > 1 else ""


def sections():
    yield from round_trips()
    yield from throughput()
    yield from broadcasts()
    yield from rates()
    yield from idle()
    yield from active()
    yield from calls()
    yield from languages()


def round_trips():
    for pin, place in PLACES.items():
        count = {"same": 20000, "split": 6000, "none": 2000}[pin]
        others = {"same": 4000, "split": 4000, "none": 1000}[pin]
        repeats = PLACEMENTS if pin == "none" else 1
        place += mean_of(repeats)
        counts = {"": count, **dict.fromkeys(LIBRARIES + ["zmq_tcp"], others)}
        unix = ["raw_block", "raw_epoll", "raw_waits_env", "dotsock", "dotsock_open", "dotsock_run",
                "dotsock_rust", "raw_block --spin 200", "dotsock --spin 200"]
        yield Section(
            f"rtt {pin}", f"Round trip, 64 bytes, Unix socket, {place}", "rtt",
            f"--size 64 --pin {pin}", "p50_us", True, unix + LIBRARIES, counts, None, repeats)
        tcp = ["raw_tcp", "raw_tcp_epoll", "raw_tcp_waits_env", "dotsock_tcp", "dotsock_rust_tcp",
               "dotsock_tcp --spin 200", "zmq_tcp"]
        yield Section(
            f"rtt tcp {pin}", f"Round trip, 64 bytes, TCP, {place}", "rtt",
            f"--size 64 --pin {pin}", "p50_us", True, tcp, counts, None, repeats)


# The raw socket with the same send buffer as the library's: both ends ask for 208 KiB, of which the
# kernel makes 416 (src/transport/unix.rs).
SAME_BUFFER = "raw_block --sndbuf 212992"


def larger_buffer(size):
    return [SAME_BUFFER] if size == 65536 else []


def throughput():
    # Messages that each kind of sender gets through in about half a second.
    batched = {64: 2_000_000, 256: 1_500_000, 1024: 700_000, 65536: 20_000}
    single = {64: 400_000, 256: 350_000, 1024: 300_000, 65536: 20_000}
    library = {64: 100_000, 256: 100_000, 1024: 80_000, 65536: 5_000}
    for size in SIZES:
        counts = {
            "": batched[size], "raw_block": single[size], "zmq_ipc": batched[size] // 2,
            "zmq_tcp": batched[size] // 2, "nng_ipc": library[size], "nanomsg_ipc": library[size],
        }
        text, args = size_text(size), f"--size {size}"
        yield Section(
            f"tput {size}", f"Server to one client, {text}", "tput", args, "msgs_per_s", False,
            ["raw_block", *larger_buffer(size), "raw_cork_env", "raw_batch_env", "dotsock",
             "dotsock_rust", "dotsock_open --cork", "dotsock_run --cork", "zmq_tcp", *LIBRARIES],
            counts, None)
        counts = {**counts, "dotsock": single[size], "dotsock_rust": single[size],
                  "dotsock --cork": batched[size], "dotsock_rust --cork": batched[size]}
        yield Section(
            f"up {size}", f"Client to server, {text}", "tput", args + " --up", "msgs_per_s", False,
            ["raw_block", *larger_buffer(size), "raw_cork_env", "raw_batch_env", "dotsock",
             "dotsock_rust", "dotsock --cork", "dotsock_rust --cork", *LIBRARIES], counts, None)


def broadcasts():
    for clients in CLIENTS:
        # nanomsg allows 512 sockets a process.
        libraries = [peer for peer in LIBRARIES if clients < 500 or peer != "nanomsg_ipc"]
        args = f"--size 256 --clients {clients}"
        counts = {"": max(1_500_000 // clients, 1200), "raw_block": 400_000 // clients,
                  **dict.fromkeys(LIBRARIES, 200_000 // clients)}
        yield Section(
            f"fanout {clients}", f"Broadcast of 256 bytes to {clients:,} clients, deliveries",
            "fanout", args, "msgs_per_s", False,
            ["raw_block", "raw_cork_env", "raw_batch_env", "dotsock", "dotsock_rust", *libraries],
            counts, None)
        repeats = PLACEMENTS if clients < 1000 else 1
        counts = {"": 80_000 // clients // repeats,
                  **dict.fromkeys(LIBRARIES, 40_000 // clients // repeats)}
        yield Section(
            f"lockstep {clients}", f"One broadcast until all {clients:,} clients have it{mean_of(repeats)}",
            "fanout", args + " --lockstep", "p50_us", True,
            ["raw_block", "raw_waits_env", "dotsock", "dotsock_rust", *libraries], counts, None, repeats)


def rates():
    for rate in RATES:
        counts = {"": 600 if rate == 1000 else rate // 3}
        slow = ["nng_ipc", "nanomsg_ipc"] if rate <= 100_000 else []
        yield Section(
            f"rate {rate}", f"One way at {rate:,} messages a second, 64 bytes", "oneway",
            f"--size 64 --rate {rate}", "p50_us", True,
            ["raw_block", "raw_epoll", "raw_cork", "dotsock", "dotsock_rust", "zmq_ipc", *slow],
            counts, None)


def idle():
    for clients in IDLE:
        libraries = [peer for peer in LIBRARIES if clients < 500 or peer != "nanomsg_ipc"]
        yield Section(
            f"idle {clients}", f"{clients:,} idle connections, the server's resident memory",
            "idle", f"--clients {clients}", "rss_kb", True,
            ["raw_block", "dotsock", "dotsock_open", "dotsock_run", "dotsock_rust", *libraries],
            {"": 0}, 2)


def active():
    for clients in (0, 5000):
        yield Section(
            f"active {clients}", f"One active client among {clients:,} idle ones, both on one core",
            "active", f"--clients {clients} --size 64 --pin same", "p50_us", True,
            ["raw_block", "dotsock", "dotsock_rust", "zmq_ipc"],
            {"": 15000, "zmq_ipc": 5000}, None)


def calls():
    peers = ["raw_block", "raw_epoll", "dotsock", "dotsock_open", "dotsock_rust", *LIBRARIES]
    yield Section("calls rtt", "System calls of a round trip, both sides", "calls-rtt", "--size 64",
                  "calls", True, peers, {"": 2000}, 2)
    peers = ["raw_block", "raw_batch_env", "dotsock", "dotsock_open --cork", "dotsock_rust", *LIBRARIES]
    yield Section("calls tput", "System calls of a message in a burst, both sides, 64 bytes, without those for locks",
                  "calls-tput", "--size 64", "calls", True, peers,
                  {"": 2_000_000, "raw_block": 400_000, "zmq_ipc": 1_000_000, "nng_ipc": 100_000,
                   "nanomsg_ipc": 100_000}, 2)


def languages():
    peers = ["receive_c", "receive_lua", "receive_go"]
    peers += [peer + " look" for peer in peers]
    yield Section("receive", "Receiving a payload of 64 bytes in other languages, CPU of the receiver",
                  "receive", "", "cpu_us_per_msg", True, peers, {"": 300_000}, None)
    yield Section("wait", "1,000 Go clients that wait in one process, its threads", "wait", "",
                  "threads", True, ["receive_go"], {"": 1000}, 2)


C_AND_RUST = ("dotsock", "dotsock_rust")
ALL_WAYS = (*C_AND_RUST, "dotsock_open", "dotsock_run")
TCP = ("dotsock_tcp", "dotsock_rust_tcp")
# Bytes of a frame with 64 bytes of payload, as the benchmarks send it: of these, 16 KiB on each side
# are worth a system call.
FRAME = 199
CALLS_IN_BURST = round(2 * FRAME / 16384, 3)
ITSELF = "itself"

# Sections that a quick run is content with.
QUICK = ("rtt same", "rtt split", "tput 64", "tput 1024", "up 64", "fanout 100", "lockstep 100",
         "rate 100000", "idle 1000", "calls rtt")


def marks():
    def mark(text, section, peers, limit, reference=None, low=True, metric=None, versus=None,
             minus=False):
        return Mark(text, section, peers, metric, limit, low, reference, versus, minus)

    yield mark("round trip, one core", "rtt same", ALL_WAYS, 1.2, "raw_block")
    for pin in ("split", "none"):
        yield mark(f"round trip, {PLACES[pin]}", f"rtt {pin}", ALL_WAYS, 1.1, "raw_epoll")
    yield mark("round trip, TCP, one core", "rtt tcp same", TCP, 1.2, "raw_tcp")
    for pin in ("split", "none"):
        yield mark(f"round trip, TCP, {PLACES[pin]}", f"rtt tcp {pin}", TCP, 1.1, "raw_tcp_epoll")
    yield mark("system calls of a round trip", "calls rtt", C_AND_RUST, 6.05)
    yield mark("system calls of a message in a burst (one for 16 KiB on each side)", "calls tput",
               (*C_AND_RUST, "dotsock_open --cork"), CALLS_IN_BURST)
    yield mark("CPU of a 64-byte message, both processes", "rtt same", C_AND_RUST, 1.2,
               "raw_block", metric="cpu_us_per_msg")
    for size in SIZES:
        reference = SAME_BUFFER if size == 65536 else "raw_cork_env"
        yield mark(f"server to client, {size_text(size)}", f"tput {size}",
                   (*C_AND_RUST, "dotsock_open --cork", "dotsock_run --cork"), 0.9, reference,
                   low=False)
    for size in SIZES[:3]:
        yield mark(f"server to client, {size_text(size)} (an aim)", f"tput {size}", C_AND_RUST, 2.5,
                   "zmq_ipc", low=False)
    for size in SIZES:
        large = size == 65536
        yield mark(f"client to server, {size_text(size)}", f"up {size}", C_AND_RUST, 0.9,
                   SAME_BUFFER if large else "raw_block", low=False)
        reference = SAME_BUFFER if large else "raw_cork_env"
        yield mark(f"client to server, corked, {size_text(size)}", f"up {size}",
                   ("dotsock --cork", "dotsock_rust --cork"), 0.9, reference, low=False)
    for clients in CLIENTS:
        yield mark(f"broadcast to {clients:,}, deliveries a second", f"fanout {clients}",
                   C_AND_RUST, 0.8, "raw_cork_env", low=False)
    for clients in CLIENTS:
        yield mark(f"one broadcast until all {clients:,} have it", f"lockstep {clients}",
                   C_AND_RUST, 1.2, "raw_block")
    yield mark("1,000 idle clients, MB", "idle 1000", ALL_WAYS, 4.0, metric="rss_mb")
    yield mark("9,000 idle clients, MB", "idle 9000", ALL_WAYS, 8.0, metric="rss_mb")
    yield mark("bytes for each of 9,000 idle clients", "idle 9000", ALL_WAYS, 600,
               metric="bytes_a_client")
    yield mark("threads with start", "idle 1000", C_AND_RUST, 2, metric="threads")
    yield mark("threads with open", "idle 1000", ("dotsock_open",), 1, metric="threads")
    yield mark("threads with run, the one that measures included", "idle 1000", ("dotsock_run",), 2,
               metric="threads")
    yield mark("wake-ups of an idle server in a second", "idle 1000", (*C_AND_RUST, "dotsock_run"), 0,
               metric="wakeups")
    yield mark("one active among 5,000 idle, against alone", "active 5000", C_AND_RUST, 1.05,
               ITSELF, versus="active 0")
    for rate in RATES[:2]:
        yield mark(f"one way at {rate:,} a second", f"rate {rate}", C_AND_RUST, 1.3, "raw_block")
    yield mark("one way at 1,000,000 a second, µs", f"rate {RATES[2]}", C_AND_RUST, 31.0)
    yield mark("receiving in another language, CPU over C, µs", "receive",
               ("receive_lua", "receive_go"), 1.5, "receive_c", minus=True)
    yield mark("threads of 1,000 Go clients that wait", "wait", ("receive_go",), 19)
