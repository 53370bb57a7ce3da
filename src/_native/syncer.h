/* One thread that writes what it is handed and does not say so before the disk has it.

   The two sides share one job.  `begin` fills it in and posts `wanted`; the thread writes, sets the result, then
   `ended`, then makes `event` readable.  Whoever sees `ended` (with acquire) sees the result.  So the owner may look
   at `ended` without a system call, or wait for `event`, and finds nothing new at worst; nothing is ever missed.

   An owner that will look by itself sets `silent`, and is spared the wake-up.  When it wants one after all, it clears
   `silent` and then looks at `ended`; the thread sets `ended` and then looks at `silent`.  Both pairs are sequentially
   consistent, so at least one of the two sees what the other has done. */

#ifndef TASKSPRINT_SYNCER_H
#define TASKSPRINT_SYNCER_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__linux__)

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SYNCER_SUPPORTED 1

typedef struct {
    pthread_t thread;
    pid_t owner; /* a child of fork has no such thread */
    sem_t wanted;
    int event;
    int pending; /* posted without it: the thread is to end */
    int separately; /* no RWF_DSYNC here: write, then fdatasync */
    int file;
    int64_t offset;
    const char *data;
    size_t size;
    int error;
    double seconds;
    int ended;
    int silent; /* no event for a write that succeeds */
} SyncThread;

static double syncer_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static ssize_t syncer_write_some(SyncThread *self, const char *data, size_t size, int64_t offset)
{
#ifdef RWF_DSYNC
    if (!self->separately) {
        struct iovec part = {(void *)data, size};
        ssize_t done = pwritev2(self->file, &part, 1, offset, RWF_DSYNC);
        if (done >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
            return done;
        self->separately = 1;
    }
#else
    self->separately = 1;
#endif
    return pwrite(self->file, data, size, offset);
}

/* 0, or an errno. */
static int syncer_write(SyncThread *self)
{
    size_t at = 0;
    while (at < self->size) {
        ssize_t done = syncer_write_some(self, self->data + at, self->size - at, self->offset + (int64_t)at);
        if (done > 0)
            at += (size_t)done;
        else if (done == 0)
            return EIO;
        else if (errno != EINTR)
            return errno;
    }
    return self->separately && fdatasync(self->file) != 0 ? errno : 0;
}

static void *syncer_run(void *argument)
{
    SyncThread *self = argument;
    uint64_t one = 1;
    for (;;) {
        while (sem_wait(&self->wanted) != 0)
            ;
        if (!self->pending)
            return NULL;
        self->pending = 0;
        double begun = syncer_now();
        self->error = syncer_write(self);
        self->seconds = syncer_now() - begun;
        int failed = self->error;
        __atomic_store_n(&self->ended, 1, __ATOMIC_SEQ_CST);
        if (!failed && __atomic_load_n(&self->silent, __ATOMIC_SEQ_CST))
            continue;
        while (write(self->event, &one, sizeof one) < 0 && errno == EINTR)
            ;
    }
}

/* NULL with errno when there is no thread or no event to be had. */
static SyncThread *syncer_new(void)
{
    SyncThread *self = calloc(1, sizeof *self);
    sigset_t all, before;
    if (self == NULL)
        return NULL;
    self->owner = getpid();
    self->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->event < 0) {
        free(self);
        return NULL;
    }
    sem_init(&self->wanted, 0, 0);
    sigfillset(&all); /* signals are for the interpreter's threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&self->thread, NULL, syncer_run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        close(self->event);
        free(self);
        errno = error;
        return NULL;
    }
    return self;
}

static int syncer_event(const SyncThread *self)
{
    return self->event;
}

static void syncer_begin(SyncThread *self, int file, int64_t offset, const char *data, size_t size)
{
    self->file = file;
    self->offset = offset;
    self->data = data;
    self->size = size;
    self->pending = 1;
    __atomic_store_n(&self->ended, 0, __ATOMIC_RELAXED); /* the post publishes all of it */
    sem_post(&self->wanted);
}

static int syncer_ended(const SyncThread *self)
{
    return __atomic_load_n(&self->ended, __ATOMIC_SEQ_CST);
}

static void syncer_show(SyncThread *self, int wanted)
{
    __atomic_store_n(&self->silent, !wanted, __ATOMIC_SEQ_CST);
}

static int syncer_error(const SyncThread *self)
{
    return self->error;
}

static double syncer_seconds(const SyncThread *self)
{
    return self->seconds;
}

static void syncer_clear(SyncThread *self)
{
    uint64_t count;
    ssize_t ignored = read(self->event, &count, sizeof count);
    (void)ignored;
}

/* Until the write that was begun has ended.  Something may be left of an earlier one, so look again. */
static void syncer_wait(SyncThread *self)
{
    struct pollfd event = {self->event, POLLIN, 0};
    syncer_show(self, 1);
    while (!syncer_ended(self)) {
        poll(&event, 1, -1);
        if (!syncer_ended(self))
            syncer_clear(self);
    }
}

static void syncer_free(SyncThread *self)
{
    if (self->owner == getpid()) {
        sem_post(&self->wanted);
        pthread_join(self->thread, NULL);
        sem_destroy(&self->wanted);
    }
    close(self->event);
    free(self);
}

#else /* the plain twin does it there */

#define SYNCER_SUPPORTED 0

typedef struct {
    int event;
} SyncThread;

static SyncThread *syncer_new(void)
{
    errno = ENOSYS;
    return NULL;
}
static int syncer_event(const SyncThread *self) { return self->event; }
static void syncer_begin(SyncThread *self, int file, int64_t offset, const char *data, size_t size) {}
static int syncer_ended(const SyncThread *self) { return 1; }
static int syncer_error(const SyncThread *self) { return ENOSYS; }
static double syncer_seconds(const SyncThread *self) { return 0; }
static void syncer_show(SyncThread *self, int wanted) {}
static void syncer_clear(SyncThread *self) {}
static void syncer_wait(SyncThread *self) {}
static void syncer_free(SyncThread *self) {}

#endif

#endif
