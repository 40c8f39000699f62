/* TFTP clients for the benchmark: one thread, one epoll, a socket a client. Written to cost less than any server.
 *
 * generator HOST PORT PATH SIZE CLIENTS TRANSFERS BLKSIZE WINDOW DELAY_US LOSS_PPM SEED [FILE]
 *
 * Each client fetches PATH (SIZE octets) TRANSFERS times, one after the other. DELAY_US is added to each
 * acknowledgement and request; LOSS_PPM of the datagrams are forgotten, each way. With FILE every block is compared
 * with it. One line of JSON says what happened; exit code 1 where a client did not get its file.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define LARGEST 65536
#define PATIENCE 4.0 /* seconds of silence after which a client says its last word again */
#define LIMIT 60.0   /* seconds for all */

struct client {
    int fd, round, connected, complained, spoken, window;
    unsigned blksize;
    uint64_t block;
    unsigned in_window;
    double began, said;
    struct sockaddr_in server;
};

struct word { /* a datagram that is held back */
    double due;
    int client, round;
    unsigned length;
    unsigned char octets[256];
};

static struct sockaddr_in door;
static const char *path;
static uint64_t size, received, duplicates, out_of_order, lost, resent, aborted;
static int clients, transfers, window, finished;
static unsigned blksize;
static double delay, *took;
static uint64_t loss_ppm, chance, took_count;
static const unsigned char *wanted;
static struct client *all;
static struct word *held;
static uint64_t held_first, held_last, held_most;
static int epoll, timer;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int loses(void) {
    if (!loss_ppm) return 0;
    chance ^= chance << 13, chance ^= chance >> 7, chance ^= chance << 17;
    if (chance % 1000000 >= loss_ppm) return 0;
    lost++;
    return 1;
}

static void leave(struct client *c, const unsigned char *octets, unsigned length) {
    if (loses()) return;
    if (c->connected) send(c->fd, octets, length, 0);
    else sendto(c->fd, octets, length, 0, (struct sockaddr *)&door, sizeof door);
}

static void arm(void) {
    struct itimerspec when = {0};
    double due = held[held_first % held_most].due;
    when.it_value.tv_sec = (time_t)due;
    when.it_value.tv_nsec = (long)((due - (time_t)due) * 1e9) + 1;
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void say(struct client *c, const unsigned char *octets, unsigned length, double t) {
    c->said = t;
    c->spoken = 1;
    if (delay <= 0) { leave(c, octets, length); return; }
    if (held_last - held_first == held_most) { fprintf(stderr, "too much is held back\n"); exit(2); }
    struct word *w = &held[held_last++ % held_most];
    w->due = t + delay, w->client = c - all, w->round = c->round, w->length = length;
    memcpy(w->octets, octets, length);
    if (held_last - held_first == 1) arm();
}

static void acknowledge(struct client *c, double t) {
    unsigned char ack[4] = {0, 4, c->block >> 8 & 255, c->block & 255};
    c->in_window = 0;
    say(c, ack, 4, t);
}

static void ask(struct client *c, double t) {
    unsigned char request[256];
    int n = 2;
    request[0] = 0, request[1] = 1;
    n += sprintf((char *)request + n, "%s", path) + 1;
    n += sprintf((char *)request + n, "octet") + 1;
    if (blksize != 512) {
        n += sprintf((char *)request + n, "blksize") + 1;
        n += sprintf((char *)request + n, "%u", blksize) + 1;
    }
    if (window > 1) {
        n += sprintf((char *)request + n, "windowsize") + 1;
        n += sprintf((char *)request + n, "%d", window) + 1;
    }
    say(c, request, n, t);
}

static void begin(struct client *c, double t) {
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = c - all};
    int room = 8 << 20;
    any.sin_addr.s_addr = door.sin_addr.s_addr == htonl(INADDR_LOOPBACK) ? htonl(INADDR_LOOPBACK) : INADDR_ANY;
    c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&any, sizeof any)) { perror("socket"); exit(2); }
    if (setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room))
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
    c->block = 0, c->in_window = 0, c->window = 1, c->blksize = 512, c->connected = 0, c->complained = 0, c->began = t;
    ask(c, t);
}

static void end(struct client *c, double t) {
    took[took_count++] = t - c->began;
    close(c->fd);
    c->fd = -1;
    if (++c->round < transfers) begin(c, t);
    else finished++;
}

/* What the server grants of what was asked; a server that does not know an option leaves it out. */
static void accept_options(struct client *c, const unsigned char *octets, unsigned length) {
    const char *at = (const char *)octets + 2, *end = (const char *)octets + length;
    while (at < end) {
        const char *value = at + strnlen(at, end - at) + 1;
        if (value >= end) return;
        if (!strcasecmp(at, "blksize")) c->blksize = atoi(value);
        if (!strcasecmp(at, "windowsize")) c->window = atoi(value);
        at = value + strnlen(value, end - value) + 1;
    }
}

/* One datagram; 0 where the client has closed its socket. */
static int hear(struct client *c, const unsigned char *octets, unsigned length, double t) {
    if (length < 4) return 1;
    if (octets[1] == 5) {
        fprintf(stderr, "client %d: error %.*s\n", (int)(c - all), (int)length - 4, octets + 4);
        aborted++;
        exit(1);
    }
    if (octets[1] == 6) {
        if (!c->block) { accept_options(c, octets, length); acknowledge(c, t); }
        return 1;
    }
    if (octets[1] != 3) return 1;
    unsigned number = octets[2] << 8 | octets[3];
    if (number != ((c->block + 1) & 0xffff)) {
        int16_t ahead = (int16_t)(number - (unsigned)(c->block & 0xffff));
        if (ahead <= 0) duplicates++; else out_of_order++;
        /* One complaint for each loss in a window; a repeated block in lockstep means that the answer was lost. */
        if (!c->complained && (c->window > 1 || ahead <= 0)) { c->complained = c->window > 1; acknowledge(c, t); }
        return 1;
    }
    c->complained = 0;
    unsigned payload = length - 4;
    if (wanted && (c->block * c->blksize + payload > size || memcmp(wanted + c->block * c->blksize, octets + 4, payload))) {
        fprintf(stderr, "client %d: block %llu is wrong\n", (int)(c - all), (unsigned long long)c->block + 1);
        exit(1);
    }
    c->block++;
    received += payload;
    if (payload < c->blksize) {
        if (c->block != size / c->blksize + 1) { fprintf(stderr, "a file of %llu blocks\n", (unsigned long long)c->block); exit(1); }
        acknowledge(c, t);
        if (delay <= 0) { end(c, t); return 0; }
        c->spoken = 2;
        return 1;
    }
    if (++c->in_window >= (unsigned)c->window) acknowledge(c, t);
    return 1;
}

static void release(double t) {
    while (held_first < held_last && held[held_first % held_most].due <= t) {
        struct word *w = &held[held_first++ % held_most];
        struct client *c = &all[w->client];
        if (c->fd < 0 || c->round != w->round) continue;
        leave(c, w->octets, w->length);
        if (c->spoken == 2 && w->octets[1] == 4) end(c, t);
    }
    if (held_first < held_last) arm();
}

static int smaller(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    static unsigned char octets[BATCH][LARGEST];
    static struct mmsghdr messages[BATCH];
    static struct iovec places[BATCH];
    static struct sockaddr_in senders[BATCH];
    if (argc < 12) { fprintf(stderr, "see the comment at the top\n"); return 2; }
    door.sin_family = AF_INET, door.sin_port = htons(atoi(argv[2]));
    inet_pton(AF_INET, argv[1], &door.sin_addr);
    path = argv[3], size = strtoull(argv[4], 0, 10), clients = atoi(argv[5]), transfers = atoi(argv[6]);
    blksize = atoi(argv[7]), window = atoi(argv[8]), delay = atof(argv[9]) / 1e6, loss_ppm = atoi(argv[10]);
    chance = 0x9e3779b97f4a7c15ull * (atoi(argv[11]) + 1);
    if (argc > 12) {
        int fd = open(argv[12], O_RDONLY);
        wanted = mmap(0, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
        if (wanted == MAP_FAILED) { perror("mmap"); return 2; }
    }
    struct rlimit most;
    getrlimit(RLIMIT_NOFILE, &most), most.rlim_cur = most.rlim_max, setrlimit(RLIMIT_NOFILE, &most);
    all = calloc(clients, sizeof *all), took = calloc((size_t)clients * transfers, sizeof *took);
    held_most = (uint64_t)clients * 64 + 1024, held = calloc(held_most, sizeof *held);
    epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event tick = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &tick);
    for (int i = 0; i < BATCH; i++) {
        places[i] = (struct iovec){octets[i], LARGEST};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &senders[i], .msg_iov = &places[i], .msg_iovlen = 1};
    }
    double began = now(), looked = began;
    for (int i = 0; i < clients; i++) begin(&all[i], now());
    while (finished < clients) {
        struct epoll_event ready[256];
        int n = epoll_wait(epoll, ready, 256, 100);
        double t = now();
        for (int i = 0; i < n; i++) {
            if (ready[i].data.u32 == UINT32_MAX) {
                uint64_t ticks;
                if (read(timer, &ticks, sizeof ticks) < 0) continue;
                release(t);
                continue;
            }
            struct client *c = &all[ready[i].data.u32];
            if (c->fd < 0) continue;
            int most_now = window > 1 ? BATCH : 1, fd = c->fd;
            for (int m = 0; m < most_now; m++) messages[m].msg_hdr.msg_namelen = sizeof senders[0];
            int got = recvmmsg(c->fd, messages, most_now, MSG_DONTWAIT, NULL);
            for (int m = 0; m < got; m++) {
                if (loses()) continue;
                if (!c->connected) {
                    c->server = senders[m], c->connected = 1;
                    connect(c->fd, (struct sockaddr *)&c->server, sizeof c->server);
                }
                c->said = t;
                if (!hear(c, octets[m], messages[m].msg_len, t) || c->fd != fd) break;
            }
        }
        if (t - looked > 0.1) {
            looked = t;
            for (int i = 0; i < clients; i++) {
                struct client *c = &all[i];
                if (c->fd < 0 || t - c->said < PATIENCE) continue;
                resent++;
                if (c->connected) acknowledge(c, t); else ask(c, t);
            }
            if (t - began > LIMIT) { fprintf(stderr, "%d of %d clients finished\n", finished, clients); return 1; }
        }
    }
    double seconds = now() - began;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    qsort(took, took_count, sizeof *took, smaller);
    printf("{\"bytes\": %llu, \"seconds\": %.6f, \"p50\": %.6f, \"p99\": %.6f, \"files\": %llu, \"duplicates\": %llu, "
           "\"out_of_order\": %llu, \"lost\": %llu, \"resent\": %llu, \"cpu\": %.6f}\n",
           (unsigned long long)received, seconds, took[took_count / 2], took[took_count * 99 / 100],
           (unsigned long long)took_count, (unsigned long long)duplicates, (unsigned long long)out_of_order,
           (unsigned long long)lost, (unsigned long long)resent,
           used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return 0;
}
