/* bench.c - shared harness: argument parsing, fork, synchronisation, timing,
 * CPU accounting and one JSON line of results per run.
 *
 *   peer_X rtt    --size B --count N            ping-pong, percentiles
 *   peer_X tput   --size B --count N            server -> one client, flat out
 *   peer_X fanout --clients C --size B --count N [--window W | --lockstep]
 *   peer_X idle   --clients C                   server RSS, threads, fds
 *   peer_X active --clients K --size B --count N  rtt of 1 client among K idle
 *   peer_X oneway --size B --count N --rate R   paced one-way latency
 *
 * Options for all: --batch BYTES  --sndbuf BYTES  --spin MICROSECONDS
 *                  --pin none|same|split  --timeout SECONDS
 */
#define _GNU_SOURCE
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------ shared state */

struct usage { uint64_t cpu_us; uint64_t vcsw, ivcsw; };

struct shared {
    _Atomic int server_up;      /* server is listening                        */
    _Atomic int clients_up;     /* client role opened every connection        */
    _Atomic int go;             /* server saw every client, clocks may start  */
    _Atomic int start_taken;    /* client role recorded its start usage       */
    _Atomic int done;           /* client role finished measuring             */
    _Atomic int all_done;       /* both recorded their end usage; tear down   */
    _Atomic long got;           /* messages delivered (fan-out)               */
    _Atomic long drops;         /* sequence gaps                              */
    uint64_t t_start, t_end;    /* CLOCK_MONOTONIC ns                         */
    struct usage s0, s1, c0, c1;
    double p50, p90, p99, p999, pmax, mean;
    /* idle */
    long wakeups;               /* of the server's other threads, in a second */
    long rss_kb, pss_kb, threads, fds, base_rss_kb, slab_kb, sockmem_pages;
    uint64_t send_ns;           /* time the sender spent inside its loop      */
};

static struct shared *sh;
static struct cfg cfg;
static char dir[] = "/tmp/dotsock-bench.XXXXXX";
static const char *mode;
static int lockstep, rate, timeout_s = 60;
static const char *pin = "none";
static int ack_pipe[2];         /* lock-step fan-out acknowledgements */
static uint64_t *next_seq;      /* per connection, client role        */
static long want_total;         /* deliveries that end a fan-out run  */
static uint64_t *lat; static long lat_n, lat_cap; /* oneway samples   */
static uint64_t warmup;

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void die(const char *what) { perror(what); _exit(2); }

static struct usage usage_now(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    struct usage u = {
        (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000u +
            (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec),
        (uint64_t)r.ru_nvcsw, (uint64_t)r.ru_nivcsw };
    return u;
}

static void wait_flag(_Atomic int *f)
{
    while (!atomic_load(f)) usleep(500);
}

/* Whole-machine busy time, so that a disturbed run can be recognised. */
static uint64_t machine_busy_us(void)
{
    FILE *f = fopen("/proc/stat", "r");
    unsigned long long u = 0, n = 0, s = 0, id, io, irq = 0, sirq = 0, steal = 0;
    if (!f || fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu",
                     &u, &n, &s, &id, &io, &irq, &sirq, &steal) != 8) return 0;
    fclose(f);
    return (u + n + s + irq + sirq + steal) * (1000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

static long proc_field(const char *file, const char *key)
{
    char line[256]; long v = -1; size_t k = strlen(key);
    FILE *f = fopen(file, "r");
    if (!f) return -1;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, key, k)) { v = strtol(line + k, NULL, 10); break; }
    fclose(f);
    return v;
}

/* How often threads of this process other than the main one went to sleep so far. */
static long other_wakeups(void)
{
    long sum = 0;
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[300];
        if (e->d_name[0] == '.' || atoi(e->d_name) == getpid()) continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
        sum += proc_field(path, "voluntary_ctxt_switches:");
    }
    if (d) closedir(d);
    return sum;
}

static int cmp_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void percentiles(uint64_t *v, long n)
{
    if (n <= 0) return;
    qsort(v, (size_t)n, sizeof *v, cmp_u64);
    double sum = 0;
    for (long i = 0; i < n; i++) sum += (double)v[i];
    sh->mean = sum / (double)n / 1e3;
    sh->p50  = (double)v[n / 2] / 1e3;
    sh->p90  = (double)v[(long)((double)n * .90)] / 1e3;
    sh->p99  = (double)v[(long)((double)n * .99)] / 1e3;
    sh->p999 = (double)v[(long)((double)n * .999)] / 1e3;
    sh->pmax = (double)v[n - 1] / 1e3;
}

static void pin_to(int which)
{
    if (!strcmp(pin, "none")) return;
    cpu_set_t s; CPU_ZERO(&s);
    CPU_SET(!strcmp(pin, "same") ? 0 : which, &s);
    sched_setaffinity(0, sizeof s, &s);
}

/* Every delivered message of a broadcast run passes through here. */
void harness_got(int conn, const void *buf, size_t len)
{
    uint64_t head[2];
    if (len != cfg.size) { fprintf(stderr, "bad length %zu\n", len); _exit(3); }
    memcpy(head, buf, sizeof head);
    if (head[0] == UINT64_MAX) return;              /* warm-up message */
    if (head[0] != next_seq[conn])
        atomic_fetch_add(&sh->drops, (long)(head[0] - next_seq[conn]));
    next_seq[conn] = head[0] + 1;
    long n = atomic_fetch_add(&sh->got, 1) + 1;
    if (lockstep && n % cfg.clients == 0 && write(ack_pipe[1], "a", 1) != 1) die("ack");
    if (n + atomic_load_explicit(&sh->drops, memory_order_relaxed) >= want_total) sh->t_end = now_ns();
}

/* ------------------------------------------------------------- server role */

static void fill(char *buf, uint64_t seq, uint64_t t)
{
    memcpy(buf, &seq, 8);
    memcpy(buf + 8, &t, 8);
}

static char *payload(char content)
{
    char *room = malloc(cfg.size + 2 * BENCH_ROOM);
    memset(room, content, cfg.size + 2 * BENCH_ROOM);
    return room + BENCH_ROOM;
}

static void run_server(void)
{
    prctl(PR_SET_NAME, "bench-server");     /* what perf and top show */
    pin_to(0);
    prctl(PR_SET_TIMERSLACK, 1000UL);
    char *buf = payload('x');
    void *s = srv_open(&cfg);
    const char *status = "/proc/self/status", *smaps = "/proc/self/smaps_rollup";
    sh->base_rss_kb = proc_field(status, "VmRSS:");
    atomic_store(&sh->server_up, 1);
    srv_wait(s, cfg.clients);
    wait_flag(&sh->clients_up);

    if (!strcmp(mode, "idle")) {
        usleep(500000);
        long before = other_wakeups();
        sleep(1);
        sh->wakeups = other_wakeups() - before;
        sh->rss_kb  = proc_field(status, "VmRSS:");
        sh->pss_kb  = proc_field(smaps, "Pss:");
        sh->threads = proc_field(status, "Threads:");
        sh->slab_kb = proc_field("/proc/meminfo", "Slab:");
        sh->done = 1;
        wait_flag(&sh->all_done);
        return;
    }

    /* Warm up caches, allocators and the connection itself. */
    if ((!strcmp(mode, "tput") && !cfg.up) || !strcmp(mode, "oneway") || !strcmp(mode, "fanout")) {
        for (uint64_t i = 0; i < warmup; i++) {
            fill(buf, UINT64_MAX, 0);
            if (cfg.pattern == PAT_PUBSUB) srv_bcast(s, buf, cfg.size);
            else srv_send(s, buf, cfg.size);
        }
        srv_flush(s);
        usleep(cfg.pattern == PAT_PUBSUB ? 200000 : 50000);
    }

    sh->s0 = usage_now();
    atomic_store(&sh->go, 1);
    wait_flag(&sh->start_taken);
    sh->s0 = usage_now();
    sh->t_start = now_ns();

    if (!strcmp(mode, "rtt") || !strcmp(mode, "active")) {
        for (long i = 0; i < cfg.count + (long)warmup; i++) {
            if (i == (long)warmup) { sh->s0 = usage_now(); }
            srv_echo(s);
        }
    } else if (cfg.up) {
        while (!sh->t_end) srv_take(s);
        atomic_store(&sh->done, 1);
    } else if (!strcmp(mode, "tput")) {
        for (long i = 0; i < cfg.count; i++) {
            memcpy(buf, &i, 8);
            srv_send(s, buf, cfg.size);
        }
        srv_flush(s);
        sh->send_ns = now_ns() - sh->t_start;
    } else if (!strcmp(mode, "oneway")) {
        uint64_t gap = rate ? 1000000000u / (uint64_t)rate : 0, due = now_ns();
        for (long i = 0; i < cfg.count; i++) {
            due += gap;
            uint64_t t = now_ns();
            if (t + 100000 < due) {         /* long gap: sleep, then go at once */
                struct timespec ts = { (time_t)(due / 1000000000u), (long)(due % 1000000000u) };
                clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
            }
            while ((t = now_ns()) < due) ;  /* short gap: spin                  */
            fill(buf, (uint64_t)i, t);
            srv_send(s, buf, cfg.size);
        }
        /* no srv_flush: whatever a design leaves behind must leave by itself */
        sh->send_ns = now_ns() - sh->t_start;
    } else if (!strcmp(mode, "fanout")) {
        long allow = cfg.window;
        for (long i = 0; i < cfg.count; i++) {
            memcpy(buf, &i, 8);
            if (lockstep) {
                uint64_t t = now_ns(); char a;
                srv_bcast(s, buf, cfg.size);
                srv_flush(s);
                if (read(ack_pipe[0], &a, 1) != 1) die("ack");
                if (lat_n < lat_cap) lat[lat_n++] = now_ns() - t;
                continue;
            }
            /* Flow control above the library: at most `window` broadcasts
             * ahead of what all clients together have received. */
            if (allow && i >= allow) {
                while (atomic_load(&sh->got) + atomic_load(&sh->drops) <
                       (i - allow) * (long)cfg.clients) {
                    srv_flush(s);
                    struct timespec ts = { 0, 20000 };
                    nanosleep(&ts, NULL);
                }
            }
            srv_bcast(s, buf, cfg.size);
        }
        srv_flush(s);
        sh->send_ns = now_ns() - sh->t_start;
        if (lockstep) percentiles(lat, lat_n);
    }
    wait_flag(&sh->done);
    sh->s1 = usage_now();
    sh->rss_kb  = proc_field(status, "VmHWM:");
    sh->threads = proc_field(status, "Threads:");
    wait_flag(&sh->all_done);
}

/* ------------------------------------------------------------- client role */

static void run_client(void)
{
    prctl(PR_SET_NAME, "bench-clients");
    pin_to(1);
    prctl(PR_SET_TIMERSLACK, 1000UL);
    wait_flag(&sh->server_up);
    char *buf = payload('y');
    void *k = cli_open(&cfg, cfg.clients);
    atomic_store(&sh->clients_up, 1);

    if (!strcmp(mode, "idle")) { wait_flag(&sh->done); goto out; }

    if (!strcmp(mode, "rtt") || !strcmp(mode, "active")) {
        wait_flag(&sh->go);
        atomic_store(&sh->start_taken, 1);
        usleep(2000);
        uint64_t *v = malloc(sizeof *v * (size_t)cfg.count);
        for (long i = -(long)warmup; i < cfg.count; i++) {
            size_t len;
            if (i == 0) { sh->c0 = usage_now(); sh->t_start = now_ns(); }
            uint64_t t = now_ns();
            fill(buf, (uint64_t)i, t);
            cli_send(k, buf, cfg.size);
            cli_flush(k);
            const void *r = cli_recv(k, &len);
            uint64_t e = now_ns();
            if (len != cfg.size || memcmp(r, buf, 16)) { fprintf(stderr, "bad echo\n"); _exit(3); }
            if (i >= 0) v[i] = e - t;
        }
        sh->t_end = now_ns();
        sh->c1 = usage_now();
        percentiles(v, cfg.count);
    } else if (cfg.up) {
        wait_flag(&sh->go);
        atomic_store(&sh->start_taken, 1);
        for (uint64_t i = 0; i < warmup; i++) { fill(buf, UINT64_MAX, 0); cli_send(k, buf, cfg.size); }
        cli_flush(k);
        usleep(50000);
        sh->c0 = usage_now();
        sh->t_start = now_ns();
        for (long i = 0; i < cfg.count; i++) {
            memcpy(buf, &i, 8);
            cli_send(k, buf, cfg.size);
        }
        cli_flush(k);
        sh->c1 = usage_now();
        wait_flag(&sh->done);
    } else if (!strcmp(mode, "tput") || !strcmp(mode, "oneway")) {
        int ow = mode[0] == 'o';
        for (uint64_t i = 0; i < warmup; i++) { size_t len; cli_recv(k, &len); }
        wait_flag(&sh->go);
        sh->c0 = usage_now();
        atomic_store(&sh->start_taken, 1);
        uint64_t *v = ow ? malloc(sizeof *v * (size_t)cfg.count) : NULL;
        for (long i = 0; i < cfg.count; i++) {
            size_t len; uint64_t head[2];
            const void *r = cli_recv(k, &len);
            memcpy(head, r, 16);
            if (len != cfg.size || head[0] != (uint64_t)i) {
                fprintf(stderr, "bad message %ld: len %zu seq %lu\n", i, len, (unsigned long)head[0]);
                _exit(3);
            }
            if (ow) v[i] = now_ns() - head[1];
        }
        sh->t_end = now_ns();
        sh->c1 = usage_now();
        if (ow) percentiles(v, cfg.count);
    } else if (!strcmp(mode, "fanout")) {
        while (!atomic_load(&sh->go)) cli_pump(k);   /* swallow warm-up */
        sh->c0 = usage_now();
        atomic_store(&sh->start_taken, 1);
        long want = want_total, last = 0;
        uint64_t quiet = 0;
        for (;;) {
            cli_pump(k);
            long got = atomic_load(&sh->got), dr = atomic_load(&sh->drops);
            if (got + dr >= want) { if (!sh->t_end) sh->t_end = now_ns(); break; }
            if (got != last) { last = got; quiet = 0; sh->t_end = now_ns(); }
            else if (!quiet) quiet = now_ns();
            else if (now_ns() - quiet > 2000000000u) {   /* tail dropped */
                atomic_fetch_add(&sh->drops, want - got - dr);
                break;
            }
        }
        sh->c1 = usage_now();
    }
    atomic_store(&sh->done, 1);
out:
    wait_flag(&sh->all_done);
}

/* ------------------------------------------------------------------ driver */

static long num(int argc, char **argv, const char *key, long dflt)
{
    for (int i = 2; i + 1 < argc; i++)
        if (!strcmp(argv[i], key)) return strtol(argv[i + 1], NULL, 0);
    return dflt;
}

/* Children end by themselves once all is done; those of a run that failed do not. */
static void reap(pid_t child, struct rusage *usage, int failed)
{
    int st;
    uint64_t limit = now_ns() + 20000000000u;
    while (!failed && now_ns() < limit) {
        if (wait4(child, &st, WNOHANG, usage)) return;
        usleep(500);
    }
    kill(child, SIGKILL);
    wait4(child, &st, 0, usage);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st; (void)type; (void)at;
    return remove(path);
}

int main(int argc, char **argv)
{
    if (argc < 2) { fprintf(stderr, "usage: %s rtt|tput|fanout|idle|active|oneway [options]\n", argv[0]); return 1; }
    mode = argv[1];
    cfg.size    = (size_t)num(argc, argv, "--size", 64);
    cfg.count   = num(argc, argv, "--count", 10000);
    cfg.clients = (int)num(argc, argv, "--clients", 1);
    cfg.batch   = (size_t)num(argc, argv, "--batch", 65536);
    cfg.sndbuf  = (int)num(argc, argv, "--sndbuf", 0);
    cfg.window  = (int)num(argc, argv, "--window", 1024);
    cfg.spin    = (int)num(argc, argv, "--spin", 0);
    rate        = (int)num(argc, argv, "--rate", 1000);
    timeout_s   = (int)num(argc, argv, "--timeout", 60);
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--lockstep")) lockstep = 1;
        if (!strcmp(argv[i], "--up")) cfg.up = 1;
        if (!strcmp(argv[i], "--cork")) cfg.cork = 1;
        if (!strcmp(argv[i], "--pin") && i + 1 < argc) pin = argv[i + 1];
    }
    if (cfg.size < 16) cfg.size = 16;
    cfg.idle = !strcmp(mode, "idle");
    cfg.pattern = !strcmp(mode, "fanout") || !strcmp(mode, "idle") ? PAT_PUBSUB
                : !strcmp(mode, "active") ? PAT_MULTI : PAT_PAIR;
    if (!strcmp(mode, "active")) cfg.clients += 1;      /* K idle + 1 active */
    if (cfg.pattern == PAT_PAIR) cfg.clients = 1;
    want_total = cfg.count * (long)cfg.clients;
    warmup = (uint64_t)(cfg.count / 10 > 1000 ? 1000 : cfg.count / 10);
    if (cfg.pattern == PAT_PUBSUB) warmup = 2;
    if (!strcmp(mode, "oneway") && rate < 20000) warmup = 20;

    /* Room for tens of thousands of descriptors. */
    struct rlimit rl = { 200000, 200000 };
    if (setrlimit(RLIMIT_NOFILE, &rl)) {
        getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl);
    }
    signal(SIGPIPE, SIG_IGN);

    if (!mkdtemp(dir)) die("mkdtemp");
    cfg.dir = dir;
    snprintf(cfg.path, sizeof cfg.path, "%s/peer", dir);
#ifdef TCP
    cfg.tcp = 1;
#endif
    cfg.port = 20000 + (int)(getpid() % 30000);
    sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (sh == MAP_FAILED || pipe(ack_pipe)) die("setup");
    lat_cap = cfg.count; lat = malloc(sizeof *lat * (size_t)(lat_cap > 0 ? lat_cap : 1));

    long slab0 = proc_field("/proc/meminfo", "Slab:");
    uint64_t busy0 = machine_busy_us(), wall0 = now_ns();
    next_seq = calloc((size_t)cfg.clients + 1, sizeof *next_seq);
    pid_t ps = fork();
    if (ps == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); run_server(); _exit(0); }
    pid_t pc = fork();
    if (pc == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); run_client(); _exit(0); }

    /* Wait for `done`, for a child to fail, or for the time limit. */
    int failed = 0; struct rusage rs, rc; int st;
    uint64_t limit = now_ns() + (uint64_t)timeout_s * 1000000000u;
    while (!atomic_load(&sh->done)) {
        if (waitpid(-1, &st, WNOHANG) > 0) { failed = 1; break; }
        if (now_ns() > limit) { failed = 2; break; }
        usleep(2000);
    }
    usleep(5000);                       /* let the server record its usage */
    while (!failed && strcmp(mode, "idle") && !sh->s1.cpu_us && now_ns() < limit) usleep(1000);
    atomic_store(&sh->all_done, 1);
    memset(&rs, 0, sizeof rs); memset(&rc, 0, sizeof rc);
    reap(ps, &rs, failed);
    reap(pc, &rc, failed);
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);

    uint64_t ours = (uint64_t)(rs.ru_utime.tv_sec + rs.ru_stime.tv_sec + rc.ru_utime.tv_sec + rc.ru_stime.tv_sec) * 1000000u
                  + (uint64_t)(rs.ru_utime.tv_usec + rs.ru_stime.tv_usec + rc.ru_utime.tv_usec + rc.ru_stime.tv_usec);
    uint64_t busy = machine_busy_us() - busy0, wall = (now_ns() - wall0) / 1000;
    /* tick accounting: only meaningful for runs of a second or so */
    double foreign = busy > ours ? 100.0 * (double)(busy - ours) / (double)wall : 0;

    printf("{\"peer\":\"%s\",\"mode\":\"%s\",\"size\":%zu,\"count\":%ld,\"clients\":%d,\"batch\":%zu,\"sndbuf\":%d,\"cork\":%d,\"up\":%d,\"rate\":%d,\"pin\":\"%s\",\"lockstep\":%d,\"window\":%d,",
           NAME, mode, cfg.size, cfg.count, cfg.pattern == PAT_MULTI ? cfg.clients - 1 : cfg.clients,
           cfg.batch, cfg.sndbuf, cfg.cork, cfg.up, strcmp(mode, "oneway") ? 0 : rate, pin, lockstep, cfg.window);
    printf("\"failed\":%d,\"foreign_pct\":%.1f", failed, foreign);
    if (!failed) {
        double secs = (double)(sh->t_end - sh->t_start) / 1e9;
        double scpu = (double)(sh->s1.cpu_us - sh->s0.cpu_us), ccpu = (double)(sh->c1.cpu_us - sh->c0.cpu_us);
        long n = cfg.count, deliveries = cfg.pattern == PAT_PUBSUB ? atomic_load(&sh->got) : n;
        if (!strcmp(mode, "idle")) {
            printf(",\"rss_kb\":%ld,\"pss_kb\":%ld,\"base_rss_kb\":%ld,\"threads\":%ld,\"slab_delta_kb\":%ld,\"wakeups\":%ld",
                   sh->rss_kb, sh->pss_kb, sh->base_rss_kb, sh->threads, sh->slab_kb - slab0, sh->wakeups);
        } else {
            if (!strcmp(mode, "rtt") || !strcmp(mode, "active") || !strcmp(mode, "oneway") || lockstep)
                printf(",\"p50_us\":%.2f,\"p90_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,\"max_us\":%.1f,\"mean_us\":%.2f",
                       sh->p50, sh->p90, sh->p99, sh->p999, sh->pmax, sh->mean);
            long per = !strcmp(mode, "rtt") || !strcmp(mode, "active") ? 2 * n : deliveries > 0 ? deliveries : 1;
            printf(",\"secs\":%.4f,\"msgs_per_s\":%.0f,\"mb_per_s\":%.1f,\"deliveries\":%ld,\"drops\":%ld,\"send_ns\":%.1f,"
                   "\"cpu_us_per_msg\":%.4f,\"srv_cpu_us\":%.4f,\"cli_cpu_us\":%.4f,\"srv_csw\":%.4f,\"cli_csw\":%.4f,\"hwm_kb\":%ld,\"threads\":%ld",
                   secs, (double)deliveries / secs, (double)deliveries * (double)cfg.size / secs / 1e6, deliveries,
                   atomic_load(&sh->drops), (double)sh->send_ns / (double)n,
                   (scpu + ccpu) / (double)per, scpu / (double)per, ccpu / (double)per,
                   (double)(sh->s1.vcsw + sh->s1.ivcsw - sh->s0.vcsw - sh->s0.ivcsw) / (double)per,
                   (double)(sh->c1.vcsw + sh->c1.ivcsw - sh->c0.vcsw - sh->c0.ivcsw) / (double)per,
                   sh->rss_kb, sh->threads);
        }
    }
    printf("}\n");
    return failed ? 1 : 0;
}
