/* inject.c - see inject.h. */
#define _GNU_SOURCE
#include "inject.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* ---- the plan ---- */

static struct fault_plan plan;
static atomic_int armed; /* 1: counting, 2: failing too */
static atomic_uint_fast64_t seen[CALLS], hits;
static atomic_int_fast64_t blocks, over_at;
static uintptr_t library_from, library_to;

static const char *const names[CALLS] = {
    [CALL_SOCKET] = "socket",
    [CALL_BIND] = "bind",
    [CALL_LISTEN] = "listen",
    [CALL_ACCEPT4] = "accept4",
    [CALL_CONNECT] = "connect",
    [CALL_RECV] = "recv",
    [CALL_SEND] = "send",
    [CALL_SHUTDOWN] = "shutdown",
    [CALL_SETSOCKOPT] = "setsockopt",
    [CALL_GETSOCKOPT] = "getsockopt",
    [CALL_GETSOCKNAME] = "getsockname",
    [CALL_GETPEERNAME] = "getpeername",
    [CALL_IOCTL] = "ioctl",
    [CALL_EPOLL_CREATE] = "epoll_create1",
    [CALL_EPOLL_ADD] = "epoll_ctl",
    [CALL_EPOLL_WAIT] = "epoll_wait",
    [CALL_POLL] = "poll",
    [CALL_EVENTFD] = "eventfd",
    [CALL_EVENT_READ] = "event-read",
    [CALL_TIMERFD] = "timerfd_create",
    [CALL_OPEN] = "open",
    [CALL_READ] = "read",
    [CALL_WRITE] = "write",
    [CALL_STAT] = "stat",
    [CALL_FTRUNCATE] = "ftruncate",
    [CALL_FCHMOD] = "fchmod",
    [CALL_FLOCK] = "flock",
    [CALL_RENAME] = "rename",
    [CALL_UNLINK] = "unlink",
    [CALL_MKDIR] = "mkdir",
    [CALL_FCNTL] = "fcntl",
    [CALL_MMAP] = "mmap",
    [CALL_MADVISE] = "madvise",
    [CALL_THREAD] = "pthread_create",
    [CALL_MALLOC] = "malloc",
};

const char *fault_name(int call) { return names[call]; }
uint64_t fault_calls(int call) { return atomic_load(&seen[call]); }
uint64_t fault_hits(void) { return atomic_load(&hits); }
int64_t fault_blocks(void) { return atomic_load(&blocks); }
void fault_end(void) { atomic_store(&armed, 1); }

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int find_library(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    if (!strstr(info->dlpi_name, "libdotsock.so"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
            library_from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            library_to = library_from + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

/* Before main, so that what the library holds is counted from the first block on. */
__attribute__((constructor)) static void find(void)
{
    if (!dl_iterate_phdr(find_library, NULL))
        abort();
}

void fault_begin(const struct fault_plan *what)
{
    for (int call = 0; call < CALLS; call++)
        atomic_store(&seen[call], 0);
    atomic_store(&hits, 0);
    atomic_store(&over_at, 0);
    if (what)
        plan = *what;
    atomic_store(&armed, what ? 2 : 1);
}

static int is_library(const void *caller)
{
    return (uintptr_t)caller - library_from < library_to - library_from;
}

/* Counts a call of the library, and says whether it is one that fails. */
static int fails(int call, const void *caller)
{
    if (!atomic_load_explicit(&armed, memory_order_relaxed) || !is_library(caller))
        return 0;
    uint64_t number = atomic_fetch_add(&seen[call], 1) + 1;
    if (atomic_load(&armed) != 2 || call != plan.call || number < plan.first)
        return 0;
    if (plan.for_ms == 0 && number > plan.first)
        return 0;
    if (plan.for_ms > 0) {
        int_fast64_t unset = 0;
        atomic_compare_exchange_strong(&over_at, &unset, now_ms() + plan.for_ms);
        if (now_ms() >= atomic_load(&over_at))
            return 0;
    }
    atomic_fetch_add(&hits, 1);
    return 1;
}

#define CALLER __builtin_return_address(0)

/* For functions that say with -1 and errno that they failed. */
#define MAY_FAIL(call)                                                                                         \
    do {                                                                                                       \
        if (fails(call, CALLER)) {                                                                             \
            errno = plan.error;                                                                                \
            return -1;                                                                                         \
        }                                                                                                      \
    } while (0)

/* The function that this one stands in front of. */
#define REAL(type, name)                                                                                       \
    static type (*real)() = NULL;                                                                              \
    if (!real)                                                                                                 \
    real = (type(*)())dlsym(RTLD_NEXT, #name)

/* ---- sockets ---- */

int socket(int domain, int type, int protocol)
{
    REAL(int, socket);
    MAY_FAIL(CALL_SOCKET);
    return real(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
    REAL(int, bind);
    MAY_FAIL(CALL_BIND);
    return real(fd, address, size);
}

int listen(int fd, int queue)
{
    REAL(int, listen);
    MAY_FAIL(CALL_LISTEN);
    return real(fd, queue);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    REAL(int, accept4);
    if (fails(CALL_ACCEPT4, CALLER)) {
        /* The kernel has taken this connection off the queue, and the peer hears of its end. */
        int gone = plan.error == ECONNABORTED ? real(fd, NULL, NULL, flags) : -1;
        if (gone >= 0)
            close(gone);
        errno = plan.error;
        return -1;
    }
    return real(fd, address, size, flags);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    REAL(int, connect);
    MAY_FAIL(CALL_CONNECT);
    return real(fd, address, size);
}

/* An error that ends a connection ends it for both sides. */
static void break_connection(int fd)
{
    if (plan.error == ECONNRESET || plan.error == EPIPE || plan.error == ETIMEDOUT) {
        REAL(int, shutdown);
        real(fd, SHUT_RDWR);
        errno = plan.error;
    }
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(ssize_t, sendmsg);
    if (fails(CALL_SEND, CALLER)) {
        if (plan.kind == FAULT_SHORT) {
            size_t i = 0;
            while (i < message->msg_iovlen && message->msg_iov[i].iov_len == 0)
                i++;
            if (i < message->msg_iovlen) {
                struct iovec one = {message->msg_iov[i].iov_base, 1};
                struct msghdr little = {.msg_iov = &one, .msg_iovlen = 1};
                return real(fd, &little, flags);
            }
            return real(fd, message, flags);
        }
        errno = plan.error;
        break_connection(fd);
        return -1;
    }
    return real(fd, message, flags);
}

int shutdown(int fd, int how)
{
    REAL(int, shutdown);
    MAY_FAIL(CALL_SHUTDOWN);
    return real(fd, how);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    REAL(int, setsockopt);
    MAY_FAIL(CALL_SETSOCKOPT);
    return real(fd, level, name, value, size);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    REAL(int, getsockopt);
    MAY_FAIL(CALL_GETSOCKOPT);
    return real(fd, level, name, value, size);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    REAL(int, getsockname);
    MAY_FAIL(CALL_GETSOCKNAME);
    return real(fd, address, size);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    REAL(int, getpeername);
    MAY_FAIL(CALL_GETPEERNAME);
    return real(fd, address, size);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    REAL(int, ioctl);
    MAY_FAIL(CALL_IOCTL);
    return real(fd, request, argument);
}

/* ---- waiting ---- */

int epoll_create1(int flags)
{
    REAL(int, epoll_create1);
    MAY_FAIL(CALL_EPOLL_CREATE);
    return real(flags);
}

/* Only adding can fail: for want of memory, or over the user's limit. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    REAL(int, epoll_ctl);
    if (operation == EPOLL_CTL_ADD)
        MAY_FAIL(CALL_EPOLL_ADD);
    return real(epoll, operation, fd, event);
}

/* What a message takes goes past the functions of those names; of reading, that of an eventfd or a
 * timerfd alone. */
long syscall(long number, ...)
{
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    REAL(long, syscall);
    int call = -1;
    if (number == SYS_recvfrom)
        call = CALL_RECV;
    else if (number == SYS_sendto)
        call = CALL_SEND;
    else if (number == SYS_read)
        call = CALL_EVENT_READ;
    else if (number == SYS_epoll_pwait)
        call = CALL_EPOLL_WAIT;
    else if (number == SYS_ppoll) {
        const struct timespec *timeout = (const struct timespec *)a[2];
        /* One that does not wait is not interrupted. */
        int waits = !timeout || timeout->tv_sec || timeout->tv_nsec;
        if (waits || plan.error != EINTR)
            call = CALL_POLL;
    }
    if (call >= 0 && fails(call, CALLER)) {
        int transfers = call == CALL_RECV || call == CALL_SEND;
        if (transfers && plan.kind == FAULT_SHORT)
            return real(number, a[0], a[1], a[2] ? 1L : 0L, a[3], a[4], a[5]);
        errno = plan.error;
        if (transfers)
            break_connection((int)a[0]);
        return -1;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int eventfd(unsigned int value, int flags)
{
    REAL(int, eventfd);
    MAY_FAIL(CALL_EVENTFD);
    return real(value, flags);
}

int timerfd_create(clockid_t clock, int flags)
{
    REAL(int, timerfd_create);
    MAY_FAIL(CALL_TIMERFD);
    return real(clock, flags);
}

/* ---- files ---- */

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    REAL(int, open64);
    MAY_FAIL(CALL_OPEN);
    return real(path, flags, mode);
}

/* Both are one where a long has 64 bits. */
int open(const char *, int, ...) __attribute__((alias("open64")));

ssize_t read(int fd, void *buffer, size_t size)
{
    REAL(ssize_t, read);
    if (fails(CALL_READ, CALLER)) {
        if (plan.kind == FAULT_SHORT)
            return real(fd, buffer, size ? (size_t)1 : 0);
        errno = plan.error;
        return -1;
    }
    return real(fd, buffer, size);
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    REAL(ssize_t, write);
    if (fails(CALL_WRITE, CALLER)) {
        if (plan.kind == FAULT_SHORT)
            return real(fd, buffer, size ? (size_t)1 : 0);
        errno = plan.error;
        return -1;
    }
    return real(fd, buffer, size);
}

int stat64(const char *path, struct stat64 *to)
{
    REAL(int, stat64);
    MAY_FAIL(CALL_STAT);
    return real(path, to);
}

int lstat64(const char *path, struct stat64 *to)
{
    REAL(int, lstat64);
    MAY_FAIL(CALL_STAT);
    return real(path, to);
}

int fstat64(int fd, struct stat64 *to)
{
    REAL(int, fstat64);
    MAY_FAIL(CALL_STAT);
    return real(fd, to);
}

int statx(int fd, const char *path, int flags, unsigned int mask, struct statx *to)
{
    REAL(int, statx);
    MAY_FAIL(CALL_STAT);
    return real(fd, path, flags, mask, to);
}

int ftruncate64(int fd, off64_t size)
{
    REAL(int, ftruncate64);
    MAY_FAIL(CALL_FTRUNCATE);
    return real(fd, size);
}

int fchmod(int fd, mode_t mode)
{
    REAL(int, fchmod);
    MAY_FAIL(CALL_FCHMOD);
    return real(fd, mode);
}

int fchmodat(int fd, const char *path, mode_t mode, int flags)
{
    REAL(int, fchmodat);
    MAY_FAIL(CALL_FCHMOD);
    return real(fd, path, mode, flags);
}

int flock(int fd, int operation)
{
    REAL(int, flock);
    MAY_FAIL(CALL_FLOCK);
    return real(fd, operation);
}

int rename(const char *from, const char *to)
{
    REAL(int, rename);
    MAY_FAIL(CALL_RENAME);
    return real(from, to);
}

int unlink(const char *path)
{
    REAL(int, unlink);
    MAY_FAIL(CALL_UNLINK);
    return real(path);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(int, mkdir);
    MAY_FAIL(CALL_MKDIR);
    return real(path, mode);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    REAL(int, fcntl);
    if (command == F_DUPFD_CLOEXEC)
        MAY_FAIL(CALL_FCNTL);
    return real(fd, command, argument);
}

/* ---- memory and threads ---- */

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off64_t);
    if (!real)
        real = (void *(*)(void *, size_t, int, int, int, off64_t))dlsym(RTLD_NEXT, "mmap64");
    if (fails(CALL_MMAP, CALLER)) {
        errno = plan.error;
        return MAP_FAILED;
    }
    return real(at, size, protection, flags, fd, offset);
}

/* Both have the same arguments where a long has 64 bits; it must not be a call of the other one,
 * for then this file would be the caller. */
void *mmap(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap64")));

int madvise(void *at, size_t size, int advice)
{
    static int (*real)(void *, size_t, int);
    if (!real)
        real = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "madvise");
    MAY_FAIL(CALL_MADVISE);
    return real(at, size, advice);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument)
{
    REAL(int, pthread_create);
    if (fails(CALL_THREAD, CALLER))
        return plan.error;
    return real(thread, attributes, body, argument);
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* Blocks of the library carry a mark in their last bytes: whoever gives one back, be it libc at the
 * end of a thread, it is known. */
enum { MARK_SIZE = 8 };

static uint64_t *mark_of(void *block)
{
    return (uint64_t *)((char *)block + malloc_usable_size(block) - MARK_SIZE);
}

static uint64_t mark_for(const void *block) { return (uintptr_t)block ^ 0x6f7773746f736b21u; }

static void *marked(void *block)
{
    if (block) {
        uint64_t mark = mark_for(block);
        memcpy(mark_of(block), &mark, MARK_SIZE);
        atomic_fetch_add(&blocks, 1);
    }
    return block;
}

/* Takes the mark away; whether there was one. */
static int unmark(void *block)
{
    uint64_t mark;
    memcpy(&mark, mark_of(block), MARK_SIZE);
    if (mark != mark_for(block))
        return 0;
    memset(mark_of(block), 0, MARK_SIZE);
    atomic_fetch_sub(&blocks, 1);
    return 1;
}

static _Atomic size_t least = FAULT_LARGE;

void fault_least(size_t size) { atomic_store(&least, size); }

static int has_none(size_t size, const void *caller)
{
    if (size < atomic_load(&least) || !fails(CALL_MALLOC, caller))
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    if (has_none(size, CALLER))
        return NULL;
    return is_library(CALLER) ? marked(__libc_malloc(size + MARK_SIZE)) : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    if (has_none(count * size, CALLER))
        return NULL;
    return is_library(CALLER) ? marked(__libc_calloc(1, count * size + MARK_SIZE)) : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    if (has_none(size, CALLER))
        return NULL;
    if (!(block ? unmark(block) : is_library(CALLER)))
        return __libc_realloc(block, size);
    void *larger = __libc_realloc(block, size + MARK_SIZE);
    if (!larger && block)
        marked(block);
    return marked(larger);
}

int posix_memalign(void **to, size_t alignment, size_t size)
{
    if (has_none(size, CALLER))
        return ENOMEM;
    void *block = __libc_memalign(alignment, size + MARK_SIZE);
    if (!block)
        return ENOMEM;
    *to = is_library(CALLER) ? marked(block) : block;
    return 0;
}

void free(void *block)
{
    if (block)
        unmark(block);
    __libc_free(block);
}
