/* hostile.c - a server among peers that wish it ill or have bad luck, and well-behaved clients that
 * must not notice.
 *
 *     hostile attacks SECONDS        each attack for so long, on Unix sockets and TCP
 *     hostile kill TIMES             the server is killed so often, at random moments
 *     hostile soak MINUTES           all of it at once
 *     hostile ... unix|tcp           one transport alone
 *     SEED=n in the environment repeats a run's random choices.
 *
 * The server, each client and each attacker are processes of their own. The server sends numbered
 * messages all the time, and so does every well-behaved client: each must arrive whole and in its
 * place. A client that cannot keep up (it is stopped for a while) may miss some; then the number
 * that it was told is the number that is missing. */
#define _GNU_SOURCE
#include "hostile.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared *shared;
static char directory[] = "/tmp/dotsock-XXXXXX";

/* ---- the server ---- */

static unsigned char scratch[NUMBERED_HEAD + NUMBERED_MOST];

static void on_message(void *ctx, sock_server *server, const char *id, const sock_message *message)
{
    (void)ctx, (void)server, (void)id;
    struct numbered is;
    if (numbered_decode(message, &is) || is.from < 0 || is.from >= GOOD)
        return; /* an attacker's */
    /* Order is kept on each connection. What is left of one that a client has given up may come
     * after the first words on its next one. */
    static struct lane {
        char id[64];
        int64_t last;
    } lanes[GOOD][2];
    struct good *good = &shared->good[is.from];
    struct lane *lane = &lanes[is.from][strcmp(lanes[is.from][0].id, id) != 0];
    if (strcmp(lane->id, id) != 0) {
        *lane = lanes[is.from][0];
        lane = &lanes[is.from][0];
        snprintf(lane->id, sizeof lane->id, "%s", id);
        lane->last = is.number - 1;
    }
    if (is.number != lane->last + 1)
        complain("message %lld of client %lld came at the server after %lld", (long long)is.number,
                 (long long)is.from, (long long)lane->last);
    lane->last = is.number;
    if (is.number > good->taken)
        good->taken = is.number;
}

static const char *const policies[] = {"drop_oldest", "drop_newest", "disconnect", "block"};
enum { POLICIES = 4 };

static sock_options *options_for(int transport)
{
    char path[100];
    sock_options *options = sock_options_new();
    snprintf(path, sizeof path, "%s/sockets", directory);
    const char *pairs[][2] = {{"socket_dir", path},           {"port", transport == DOTSOCK_TCP ? "0" : ""},
                              {"max_connections", "8000"},    {"client_queue_size", "1048576"},
                              {"frame_timeout", "1"},         {"message_queue_size", "0"},
                              {"slow_client", policies[shared->policy]},
                              {"send_timeout", "0.05"},       {"report_loss", "true"},        {"reconnect_delay", "0.002"},
                              {"reconnect_max_delay", "0.05"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (sock_options_set(options, pairs[i][0], pairs[i][1]) != DOTSOCK_OK)
            complain("option %s: %s", pairs[i][0], sock_last_error());
    return options;
}

static long entries_of(const char *path)
{
    long count = -2;
    DIR *open = opendir(path);
    while (open && readdir(open))
        count++;
    if (open)
        closedir(open);
    return count;
}

static void report(sock_server *server)
{
    static const char *const names[STATS] = {"clients", "malformed", "messages_dropped", "connections",
                                             "rejected"};
    long pages, resident = 0;
    struct rusage usage;
    for (int i = 0; i < STATS; i++) {
        uint64_t value = 0;
        sock_server_stat(server, names[i], &value);
        shared->stats[i] = value;
    }
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%ld %ld", &pages, &resident) == 2)
            shared->resident_kb = resident * (sysconf(_SC_PAGESIZE) / 1024);
        fclose(file);
    }
    getrusage(RUSAGE_SELF, &usage);
    shared->server_cpu_ms = usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000 +
                            usage.ru_stime.tv_sec * 1000 + usage.ru_stime.tv_usec / 1000;
    shared->descriptors = entries_of("/proc/self/fd");
    shared->threads = entries_of("/proc/self/task");
}

static void send_next(sock_server *server)
{
    int64_t number = shared->sent + 1;
    struct numbered what = {.from = -1, .number = number, .size = (size_t)(number % 97)};
    if (number % 50 == 0)
        what.size = shared->heavy ? 60000 : 10000;
    else if (shared->heavy && number % 5 == 0)
        what.size = 60000;
    what.sent_at = now_ns();
    size_t size = numbered_encode(scratch, &what);
    /* Published first, so that no client can be ahead of it. */
    shared->sent = number;
    int status = sock_send_data(server, DOTSOCK_DATA, scratch, size, NULL);
    if (status != DOTSOCK_OK)
        complain("a broadcast: %s", sock_last_error());
    /* Now, so that it is known of a server that is killed. */
    uint64_t dropped = 0;
    sock_server_stat(server, "messages_dropped", &dropped);
    shared->stats[DROPPED] = (int64_t)dropped;
}

static void start(sock_server *server)
{
    if (sock_server_start(server) != DOTSOCK_OK) {
        complain("the server does not start: %s", sock_last_error());
        _exit(1);
    }
}

void be_server(int transport)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    setrlimit(RLIMIT_NOFILE, &limit);
    sock_options *options = options_for(transport);
    sock_server *server = sock_server_new(transport, "e", options);
    sock_options_free(options);
    sock_server_on_message_received(server, on_message, NULL, NULL);
    start(server);
    shared->up = 1;
    for (long turn = 0; shared->command != QUIT; turn++) {
        if (shared->command == RESTART) {
            shared->sent_before_stop = shared->sent;
            sock_server_stop(server);
            start(server);
            shared->restarts++;
            shared->command = SEND;
        }
        if (shared->command == SEND)
            send_next(server);
        else
            shared->is_paused = 1;
        if (turn % 20 == 0)
            report(server);
        poll(NULL, 0, 1);
    }
    sock_server_free(server);
    _exit(0);
}

/* ---- well-behaved clients ---- */

static void take(struct good *good, const struct numbered *is, int64_t missed)
{
    int64_t expected = good->last + 1 + missed;
    if (is->number != expected && !good->may_skip)
        complain("client %d got message %lld, expected %lld (%lld of them announced as missed)",
                 (int)(good - shared->good), (long long)is->number, (long long)expected, (long long)missed);
    if (is->number <= good->last)
        complain("client %d got message %lld after %lld", (int)(good - shared->good), (long long)is->number,
                 (long long)good->last);
    good->skipped += is->number - good->last - 1 - missed;
    good->may_skip = 0;
    good->last = is->number;
    good->count++;
    int phase = shared->phase;
    if (is->size < 1000 && good->latencies[phase] < LATENCIES)
        good->latency[phase][good->latencies[phase]++] = (uint32_t)((now_ns() - is->sent_at) / 1000);
}

static void say(sock_client *client, struct good *good, int64_t who)
{
    struct numbered what = {.from = who, .number = good->said + 1, .size = (size_t)(good->said % 1000)};
    size_t size = numbered_encode(scratch, &what);
    good->said++;
    int status = sock_client_send_data(client, DOTSOCK_DATA, scratch, size);
    if (status != DOTSOCK_OK) {
        good->said--;
        if (status != DOTSOCK_E_CLOSED && status != DOTSOCK_E_TIMEOUT)
            complain("client %lld cannot send: %s", (long long)who, sock_last_error());
    }
}

/* One that keeps up, or (`slow`) one that is stopped now and then. */
void be_good(int transport, int who)
{
    struct good *good = &shared->good[who];
    sock_options *options = options_for(transport);
    sock_client *client = sock_client_new(transport, "e", options);
    sock_options_free(options);
    int64_t missed = 0, next_word = 0;
    good->may_skip = 1;
    if (sock_client_open(client) != DOTSOCK_OK)
        complain("client %d: %s", who, sock_last_error());
    for (;;) {
        sock_message *message = NULL;
        int status = sock_client_recv(client, 20, &message);
        if (status == DOTSOCK_OK) {
            struct numbered is;
            int64_t told = missed_count(message);
            const char *wrong = told ? NULL : numbered_decode(message, &is);
            if (wrong)
                complain("a message at client %d %s: %.100s", who, wrong, sock_message_data_json(message));
            else if (told)
                missed += told, good->missed += told;
            else
                take(good, &is, missed), missed = 0;
            sock_message_free(message);
        } else if (status == DOTSOCK_E_CLOSED) {
            good->losses++;
            /* A server that was stopped has delivered what it had for who was reading. */
            if (who < STEADY && good->last + missed < shared->sent_before_stop)
                complain("client %d heard the end of the server after message %lld of %lld", who,
                         (long long)(good->last + missed), (long long)shared->sent_before_stop);
            good->may_skip = 1;
            missed = 0;
        } else if (status != DOTSOCK_E_TIMEOUT && status != DOTSOCK_E_IO) {
            complain("client %d: %s", who, sock_last_error());
        }
        /* It speaks when it has heard the server, so that it is connected. */
        if (shared->command == SEND && good->last && now_ms() >= next_word) {
            say(client, good, who);
            next_word = now_ms() + 5;
        }
    }
}

/* ---- the stage manager ---- */

static pid_t server_pid;

pid_t spawn(void (*body)(int, int), int transport, int argument)
{
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0); /* it was killed before it could take this one along */
        signal(SIGPIPE, SIG_IGN);
        srandom((unsigned)(shared->seed + argument * 7919 + getpid()));
        body(transport, argument);
        _exit(0);
    }
    return pid;
}

static void server_body(int transport, int unused)
{
    (void)unused;
    signal(SIGPIPE, SIG_DFL); /* the library must not rely on anybody ignoring it */
    be_server(transport);
}

static void end_process(pid_t pid, int signal_number)
{
    kill(pid, SIGCONT);
    kill(pid, signal_number);
    waitpid(pid, NULL, 0);
}

void pause_ms(int64_t ms)
{
    for (int64_t until = now_ms() + ms, left; (left = until - now_ms()) > 0;)
        poll(NULL, 0, (int)left);
}

/* Every few milliseconds; the server must be alive all the time. */
static int is_alive(void)
{
    int status;
    if (server_pid && waitpid(server_pid, &status, WNOHANG) == server_pid) {
        server_pid = 0;
        complain("the server has died (status %#x)", status);
    }
    return server_pid != 0;
}

#define WAIT_FOR(condition, what)                                                                              \
    do {                                                                                                       \
        int64_t until_ = now_ms() + PATIENCE_MS;                                                               \
        while (!(condition) && is_alive() && !shared->complaints) {                                            \
            if (now_ms() > until_)                                                                             \
                complain("in vain: %s", what);                                                                 \
            pause_ms(2);                                                                                       \
        }                                                                                                      \
    } while (0)

static void begin_server(int transport)
{
    shared->up = 0;
    shared->command = SEND;
    server_pid = spawn(server_body, transport, 0);
    WAIT_FOR(shared->up, "the server starts");
}

/* Silence, and everything that was sent must have arrived. */
static void settle_accounts(int count)
{
    shared->is_paused = 0;
    shared->command = PAUSE;
    WAIT_FOR(shared->is_paused, "the server pauses");
    for (int i = 0; i < count; i++) {
        struct good *good = &shared->good[i];
        WAIT_FOR(good->last == shared->sent, "a client has got everything");
        WAIT_FOR(good->taken == good->said, "the server has got everything");
        if (shared->complaints) {
            fprintf(stderr, "  client %d: %lld of %lld; the server has %lld of its %lld\n", i,
                    (long long)good->last, (long long)shared->sent, (long long)good->taken,
                    (long long)good->said);
            return;
        }
    }
    shared->command = SEND;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Microseconds from send to receive, of the clients that keep up. */
static uint32_t latency(int phase, int part_of_100)
{
    static uint32_t all[STEADY * LATENCIES];
    size_t count = 0;
    for (int i = 0; i < STEADY; i++)
        for (uint32_t k = 0; k < shared->good[i].latencies[phase]; k++)
            all[count++] = shared->good[i].latency[phase][k];
    qsort(all, count, sizeof *all, by_value);
    return count ? all[count * (size_t)part_of_100 / 100] : 0;
}

static void begin_phase(int phase)
{
    for (int i = 0; i < GOOD; i++)
        shared->good[i].latencies[phase] = 0;
    shared->phase = phase;
}

static const char *name_of(int transport) { return transport == DOTSOCK_TCP ? "tcp" : "unix"; }

struct before {
    long descriptors, resident_kb;
};

/* Latency is judged in the long form only: in the short one, medians are of too few messages. */
enum { JUDGED_MS = 2000, LONG_STOP_MS = 60000, SHORT_STOP_MS = 400 };

/* Undisturbed for a while, then under attack. Whether the median latency of the well-behaved has at
 * most doubled. */
static int attack_once(int transport, int attack, int64_t ms, const struct before *before)
{
    begin_phase(QUIET);
    pause_ms(ms);
    int64_t sent = shared->sent, cpu = shared->server_cpu_ms, malformed = shared->stats[MALFORMED];
    int64_t connections = shared->stats[CONNECTIONS];
    begin_phase(ATTACKED);
    shared->heavy = attack == STOPPED;
    shared->stop_ms = ms < JUDGED_MS ? SHORT_STOP_MS : LONG_STOP_MS;
    pid_t pid = spawn(attack == STOPPED     ? be_stopper
                      : attack == SUSPENDED ? be_suspender
                                            : be_attacker,
                      transport, attack == SUSPENDED ? server_pid : attack);
    int64_t until = now_ms() + ms + (attack == STOPPED ? shared->stop_ms : 0);
    while (now_ms() < until && is_alive() && !shared->complaints)
        pause_ms(5);
    end_process(pid, SIGKILL);
    if (attack == SUSPENDED)
        kill(server_pid, SIGCONT);
    shared->heavy = 0;
    settle_accounts(STEADY);
    WAIT_FOR(shared->stats[CLIENTS] == STEADY, "the attackers' connections are closed");
    WAIT_FOR(shared->descriptors <= before->descriptors, "the attackers' descriptors are closed");
    double ratio = latency(QUIET, 50) ? (double)latency(ATTACKED, 50) / latency(QUIET, 50) : 1;
    printf("%-4s %-22s %8lld messages to each, median %u us (undisturbed %u: x %.2f), 99 %% %u us; %lld "
           "connections, %lld malformed, %lld ms of CPU, memory %+ld KB\n",
           name_of(transport), attack_names[attack], (long long)(shared->sent - sent), latency(ATTACKED, 50),
           latency(QUIET, 50), ratio, latency(ATTACKED, 99),
           (long long)(shared->stats[CONNECTIONS] - connections),
           (long long)(shared->stats[MALFORMED] - malformed), (long long)(shared->server_cpu_ms - cpu),
           shared->resident_kb - before->resident_kb);
    if (shared->resident_kb > before->resident_kb + 64 * 1024)
        complain("the server's memory grew from %ld KB to %ld KB", before->resident_kb, shared->resident_kb);
    for (int i = 0; i < STEADY; i++)
        if (shared->good[i].losses)
            complain("client %d lost its connection", i);
    if (attack == STOPPED)
        printf("     they missed %lld and %lld messages, and were told so\n",
               (long long)shared->good[STEADY].missed, (long long)shared->good[STEADY + 1].missed);
    return ratio <= 2;
}

static void attacks_on(int transport, int64_t ms)
{
    pid_t goods[STEADY];
    memset(shared->good, 0, sizeof shared->good);
    shared->sent = shared->sent_before_stop = shared->restarts = shared->dropped_before = 0;
    begin_server(transport);
    for (int i = 0; i < STEADY; i++)
        goods[i] = spawn(be_good, transport, i);
    for (int i = 0; i < STEADY; i++)
        WAIT_FOR(shared->good[i].last > 100, "a client connects");
    begin_phase(QUIET);
    pause_ms(ms);
    settle_accounts(STEADY);
    struct before before = {shared->descriptors, shared->resident_kb};
    printf("%-4s %-22s %8lld messages to each, median %u us, 99 %% %u us\n", name_of(transport), "nobody",
           (long long)shared->sent, latency(QUIET, 50), latency(QUIET, 99));
    for (int attack = 0; attack < ATTACKS && !shared->complaints; attack++) {
        int is_calm = attack_once(transport, attack, ms, &before);
        /* The machine has other things to do, too: whatever slows the library down does so every time. */
        for (int more = 0; more < 2 && !is_calm && ms >= JUDGED_MS && !shared->complaints; more++)
            is_calm = attack_once(transport, attack, ms, &before);
        if (!is_calm && ms >= JUDGED_MS)
            complain("the median latency has more than doubled, three times");
    }
    for (int i = 0; i < STEADY; i++)
        if (shared->good[i].missed)
            printf("     client %d was told of %lld messages that it missed\n", i,
                   (long long)shared->good[i].missed);
    shared->command = QUIT;
    int status = -1;
    if (server_pid)
        waitpid(server_pid, &status, 0);
    if (status != 0)
        complain("the server ended with status %#x", status);
    for (int i = 0; i < STEADY; i++)
        end_process(goods[i], SIGKILL);
}

/* ---- killed servers ---- */

/* Another one, with another policy for slow clients. */
static void kill_and_replace_server(int transport)
{
    kill(server_pid, SIGKILL);
    waitpid(server_pid, NULL, 0);
    shared->sent += 1; /* what the dead one sent last may not have been sent at all */
    shared->dropped_before += shared->stats[DROPPED];
    shared->stats[DROPPED] = 0;
    shared->policy = (shared->policy + 1) % POLICIES;
    begin_server(transport);
}

static void kill_server(int transport, int times)
{
    pid_t goods[STEADY];
    memset(shared->good, 0, sizeof shared->good);
    shared->sent = shared->sent_before_stop = shared->restarts = shared->dropped_before = 0;
    begin_server(transport);
    for (int i = 0; i < STEADY; i++)
        goods[i] = spawn(be_good, transport, i);
    for (int time = 0; time < times && !shared->complaints; time++) {
        pause_ms(random() % 60);
        kill_and_replace_server(transport);
        if (time % 5 == 4)
            for (int i = 0; i < STEADY; i++) {
                int64_t now = shared->sent;
                WAIT_FOR(shared->good[i].last > now, "a client finds the new server");
            }
    }
    int64_t now = shared->sent;
    for (int i = 0; i < STEADY; i++)
        WAIT_FOR(shared->good[i].last > now, "a client finds the new server");
    settle_accounts(STEADY);
    printf("%-4s killed %d times, %lld messages; the clients saw %lld, %lld and %lld ends\n",
           name_of(transport), times, (long long)shared->sent,
           (long long)shared->good[0].losses, (long long)shared->good[1].losses,
           (long long)shared->good[2].losses);
    shared->command = QUIT;
    if (server_pid)
        waitpid(server_pid, NULL, 0);
    for (int i = 0; i < STEADY; i++)
        end_process(goods[i], SIGKILL);
}

/* ---- soak ---- */

/* Nobody is stopped any more, everybody is connected, and has got everything. */
static void catch_up(const pid_t *goods)
{
    for (int i = 0; i < GOOD; i++)
        kill(goods[i], SIGCONT);
    for (int i = 0; i < GOOD; i++) {
        struct good *good = &shared->good[i];
        int64_t sent = shared->sent, said = good->said;
        WAIT_FOR(good->last >= sent && good->taken > said, "a client catches up");
    }
    settle_accounts(GOOD);
    /* What they were told of was dropped and counted. Others may have missed some, too. */
    int64_t missed = 0, dropped = shared->dropped_before + shared->stats[DROPPED];
    for (int i = 0; i < GOOD; i++)
        missed += shared->good[i].missed;
    if (missed > dropped)
        complain("%lld messages were announced as missed, but %lld counted as dropped", (long long)missed,
                 (long long)dropped);
}

static void soak(int transport, double minutes)
{
    enum { MOST = 6 };
    pid_t goods[GOOD], attackers[MOST] = {0};
    int64_t begin = now_ms(), end = begin + (int64_t)(minutes * 60000), next_check = begin + 5000;
    int64_t attacks = 0, kills = 0, servers_killed = 0, stops = 0;
    memset(shared->good, 0, sizeof shared->good);
    shared->sent = shared->sent_before_stop = shared->restarts = shared->dropped_before = 0;
    begin_server(transport);
    for (int i = 0; i < GOOD; i++)
        goods[i] = spawn(be_good, transport, i);
    begin_phase(ATTACKED);
    while (now_ms() < end && is_alive() && !shared->complaints) {
        int slot = (int)(random() % MOST), attack = (int)(random() % STOPPED);
        if (attackers[slot])
            end_process(attackers[slot], SIGKILL);
        attackers[slot] = spawn(be_attacker, transport, attack);
        attacks++;
        /* Those after the steady ones are stopped for a while, and one is killed and replaced. */
        for (int i = STEADY; i < GOOD - 1; i++)
            kill(goods[i], random() % 4 ? SIGCONT : SIGSTOP);
        if (random() % 3 == 0) {
            end_process(goods[GOOD - 1], SIGKILL);
            goods[GOOD - 1] = spawn(be_good, transport, GOOD - 1);
            kills++;
        }
        shared->heavy = random() % 4 == 0;
        if (random() % 40 == 0) {
            kill(server_pid, SIGSTOP);
            pause_ms(300);
            kill(server_pid, SIGCONT);
            stops++;
        }
        if (random() % 60 == 0) {
            kill_and_replace_server(transport);
            servers_killed++;
        } else if (random() % 40 == 0) {
            shared->command = RESTART;
            WAIT_FOR(shared->command == SEND, "the server restarts");
        }
        pause_ms(50 + random() % 300);
        if (now_ms() > next_check) {
            next_check = now_ms() + 15000;
            catch_up(goods);
        }
    }
    for (int i = 0; i < MOST; i++)
        if (attackers[i])
            end_process(attackers[i], SIGKILL);
    catch_up(goods);
    int64_t got = 0, missed = 0, skipped = 0, said = 0, dropped = shared->dropped_before + shared->stats[DROPPED];
    for (int i = 0; i < GOOD; i++) {
        got += shared->good[i].count, missed += shared->good[i].missed;
        skipped += shared->good[i].skipped, said += shared->good[i].said;
    }
    printf("%-4s %lld s: %lld messages sent; of the well-behaved clients' %lld were delivered once and in order, "
           "%lld announced as missed (%lld counted as dropped, with those of others), %lld sent while one was not "
           "connected, 0 unaccounted for; %lld messages from them; %lld attacks, %lld clients and %lld servers "
           "killed, %lld restarts, the server stopped %lld times\n",
           name_of(transport), (long long)(now_ms() - begin) / 1000, (long long)shared->sent, (long long)got,
           (long long)missed, (long long)dropped, (long long)skipped, (long long)said, (long long)attacks,
           (long long)kills, (long long)servers_killed, (long long)shared->restarts, (long long)stops);
    for (int i = 0; i < GOOD; i++) {
        struct good *good = &shared->good[i];
        printf("     client %d (%s): got %lld, was told of %lld missed, %lld while it was not connected; "
               "%lld connections lost; said %lld, heard to the last\n",
               i,
               i < STEADY     ? "steady"
               : i < GOOD - 1 ? "stopped now and then"
                              : "killed now and then",
               (long long)good->count, (long long)good->missed, (long long)good->skipped,
               (long long)good->losses, (long long)good->said);
    }
    shared->command = QUIT;
    if (server_pid)
        waitpid(server_pid, NULL, 0);
    for (int i = 0; i < GOOD; i++)
        end_process(goods[i], SIGKILL);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

int main(int argc, char **argv)
{
    double amount = argc == 3 || argc == 4 ? atof(argv[2]) : 0;
    const char *alone = argc == 4 ? argv[3] : NULL;
    setvbuf(stdout, NULL, _IOLBF, 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (amount <= 0 || shared == MAP_FAILED || !mkdtemp(directory))
        return 2;
    shared->seed = getenv("SEED") ? atol(getenv("SEED")) : (long)time(NULL);
    snprintf(shared->sockets, sizeof shared->sockets, "%s/sockets", directory);
    setenv("XDG_CONFIG_HOME", directory, 1);
    srandom((unsigned)shared->seed);
    numbered_pad(0, 0);
    for (int transport = DOTSOCK_UNIX; transport <= DOTSOCK_TCP && !shared->complaints; transport++) {
        if (alone && strcmp(alone, name_of(transport)) != 0)
            continue;
        if (strcmp(argv[1], "attacks") == 0)
            attacks_on(transport, (int64_t)(amount * 1000));
        else if (strcmp(argv[1], "kill") == 0)
            kill_server(transport, (int)amount / 2);
        else
            soak(transport, amount / 2);
        if (!shared->complaints && entries_of(shared->sockets) != 0)
            complain("%s is not empty", shared->sockets);
    }
    if (server_pid && shared->complaints)
        kill(server_pid, SIGKILL);
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (shared->complaints)
        fprintf(stderr, "FAILED (SEED=%ld)\n", shared->seed);
    return shared->complaints != 0;
}
