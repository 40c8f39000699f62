/* Fetches one file by many HTTP/1.1 clients at once, in one thread, and says how long that took.
 *
 *     load ADDRESS PORT PATH CLIENTS SIZE
 *
 * The octets of the body are counted and thrown away in the kernel (MSG_TRUNC), so that the server is what is measured.
 * Prints "seconds octets", or a fault on standard error with exit code 1: a client that got another number of octets.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD 4096
#define AT_ONCE (4 * 1024 * 1024)

struct client {
    int socket;
    char head[HEAD + 1];
    size_t got_head;
    long long body; /* -1: the headers are not complete */
};

static void fault(const char *what) {
    fprintf(stderr, "load: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void ask(struct client *client, const struct sockaddr_in *server, const char *path) {
    char request[1024];
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path);
    client->socket = socket(AF_INET, SOCK_STREAM, 0);
    client->body = -1;
    if (client->socket < 0 || connect(client->socket, (const struct sockaddr *)server, sizeof *server))
        fault("no connection");
    if (send(client->socket, request, length, 0) != length)
        fault("no request");
}

/* Read what is there; 1 when all octets of the body have come. */
static int take(struct client *client, long long size) {
    if (client->body < 0) {
        ssize_t got = recv(client->socket, client->head + client->got_head, HEAD - client->got_head, MSG_DONTWAIT);
        if (got <= 0)
            fault("the headers ended early");
        client->got_head += got;
        client->head[client->got_head] = 0;
        char *end = strstr(client->head, "\r\n\r\n");
        if (!end)
            return 0;
        if (strncmp(client->head, "HTTP/1.1 200", 12))
            fault("another status than 200");
        client->body = client->head + client->got_head - (end + 4);
    } else {
        ssize_t got = recv(client->socket, NULL, AT_ONCE, MSG_TRUNC | MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got <= 0)
            fault("the body ended early");
        client->body += got;
    }
    if (client->body > size)
        fault("the body is too long");
    return client->body == size;
}

int main(int count, char **arguments) {
    if (count != 6)
        fault("usage: load ADDRESS PORT PATH CLIENTS SIZE");
    int clients = atoi(arguments[4]), left = clients, poll = epoll_create1(0);
    long long size = atoll(arguments[5]);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2]))};
    struct client *all = calloc(clients, sizeof *all);
    if (!all || poll < 0 || inet_pton(AF_INET, arguments[1], &server.sin_addr) != 1)
        fault("wrong use");
    double began = now();
    for (int n = 0; n < clients; n++) {
        struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = &all[n]};
        ask(&all[n], &server, arguments[3]);
        epoll_ctl(poll, EPOLL_CTL_ADD, all[n].socket, &wanted);
    }
    while (left) {
        struct epoll_event ready[64];
        int found = epoll_wait(poll, ready, 64, 60000);
        if (found <= 0)
            fault("nothing came for a minute");
        for (int n = 0; n < found; n++) {
            struct client *client = ready[n].data.ptr;
            if (take(client, size)) {
                close(client->socket);
                left--;
            }
        }
    }
    printf("%.6f %lld\n", now() - began, size * clients);
    return 0;
}
