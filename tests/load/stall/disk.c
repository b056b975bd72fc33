/* A disk that does not answer on request.
 *
 * Preloaded into the server. While the file $DISK_HANGS exists, every call on a file below a directory
 * `data` in $DISK waits. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_on_disk(const char *path)
{
    const char *disk = getenv("DISK");

    return disk && path && strncmp(path, disk, strlen(disk)) == 0 && strstr(path, "/data/");
}

static int hangs(void)
{
    const char *hangs = getenv("DISK_HANGS");

    return hangs && access(hangs, F_OK) == 0;
}

static void wait_for_path(const char *path)
{
    while (hangs() && is_on_disk(path))
        usleep(10000);
}

static void wait_for_fd(int fd)
{
    char link[64], path[PATH_MAX];
    ssize_t length;

    if (!hangs())
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = 0;
    wait_for_path(path);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) \
        real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define ON_FD(type, name, parameters, arguments, ...) \
    type name parameters \
    { \
        REAL(type, #name, __VA_ARGS__); \
        wait_for_fd(fd); \
        return real arguments; \
    }

ON_FD(int, fsync, (int fd), (fd), int)
ON_FD(int, fdatasync, (int fd), (fd), int)
ON_FD(int, ftruncate64, (int fd, off64_t length), (fd, length), int, off64_t)
ON_FD(int, fallocate64, (int fd, int mode, off64_t at, off64_t length), (fd, mode, at, length), int, int, off64_t, off64_t)
ON_FD(ssize_t, write, (int fd, const void *from, size_t length), (fd, from, length), int, const void *, size_t)
ON_FD(ssize_t, writev, (int fd, const struct iovec *from, int count), (fd, from, count), int, const struct iovec *, int)
ON_FD(ssize_t, pwrite64, (int fd, const void *from, size_t length, off64_t at), (fd, from, length, at), int, const void *, size_t, off64_t)
ON_FD(ssize_t, read, (int fd, void *to, size_t length), (fd, to, length), int, void *, size_t)
ON_FD(ssize_t, pread64, (int fd, void *to, size_t length, off64_t at), (fd, to, length, at), int, void *, size_t, off64_t)

int rename(const char *from, const char *to)
{
    REAL(int, "rename", const char *, const char *);
    wait_for_path(to);
    return real(from, to);
}

int unlink(const char *path)
{
    REAL(int, "unlink", const char *);
    wait_for_path(path);
    return real(path);
}

int open64(const char *path, int flags, ...)
{
    REAL(int, "open64", const char *, int, ...);
    va_list rest;
    mode_t mode;

    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
    wait_for_path(path);
    return real(path, flags, mode);
}
