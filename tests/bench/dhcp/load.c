/* A closed-loop load of DHCP clients: each does DISCOVER-OFFER-REQUEST-ACK once, every answer is checked.
 *
 *   load MODE LOCAL SERVER INTERFACE FIRST COUNT WINDOW RATE PATIENCE SECONDS
 *
 * MODE       relay: as a relay agent at LOCAL:67 (giaddr); broadcast: as clients on INTERFACE, which ask for broadcasts
 * FIRST      number of the first client; its hardware address is 02:00 and the number in four octets
 * COUNT      how many clients
 * WINDOW     how many are under way at a time
 * RATE       how many begin in a second; 0: as soon as the window has room
 * PATIENCE   milliseconds until a client repeats its message; after the fourth time it gives up
 * SECONDS    no client begins later than this
 *
 * It sleeps in poll(2) while nothing arrives, sends and receives many datagrams a system call, and prints one line of
 * JSON. An answer is wrong when its type, hardware address, server identifier, lease time, mask or address is not what
 * the client must get, when an ACK names another address than the OFFER, or when two clients have one address.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, SIZE = 1500, TRIES = 4, REPLY_MINIMUM = 240 };
enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6 };
enum state { IDLE, ASKING, CHOOSING, DONE, LOST };

struct client {
    double began, sent, offered_at;
    uint32_t address, server; /* network byte order */
    uint32_t next;            /* the list of those under way, in the order of `sent` */
    uint32_t previous;
    uint8_t state, tries;
};

static struct client *clients;
static uint32_t count, first, window;
static uint32_t head = UINT32_MAX, tail = UINT32_MAX; /* under way, the longest silent one first */
static uint32_t under_way, completed, lost, resends, refused, wrong, late;
static struct in_addr local, server;
static int sock, relay;
static uint32_t salt;
static uint32_t *owners;
static double *whole, *offers;
static uint32_t measured, offers_measured;

static struct mmsghdr out[BATCH];
static struct iovec out_parts[BATCH];
static uint8_t out_data[BATCH][SIZE];
static int waiting_out;
static struct sockaddr_in to;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(2);
}

/* --- the list of those under way ------------------------------------------------------------------------- */

static void take_out(uint32_t n) {
    struct client *c = &clients[n];
    if (c->previous == UINT32_MAX) head = c->next; else clients[c->previous].next = c->next;
    if (c->next == UINT32_MAX) tail = c->previous; else clients[c->next].previous = c->previous;
}

static void append(uint32_t n) {
    struct client *c = &clients[n];
    c->next = UINT32_MAX;
    c->previous = tail;
    if (tail == UINT32_MAX) head = n; else clients[tail].next = n;
    tail = n;
}

/* --- sending ---------------------------------------------------------------------------------------------- */

static void flush(void) {
    int done = 0;
    while (done < waiting_out) {
        int sent = sendmmsg(sock, out + done, waiting_out - done, 0);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == ENOBUFS) {
                struct pollfd writable = {sock, POLLOUT, 0};
                poll(&writable, 1, 10);
                continue;
            }
            fail("sendmmsg");
        }
        done += sent;
    }
    waiting_out = 0;
}

static uint8_t *option(uint8_t *at, uint8_t code, uint8_t length, const void *value) {
    *at++ = code;
    *at++ = length;
    memcpy(at, value, length);
    return at + length;
}

static void hardware_address(uint32_t n, uint8_t *mac) {
    uint32_t number = htonl(first + n);
    mac[0] = 2;
    mac[1] = 0;
    memcpy(mac + 2, &number, 4);
}

/* What the firmware of a BIOS machine sends. */
static size_t write_message(uint8_t *data, uint32_t n, uint8_t type) {
    struct client *c = &clients[n];
    uint32_t xid = htonl(salt + n);
    memset(data, 0, REPLY_MINIMUM);
    data[0] = 1;
    data[1] = 1;
    data[2] = 6;
    data[3] = relay ? 1 : 0;
    memcpy(data + 4, &xid, 4);
    if (!relay) data[10] = 0x80;
    if (relay) memcpy(data + 24, &local, 4);
    hardware_address(n, data + 28);
    memcpy(data + 236, "\x63\x82\x53\x63", 4);
    uint8_t *at = option(data + 240, 53, 1, &type);
    if (type == REQUEST) {
        at = option(at, 50, 4, &c->address);
        at = option(at, 54, 4, &c->server);
    }
    at = option(at, 55, 12, "\x01\x03\x06\x0c\x0f\x1c\x2b\x33\x36\x3a\x3b\x43");
    at = option(at, 57, 2, "\x05\xc0");
    uint8_t uuid[17] = {0, 0x4c, 0x4b, 0x46};
    hardware_address(n, uuid + 11);
    at = option(at, 97, 17, uuid);
    at = option(at, 93, 2, "\x00\x00");
    at = option(at, 94, 3, "\x01\x02\x01");
    at = option(at, 60, 32, "PXEClient:Arch:00000:UNDI:002001");
    *at++ = 255;
    size_t length = at - data;
    return length < 300 ? (memset(at, 0, 300 - length), 300) : length;
}

static void send_message(uint32_t n, double at) {
    if (waiting_out == BATCH) flush();
    struct client *c = &clients[n];
    out_parts[waiting_out].iov_len = write_message(out_data[waiting_out], n, c->state == ASKING ? DISCOVER : REQUEST);
    waiting_out++;
    c->sent = at;
}

static void begin(uint32_t n, double at) {
    struct client *c = &clients[n];
    c->state = ASKING;
    c->tries = 1;
    c->began = at;
    under_way++;
    append(n);
    send_message(n, at);
}

static void end(uint32_t n, enum state state) {
    clients[n].state = state;
    take_out(n);
    under_way--;
    if (state == DONE) completed++; else lost++;
}

static void repeat_overdue(double at, double patience) {
    while (head != UINT32_MAX && clients[head].sent + patience <= at) {
        uint32_t n = head;
        if (clients[n].tries++ == TRIES) {
            end(n, LOST);
            continue;
        }
        resends++;
        take_out(n);
        append(n);
        send_message(n, at);
    }
}

/* --- receiving -------------------------------------------------------------------------------------------- */

struct answer {
    uint8_t type;
    uint32_t server, lease_time, mask;
};

static int read_options(const uint8_t *data, size_t length, struct answer *a) {
    size_t at = 240;
    memset(a, 0, sizeof *a);
    while (at < length && data[at] != 255) {
        if (data[at] == 0) { at++; continue; }
        if (at + 2 > length || at + 2 + data[at + 1] > length) return 0;
        const uint8_t *value = data + at + 2;
        uint8_t size = data[at + 1];
        if (data[at] == 53 && size == 1) a->type = value[0];
        if (data[at] == 54 && size == 4) memcpy(&a->server, value, 4);
        if (data[at] == 51 && size == 4) memcpy(&a->lease_time, value, 4);
        if (data[at] == 1 && size == 4) memcpy(&a->mask, value, 4);
        at += 2 + size;
    }
    return 1;
}

static int is_owned_by_another(uint32_t address, uint32_t n) {
    uint32_t index = ntohl(address) & 0xffff;
    if (owners[index] == UINT32_MAX) owners[index] = n;
    return owners[index] != n;
}

static void receive(const uint8_t *data, size_t length, double at) {
    uint32_t xid, address;
    struct answer a;
    uint8_t mac[6];
    if (length < REPLY_MINIMUM || data[0] != 2) { wrong++; return; }
    memcpy(&xid, data + 4, 4);
    uint32_t n = ntohl(xid) - salt;
    if (n >= count) return; /* an answer to an earlier run */
    struct client *c = &clients[n];
    memcpy(&address, data + 16, 4);
    hardware_address(n, mac);
    if (!read_options(data, length, &a) || memcmp(data + 28, mac, 6)) { wrong++; return; }
    if (a.type == NAK) { refused++; return; }
    uint8_t expected = c->state == ASKING ? OFFER : ACK;
    if (c->state == DONE || c->state == LOST || a.type != expected) { late++; return; }
    int same_network = (ntohl(address) ^ ntohl(local.s_addr)) < 0x10000;
    if (!a.server || !a.lease_time || a.mask != htonl(0xffff0000) || !same_network) { wrong++; return; }
    if (expected == OFFER) {
        c->address = address;
        c->server = a.server;
        c->state = CHOOSING;
        c->tries = 1;
        offers[offers_measured++] = at - c->began;
        take_out(n);
        append(n);
        send_message(n, at);
        return;
    }
    if (address != c->address || is_owned_by_another(address, n)) wrong++;
    whole[measured++] = at - c->began;
    end(n, DONE);
}

static int receive_all(void) {
    static uint8_t in_data[BATCH][SIZE];
    static struct mmsghdr in[BATCH];
    static struct iovec in_parts[BATCH];
    int total = 0, got;
    for (int i = 0; i < BATCH; i++) {
        in_parts[i] = (struct iovec){in_data[i], SIZE};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &in_parts[i], .msg_iovlen = 1};
    }
    do {
        got = recvmmsg(sock, in, BATCH, MSG_DONTWAIT, NULL);
        if (got < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) fail("recvmmsg");
        double at = now();
        for (int i = 0; i < got; i++) receive(in_data[i], in[i].msg_len, at);
        total += got > 0 ? got : 0;
    } while (got == BATCH);
    return total;
}

/* --- the run ---------------------------------------------------------------------------------------------- */

static void open_socket(const char *interface) {
    int yes = 1, size = 16 << 20;
    struct sockaddr_in mine = {.sin_family = AF_INET, .sin_port = htons(relay ? 67 : 68)};
    if (relay) mine.sin_addr = local;
    sock = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    setsockopt(sock, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes);
    if (setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size)) perror("SO_RCVBUFFORCE");
    if (setsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, interface, strlen(interface))) fail(interface);
    if (bind(sock, (struct sockaddr *)&mine, sizeof mine)) fail("bind");
    to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(67)};
    to.sin_addr.s_addr = relay ? server.s_addr : INADDR_BROADCAST;
    for (int i = 0; i < BATCH; i++) {
        out_parts[i] = (struct iovec){out_data[i], 0};
        out[i].msg_hdr = (struct msghdr){.msg_iov = &out_parts[i], .msg_iovlen = 1, .msg_name = &to,
                                         .msg_namelen = sizeof to};
    }
}

static void run(double rate, double patience, double seconds) {
    double start = now();
    uint32_t begun = 0;
    for (;;) {
        double at = now();
        uint32_t due = rate > 0 ? (uint32_t)((at - start) * rate) + 1 : count;
        int may_begin = begun < count && at - start < seconds;
        while (may_begin && begun < count && under_way < window && begun < due) begin(begun++, at);
        repeat_overdue(at, patience);
        flush();
        if (under_way == 0 && (begun == count || !may_begin)) return;
        double until = head == UINT32_MAX ? at + 0.1 : clients[head].sent + patience;
        if (rate > 0 && may_begin && start + begun / rate < until) until = start + begun / rate;
        struct timespec pause = {0, 0};
        double left = until - now();
        if (left > 0) { pause.tv_sec = (time_t)left; pause.tv_nsec = (long)((left - pause.tv_sec) * 1e9); }
        struct pollfd readable = {sock, POLLIN, 0};
        if (ppoll(&readable, 1, &pause, NULL) > 0) receive_all();
    }
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double at_share(double *sorted, uint32_t n, double share) {
    return n ? sorted[(uint32_t)(share * (n - 1))] * 1e3 : 0;
}

int main(int argc, char **argv) {
    if (argc != 11) {
        fprintf(stderr, "usage: load MODE LOCAL SERVER INTERFACE FIRST COUNT WINDOW RATE PATIENCE SECONDS\n");
        return 2;
    }
    relay = !strcmp(argv[1], "relay");
    if (!inet_aton(argv[2], &local) || !inet_aton(argv[3], &server)) return 2;
    first = strtoul(argv[5], NULL, 10);
    count = strtoul(argv[6], NULL, 10);
    window = strtoul(argv[7], NULL, 10);
    clients = calloc(count, sizeof *clients);
    whole = calloc(count, sizeof *whole);
    offers = calloc(count, sizeof *offers);
    owners = malloc(65536 * sizeof *owners);
    if (!clients || !whole || !offers || !owners) return 2;
    memset(owners, 0xff, 65536 * sizeof *owners);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    salt = (uint32_t)(t.tv_nsec / 1000) << 20; /* an answer to an earlier run is not taken for one of this */
    open_socket(argv[4]);
    double start = now();
    run(atof(argv[8]), atof(argv[9]) / 1e3, atof(argv[10]));
    double took = now() - start;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    qsort(whole, measured, sizeof *whole, compare);
    qsort(offers, offers_measured, sizeof *offers, compare);
    printf("{\"completed\": %u, \"lost\": %u, \"resends\": %u, \"refused\": %u, \"wrong\": %u, \"late\": %u,"
           " \"seconds\": %.6f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, \"offer_p50_ms\": %.4f,"
           " \"own_cpu_seconds\": %.4f}\n",
           completed, lost, resends, refused, wrong, late, took, at_share(whole, measured, 0.5),
           at_share(whole, measured, 0.99), at_share(whole, measured, 1), at_share(offers, offers_measured, 0.5),
           used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return 0;
}
