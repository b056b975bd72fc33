/* A disk that fails on request, and that reports what is synced.
 *
 * Preloaded into the server. While the file $DISK_FAILS exists, every sync fails with EIO. While
 * $DISK_STALLS_READS exists, no read of a table returns, and while $DISK_STALLS_SYNCS exists, no sync; the
 * first stalled call creates a file of this name with the suffix `.stalled`. After every successful sync of
 * a journal, or of the limit's history, its name and synced length are appended to $DISK_SYNCED, one line
 * each. While $DISK_HANGS exists, no sync of a file that belongs to the limit returns. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Returns once the disk answers. */
static void wait_for_disk(const char *variable)
{
    const char *stalls = getenv(variable);
    char stalled[4096];
    int file;

    if (!stalls || access(stalls, F_OK) != 0)
        return;
    snprintf(stalled, sizeof stalled, "%s.stalled", stalls);
    file = open(stalled, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0)
        close(file);
    while (access(stalls, F_OK) == 0)
        usleep(2000);
}

static ssize_t read_file(const char *name, int fd, void *buffer, size_t size, off_t offset)
{
    ssize_t (*real)(int, void *, size_t, off_t) =
        (ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, name);
    char link[64], path[4096];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length > 0) {
        path[length] = 0;
        if (strstr(path, "/tables/"))
            wait_for_disk("DISK_STALLS_READS");
    }
    return real(fd, buffer, size, offset);
}

ssize_t pread(int fd, void *buffer, size_t size, off_t offset)
{
    return read_file("pread", fd, buffer, size, offset);
}

ssize_t pread64(int fd, void *buffer, size_t size, off64_t offset)
{
    return read_file("pread64", fd, buffer, size, offset);
}

static int sync_file(const char *name, int fd)
{
    const char *fails = getenv("DISK_FAILS");
    const char *synced = getenv("DISK_SYNCED");
    const char *hangs = getenv("DISK_HANGS");
    char link[64], path[4096], line[4160];
    /* What is written during the sync may or may not be part of it. */
    off_t end = lseek(fd, 0, SEEK_CUR);
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    ssize_t length;
    int log, result;

    if (fails && access(fails, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    wait_for_disk("DISK_STALLS_SYNCS");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    while (hangs && access(hangs, F_OK) == 0 && strstr(path, "limit-"))
        usleep(10000);
    result = real(fd);
    if (result != 0 || !synced || end <= 0)
        return result;
    if ((length < 4 || memcmp(path + length - 4, ".jnl", 4) != 0)
        && (length < 6 || memcmp(path + length - 6, ".jsonl", 6) != 0))
        return 0;
    length = snprintf(line, sizeof line, "%lld %s\n", (long long)end, strrchr(path, '/') + 1);
    log = open(synced, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || write(log, line, length) != length)
        abort();
    close(log);
    return 0;
}

int fdatasync(int fd)
{
    return sync_file("fdatasync", fd);
}

int fsync(int fd)
{
    return sync_file("fsync", fd);
}
