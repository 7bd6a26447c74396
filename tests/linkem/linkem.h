/* What the parts of linkem share. linkem.c says what it is and how it is used. */
#ifndef LINKEM_H
#define LINKEM_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SECOND INT64_C(1000000000)
#define MILLISECOND INT64_C(1000000)
#define NEVER INT64_MAX
#define MAX_COMMAND_BYTES 4096
#define MAX_COALESCED 16

struct packet {
    int64_t time;   /* in the queue: of arrival; in the delay line: of departure */
    uint64_t number; /* keeps packets of the same time in order */
    uint32_t length;
    uint8_t data[];
};

struct side {
    int fd;
    bool is_ethernet;
    bool is_device;    /* ours: a TUN or TAP device */
    bool has_offload;  /* a virtio_net_hdr stands before each packet */
    bool has_carrier;
    char name[IFNAMSIZ];
};

struct settings {
    double rate; /* bits per second, 0 is unlimited */
    double loss, duplicate, to_bad, to_good, loss_good, loss_bad; /* shares, 0 to 1 */
    int64_t limit, overhead;                                      /* bytes */
    int64_t delay, jitter, wander, codel_target, codel_interval;
    bool reorder, hole, has_burst, has_codel;
};

struct counters {
    uint64_t packets_in, bytes_in, packets_out, bytes_out, marked;
    uint64_t lost, overflowed, codel_dropped, swallowed, unplugged, unwritten;
    int64_t longest_queue;
};

struct direction {
    struct side *from, *to;
    struct settings set;
    struct counters count;
    struct packet **queue; /* a ring */
    uint32_t queue_capacity, queue_head, queued;
    int64_t queued_bytes;
    int64_t idle_at; /* when the transmitter has sent everything before the queue's head */
    struct packet **line; /* the delay line: a binary heap by time */
    uint32_t line_capacity, flying;
    int64_t last_departure;
    int64_t wander_began;
    double wander_from, wander_to;
    bool is_bad; /* state of the burst model */
    bool is_dropping; /* from here on: RFC 8289 section 5 */
    int64_t first_above, drop_next;
    uint32_t drop_count, last_drop_count;
};

/* Index 0 is A, and the direction from A to B. */
extern struct side sides[2];
extern struct direction directions[2];

/* Options; constant once the interfaces are there. */
extern int64_t tick;
extern int mtu;
extern bool coalesces;

/* Set by the command "quit". */
extern bool is_over;

/* linkem.c */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* pipeline.c */
void seed(uint64_t start);
void arrive(struct direction *d, const uint8_t *data, uint32_t length, int64_t time);
void transmit(struct direction *d, int64_t time);
void depart(struct direction *d, int64_t time);
int64_t next_due(void);

/* interfaces.c */
void attach_sides(char *const *specs);
void receive(struct direction *d, int64_t time);
bool set_carrier(const char *which, const char *text);

/* coalescing.c */
bool may_join(const struct side *to, struct packet *const *run, int count,
              const struct packet *packet);
void deliver(struct direction *d, struct packet **run, int count);

/* control.c */
bool command(char *line, FILE *out);
int listen_at(const char *path);
void serve(int listener);

#endif
