/* limits.c - as many clients as a server can have, and one more.
 *
 *     limits CLIENTS [--no-times]
 *
 * The clients are bare sockets of a second process, which reads all that comes and counts it. At 1, 100,
 * 1,000, ... of them: the server's memory for each, the time that a broadcast takes to be sent and
 * to be with everybody, the CPU time of an idle second. Then the limit of max_connections is reached
 * and left again, and that of descriptors. */
#define _GNU_SOURCE
#include "must.h"
#include "numbered.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, BROADCASTS = 20, OWN_DESCRIPTORS = 64 };

static struct shared {
    int transport, port;
    char path[200];
    atomic_long wanted;                 /* so many shall there be */
    atomic_long open, refused, pending; /* so many there are; closed by the server; not accepted yet */
    _Atomic int64_t bytes;              /* read by all */
} *shared;

static char directory[] = "/tmp/dotsock-XXXXXX", sockets[100];
static sock_server *server;

#define UNTIL(condition)                                                                                       \
    do {                                                                                                       \
        for (int64_t until_ = now_ms() + PATIENCE_MS; !(condition); poll(NULL, 0, 1))                          \
            if (now_ms() > until_)                                                                             \
                fail("in vain: %s", #condition);                                                               \
    } while (0)

static long allow_descriptors(long count)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < (rlim_t)count ? limit.rlim_max : (rlim_t)count;
    setrlimit(RLIMIT_NOFILE, &limit);
    return (long)limit.rlim_cur;
}

/* ---- the crowd ---- */

static int dial(void)
{
    int fd = socket(shared->transport == DOTSOCK_TCP ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un unix_address = {.sun_family = AF_UNIX};
    struct sockaddr_in tcp_address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)shared->port)};
    tcp_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    strcpy(unix_address.sun_path, shared->path);
    int is_tcp = shared->transport == DOTSOCK_TCP;
    if (fd < 0 ||
        connect(fd, is_tcp ? (struct sockaddr *)&tcp_address : (struct sockaddr *)&unix_address,
                is_tcp ? sizeof tcp_address : sizeof unix_address) != 0)
        fail("connect: %m");
    return fd;
}

static void hang_up(int epoll, int fd)
{
    struct linger at_once = {1, 0}; /* TCP would keep the port for a minute */
    epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    shared->open--;
}

__attribute__((noreturn)) static void be_crowd(long most)
{
    static unsigned char unread[1 << 16];
    struct epoll_event events[512];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    char *is_open = calloc((size_t)most + 4096, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        for (int burst = 0; burst < 100 && shared->open < shared->wanted; burst++) {
            int fd = dial();
            struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
            is_open[fd] = 1;
            shared->open++;
        }
        for (int fd = 0; shared->open > shared->wanted && fd < most + 4096; fd++)
            if (is_open[fd]) {
                is_open[fd] = 0;
                hang_up(epoll, fd);
            }
        int count = epoll_wait(epoll, events, 512, 5);
        for (int i = 0; i < count; i++) {
            ssize_t got = recv(events[i].data.fd, unread, sizeof unread, MSG_DONTWAIT);
            if (got > 0) {
                shared->bytes += got;
            } else if (got == 0 || errno != EAGAIN) {
                is_open[events[i].data.fd] = 0;
                hang_up(epoll, events[i].data.fd);
                shared->wanted--;
                shared->refused++;
            }
        }
    }
}

/* ---- the server ---- */

static int64_t stat_of(const char *name)
{
    uint64_t value = 0;
    MUST(sock_server_stat(server, name, &value));
    return (int64_t)value;
}

static long resident_kb(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &pages, &resident) != 2)
        fail("/proc/self/statm");
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int64_t cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* To all, and all of them get all of it. */
static void broadcast(int64_t *sent_us, int64_t *there_us)
{
    static int64_t number;
    unsigned char bytes[NUMBERED_HEAD + 100];
    struct numbered what = {.from = -1, .number = ++number, .size = 100};
    int64_t before = shared->bytes, sent = stat_of("bytes_sent"), began = now_ns();
    MUST(sock_send_data(server, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what), NULL));
    *sent_us = (now_ns() - began) / 1000;
    for (int64_t until = now_ms() + PATIENCE_MS;;) {
        int64_t should = stat_of("bytes_sent") - sent, is = shared->bytes - before;
        if (is == should && should > 0 && should % (long)shared->open == 0)
            break;
        if (now_ms() > until)
            fail("of %lld bytes, %lld arrived", (long long)should, (long long)is);
    }
    *there_us = (now_ns() - began) / 1000;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void measure(long count, long empty_kb, int is_judged)
{
    int64_t sent[BROADCASTS], there[BROADCASTS];
    shared->wanted = count;
    UNTIL(stat_of("clients") == count);
    poll(NULL, 0, 50);
    long grown = resident_kb() - empty_kb;
    for (int i = 0; i < BROADCASTS; i++)
        broadcast(&sent[i], &there[i]);
    qsort(sent, BROADCASTS, sizeof *sent, by_value);
    qsort(there, BROADCASTS, sizeof *there, by_value);
    int64_t cpu = cpu_us();
    poll(NULL, 0, is_judged ? 1000 : 100);
    cpu = (cpu_us() - cpu) * (is_judged ? 1 : 10);
    if (stat_of("messages_dropped"))
        fail("%lld messages were dropped", (long long)stat_of("messages_dropped"));
    printf("%-4s %6ld clients: %6ld KB more than none (%ld bytes each); a broadcast: %lld us until sent, %lld us "
           "until everybody has it; CPU in an idle second: %lld us\n",
           shared->transport == DOTSOCK_TCP ? "tcp" : "unix", count, grown, grown * 1024 / count,
           (long long)sent[BROADCASTS / 2], (long long)there[BROADCASTS / 2], (long long)cpu);
    if (count >= 1000 && grown * 1024 / count > 4096)
        fail("a connection takes %ld bytes", grown * 1024 / count);
    if (is_judged && cpu > 10000)
        fail("an idle server took %lld us of CPU time in a second", (long long)cpu);
}

/* Some more than max_connections: they are told so and closed, and the others go on. */
static void max_connections(long most)
{
    int64_t sent, there;
    shared->wanted = most + 20;
    UNTIL(shared->refused == 20);
    if (stat_of("clients") != most || stat_of("rejected") != 20)
        fail("%lld clients, %lld were rejected", (long long)stat_of("clients"), (long long)stat_of("rejected"));
    broadcast(&sent, &there);
    shared->wanted = most - 10;
    UNTIL(stat_of("clients") == most - 10);
    shared->wanted = most;
    UNTIL(stat_of("clients") == most);
    broadcast(&sent, &there);
    printf("     max_connections = %ld: 20 more were rejected; 10 left, 10 others came; all got every broadcast\n", most);
}

/* The limit below which so many descriptors are free: new ones take the lowest. */
static rlim_t limit_for(long free)
{
    rlim_t fd = 0;
    for (; free > 0; fd++)
        free -= fcntl((int)fd, F_GETFD) < 0;
    return fd;
}

/* There are no descriptors left: who comes waits, the others go on, the server burns nothing. */
static void descriptor_limit(long most)
{
    int64_t sent, there;
    struct rlimit before, limit;
    shared->wanted = most - 40;
    UNTIL(stat_of("clients") == most - 40);
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    limit.rlim_cur = limit_for(10);
    setrlimit(RLIMIT_NOFILE, &limit);
    shared->wanted = most;
    UNTIL(stat_of("clients") == most - 30);
    UNTIL(shared->open == most);
    int64_t cpu = cpu_us();
    poll(NULL, 0, 500);
    cpu = cpu_us() - cpu;
    if (stat_of("clients") != most - 30)
        fail("%lld clients, it should be %ld", (long long)stat_of("clients"), most - 30);
    if (cpu > 50000)
        fail("it took %lld us of CPU time in half a second", (long long)cpu);
    setrlimit(RLIMIT_NOFILE, &before);
    UNTIL(stat_of("clients") == most);
    broadcast(&sent, &there);
    printf("     no descriptors left: 30 wait, %lld us of CPU in half a second; with descriptors they are let in, "
           "and all got the broadcast\n", (long long)cpu);
}

static void run(int transport, long most, int is_judged)
{
    doing = transport == DOTSOCK_TCP ? "limits, TCP" : "limits, Unix";
    char text[30];
    sock_options *options = sock_options_new();
    memset(shared, 0, sizeof *shared);
    shared->transport = transport;
    MUST(sock_options_set(options, "socket_dir", sockets));
    MUST(sock_options_set(options, "port", transport == DOTSOCK_TCP ? "0" : ""));
    snprintf(text, sizeof text, "%ld", most);
    MUST(sock_options_set(options, "max_connections", text));
    MUST(sock_options_set(options, "message_queue_size", "0"));
    server = sock_server_new(transport, "e", options);
    sock_options_free(options);
    MUST(sock_server_start(server));
    snprintf(shared->path, sizeof shared->path, "%s", sock_server_address(server));
    shared->port = sock_server_port(server);
    fflush(NULL);
    pid_t crowd = fork();
    if (crowd == 0)
        be_crowd(most);
    /* Once before it is measured: what the first client needs is not what each needs. */
    int64_t unused;
    shared->wanted = 1;
    UNTIL(stat_of("clients") == 1);
    broadcast(&unused, &unused);
    shared->wanted = 0;
    UNTIL(stat_of("clients") == 0);
    long empty = resident_kb();
    for (long count = 1; count < most; count *= count == 1 ? 100 : 10)
        measure(count, empty, is_judged);
    measure(most, empty, is_judged);
    max_connections(most);
    descriptor_limit(most);
    shared->wanted = 0;
    UNTIL(stat_of("clients") == 0);
    sock_server_free(server);
    kill(crowd, SIGKILL);
    waitpid(crowd, NULL, 0);
}

int main(int argc, char **argv)
{
    long most = argc >= 2 ? atol(argv[1]) : 0;
    int is_judged = argc < 3;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (most < 100 || shared == MAP_FAILED || !mkdtemp(directory))
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(sockets, sizeof sockets, "%s/sockets", directory);
    setenv("XDG_CONFIG_HOME", directory, 1);
    numbered_pad(0, 0);
    long allowed = allow_descriptors(most + OWN_DESCRIPTORS) - OWN_DESCRIPTORS;
    if (allowed < most) {
        printf("only %ld clients: a process may have no more descriptors here (ulimit -Hn)\n", allowed);
        most = allowed;
    }
    int failed = 0;
    for (int transport = DOTSOCK_UNIX; transport <= DOTSOCK_TCP; transport++) {
        int status = -1;
        fflush(NULL);
        /* In a process of its own: memory that one left behind would serve the next. */
        if (fork() == 0) {
            run(transport, most, is_judged);
            exit(0);
        }
        wait(&status);
        failed |= status != 0;
    }
    remove_all(directory);
    return failed;
}
