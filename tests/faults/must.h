/* must.h - how the programs here end when something is wrong, and what they clean up. */
#ifndef MUST_H
#define MUST_H

#include <dotsock.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *doing = "the start"; /* what is being tried */

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "FAILED %s: ", doing);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, " (last error: %s)\n", sock_last_error());
    va_end(arguments);
    exit(1);
}

#define MUST(call)                                                                                             \
    do {                                                                                                       \
        if ((call) != DOTSOCK_OK)                                                                              \
            fail("%s", #call);                                                                                 \
    } while (0)

static inline int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static inline void remove_all(const char *directory)
{
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
