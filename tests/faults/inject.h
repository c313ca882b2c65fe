/* inject.h - makes a system call of the library fail, once or for a while.
 *
 * inject.c defines the functions of libc that libdotsock calls, under their own names. It is linked
 * into the test program, so that the loader finds them there before it looks into libc; what the
 * test program itself, libc or the loader calls goes through untouched. */
#ifndef INJECT_H
#define INJECT_H

#include <stddef.h>
#include <stdint.h>

enum fault_call {
    CALL_SOCKET,
    CALL_BIND,
    CALL_LISTEN,
    CALL_ACCEPT4,
    CALL_CONNECT,
    CALL_RECV,
    CALL_SEND, /* send and sendmsg */
    CALL_SHUTDOWN,
    CALL_SETSOCKOPT,
    CALL_GETSOCKOPT,
    CALL_GETSOCKNAME,
    CALL_GETPEERNAME,
    CALL_IOCTL,
    CALL_EPOLL_CREATE,
    CALL_EPOLL_ADD,
    CALL_EPOLL_WAIT,
    CALL_POLL, /* poll and ppoll */
    CALL_EVENTFD,
    CALL_EVENT_READ, /* of an eventfd or a timerfd */
    CALL_TIMERFD,
    CALL_OPEN,
    CALL_READ,  /* of a file */
    CALL_WRITE, /* to a file */
    CALL_STAT,  /* stat, lstat, fstat and statx */
    CALL_FTRUNCATE,
    CALL_FCHMOD, /* and fchmodat */
    CALL_FLOCK,
    CALL_RENAME,
    CALL_UNLINK,
    CALL_MKDIR,
    CALL_FCNTL, /* duplicates a descriptor */
    CALL_MMAP,
    CALL_MADVISE,
    CALL_THREAD, /* pthread_create */
    CALL_MALLOC, /* every allocation of FAULT_LARGE bytes or more, or see fault_least() */
    CALLS
};

/* From this size on, memory is for what a peer or an argument sizes, and the library must do without
 * it. What it needs for itself (most of all 33 KB to parse its settings) is less; where a Rust
 * program lacks that, it ends. */
#define FAULT_LARGE 40000

enum fault_kind {
    FAULT_ERROR, /* fails with `error` */
    FAULT_SHORT, /* transfers one byte */
};

struct fault_plan {
    int call;
    enum fault_kind kind;
    int error;
    uint64_t first; /* the number of the first call that fails, from 1 */
    int64_t for_ms; /* 0: that one alone; else all calls until so long after; -1: all that follow */
};

const char *fault_name(int call);

/* Counts from 0 again and makes calls fail as `plan` says, or (NULL) counts only. */
void fault_begin(const struct fault_plan *plan);
/* From now on every allocation of so many bytes counts as CALL_MALLOC. */
void fault_least(size_t size);
/* Lets everything through from now on. */
void fault_end(void);
/* How often the library called this function since fault_begin. */
uint64_t fault_calls(int call);
/* How many of these failed. */
uint64_t fault_hits(void);
/* Blocks of memory that the library holds now. */
int64_t fault_blocks(void);

#endif
