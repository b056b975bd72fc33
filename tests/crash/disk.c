/* A disk that fails when it is told to, and that says what is safe on it.
 *
 * Preloaded into the server. While the file $DISK_FAILS exists, every sync fails with EIO. After
 * every sync of a journal that did not, its name and how far it had been written stand in
 * $DISK_SYNCED, one line each. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int sync_file(const char *name, int fd)
{
    const char *fails = getenv("DISK_FAILS");
    const char *synced = getenv("DISK_SYNCED");
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
    result = real(fd);
    if (result != 0 || !synced || end <= 0)
        return result;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 4 || memcmp(path + length - 4, ".jnl", 4) != 0)
        return 0;
    path[length] = 0;
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
