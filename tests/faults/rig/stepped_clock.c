/* Preloaded into a process, moves its wall clock as `date --set` would: by the nanoseconds in the file STEPPED_CLOCK.

   The monotonic clock stays. Waits that end at a time of the wall clock behave as the kernel's do when it is set: they
   end at once when it has passed, and last longer when it has gone back. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

#define SECOND 1000000000LL
#define SLICE (20 * 1000000LL)

static volatile int64_t *offset;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_cnd)(cnd_t *, mtx_t *, const struct timespec *);
static int (*real_cond)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_cnd = dlsym(RTLD_NEXT, "cnd_timedwait");
    real_cond = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    const char *name = getenv("STEPPED_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) abort();
    offset = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (offset == MAP_FAILED) abort();
}

static int64_t number(const struct timespec *at) { return at->tv_sec * SECOND + at->tv_nsec; }

static struct timespec spec(int64_t at) { return (struct timespec){at / SECOND, at % SECOND}; }

static int64_t real_now(void) {
    struct timespec at;
    if (!real_gettime) begin();
    real_gettime(CLOCK_REALTIME, &at);
    return number(&at);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    if (!real_gettime) begin();
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return real_gettime(clock, at);
    *at = spec(real_now() + *offset);
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    int64_t now = real_now() + *offset;
    *at = (struct timeval){now / SECOND, now % SECOND / 1000};
    return 0;
}

time_t time(time_t *at) {
    time_t now = (real_now() + *offset) / SECOND;
    if (at) *at = now;
    return now;
}

int timespec_get(struct timespec *at, int base) {
    *at = spec(real_now() + *offset);
    return base;
}

/* Wait a little at a time, so that a step is noticed; return in `until` when the next look is due, 1 if it is the end. */
static int slice(int64_t end, struct timespec *until) {
    int64_t now = real_now(), left = end - *offset - now;
    *until = spec(now + (left < 0 ? 0 : left < SLICE ? left : SLICE));
    return left <= SLICE;
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict at) {
    struct timespec until;
    for (;;) {
        int last = slice(number(at), &until), result = real_cnd(cond, mutex, &until);
        if (result != thrd_timedout || last) return result;
    }
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict at) {
    struct timespec until;
    if (at->tv_sec < SECOND) return real_cond(cond, mutex, at); /* a monotonic time: no machine runs for 30 years */
    for (;;) {
        int last = slice(number(at), &until), result = real_cond(cond, mutex, &until);
        if (result != ETIMEDOUT || last) return result;
    }
}
