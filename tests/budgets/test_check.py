"""What check.py makes of a log of strace, and where.py of a dump. `python3 -m unittest discover -s tests/budgets`"""

import unittest

import check
import where

LOG = """\
10 prctl(PR_SET_NAME, "other")      = 0
11 prctl(PR_SET_NAME, "client")     = 0
12 epoll_wait(4,  <unfinished ...>
10 prctl(PR_SET_NAME, "burst")      = 0
10 pwritev2(6, [{iov_base="", iov_len=1}], 1, -1, 0) = 1
10 sendto(15, "abc"..., 186, MSG_DONTWAIT|MSG_NOSIGNAL, NULL, 0) = 186
12 <... epoll_wait resumed>[{events=EPOLLIN}], 64, -1) = 1
11 recvfrom(6, "abc"..., 65536, MSG_DONTWAIT, NULL, NULL) = 186
12 read(8, "\\1", 8)                 = 8
11 prctl(PR_SET_NAME, "burst" <unfinished ...>
11 <... prctl resumed>)             = 0
11 ppoll([{fd=6, events=POLLIN}], 1, NULL, NULL, 8) = 1
--- SIGCHLD {si_signo=SIGCHLD} ---
10 prctl(PR_SET_NAME, "end")        = 0
10 sendto(15, "abc"..., 186, MSG_DONTWAIT|MSG_NOSIGNAL, NULL, 0) = 186
11 ppoll([{fd=6, events=POLLIN}], 1, NULL, NULL, 8) = 1
11 prctl(PR_SET_NAME, "end")        = 0
""".splitlines()


class Calls(unittest.TestCase):
    def test_counts_what_each_side_does_between_its_marks(self):
        counts = check.count_calls(LOG)
        self.assertEqual(counts["burst", "server"], {"sendto": 1, "read": 1})
        self.assertEqual(counts["burst", "client"], {"ppoll": 2})

    def test_a_limit_is_for_what_a_path_has_moved(self):
        counts, said = check.count_calls(LOG), {"burst": (4, 32768)}
        for unit, limit, fails in ((check.PER_MESSAGE, 0.5, False), (check.PER_16_KIB, 0.9, True)):
            row, over = check.row_of_calls(counts, said, "burst", "server", unit, limit)
            self.assertIn("sendto 1", row)
            self.assertEqual(over is not None, fails)

DUMP = """\
fn=(1) walk
0 5
cfn=(2) sock_send'2
calls=10 7
0 1000
fn=(2)
7 100
cfn=(3) <dotsock::server::Server<T>>::dispatch::h0123456789abcdef
calls=10 9
+1 900
fn=(3)
9 880
* 20
"""


class Where(unittest.TestCase):
    def test_a_function_stands_below_its_caller_with_its_share(self):
        lines = where.tree(where.Calls(DUMP), 10).splitlines()
        self.assertRegex(lines[0], "100% +100  sock_send$")
        self.assertRegex(lines[1], " 90% +90    [^ ]*dispatch$")
        self.assertEqual(len(lines), 2)


if __name__ == "__main__":
    unittest.main()
