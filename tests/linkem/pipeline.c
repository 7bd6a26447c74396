/* One direction of the link: loss, queue, serialisation, delay. Knows packets and times only. */
#include "linkem.h"

#include <linux/if_ether.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HELD_PACKETS 200000 /* in one direction: a rate of 0 has no queue that could be full */

enum { SHORTEST_HEADER_BYTES = 20 }; /* IPv4 without options */

static uint64_t next_number;
static uint64_t random_state;

void seed(uint64_t start)
{
    random_state = start ^ UINT64_C(0x9E3779B97F4A7C15);
    if (!random_state) /* the one state that never changes */
        random_state = 1;
}

/* xorshift64*: fast, and random enough for the loss of packets. From 0 to 1. */
static double dice(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (double)((random_state * UINT64_C(0x2545F4914F6CDD1D)) >> 11) / 9007199254740992.0;
}

static struct packet **grown(struct packet **old, uint32_t capacity)
{
    struct packet **larger = realloc(old, capacity * sizeof *larger);

    if (!larger)
        die("out of memory");
    return larger;
}

static void queue_push(struct direction *d, struct packet *packet)
{
    if (d->queued == d->queue_capacity) {
        uint32_t before = d->queue_capacity, wrapped = d->queue_head;

        d->queue_capacity = before ? 2 * before : 1024;
        d->queue = grown(d->queue, d->queue_capacity);
        /* What had wrapped around to the beginning now fits behind the end. */
        if (before)
            memcpy(d->queue + before, d->queue, wrapped * sizeof *d->queue);
    }
    d->queue[(d->queue_head + d->queued++) % d->queue_capacity] = packet;
    d->queued_bytes += packet->length + d->set.overhead;
    if (d->queued_bytes > d->count.longest_queue)
        d->count.longest_queue = d->queued_bytes;
}

static struct packet *queue_pop(struct direction *d)
{
    struct packet *packet = d->queue[d->queue_head];

    d->queue_head = (d->queue_head + 1) % d->queue_capacity;
    d->queued--;
    /* The overhead may have changed meanwhile: an empty queue has no bytes. */
    d->queued_bytes = d->queued ? d->queued_bytes - packet->length - d->set.overhead : 0;
    return packet;
}

static bool is_before(const struct packet *a, const struct packet *b)
{
    return a->time != b->time ? a->time < b->time : a->number < b->number;
}

static void line_push(struct direction *d, struct packet *packet)
{
    uint32_t at = d->flying++;

    if (at == d->line_capacity) {
        d->line_capacity = at ? 2 * at : 1024;
        d->line = grown(d->line, d->line_capacity);
    }
    for (; at && is_before(packet, d->line[(at - 1) / 2]); at = (at - 1) / 2)
        d->line[at] = d->line[(at - 1) / 2];
    d->line[at] = packet;
}

static struct packet *line_pop(struct direction *d)
{
    struct packet *first = d->line[0], *last = d->line[--d->flying];
    uint32_t at = 0, child;

    while ((child = 2 * at + 1) < d->flying) {
        if (child + 1 < d->flying && is_before(d->line[child + 1], d->line[child]))
            child++;
        if (!is_before(d->line[child], last))
            break;
        d->line[at] = d->line[child];
        at = child;
    }
    d->line[at] = last;
    return first;
}

static int64_t jitter(struct direction *d, int64_t time)
{
    double done;

    if (!d->set.jitter)
        return 0;
    if (!d->set.wander)
        return (int64_t)((2 * dice() - 1) * (double)d->set.jitter);
    if (time - d->wander_began >= d->set.wander) {
        int64_t steps = (time - d->wander_began) / d->set.wander;

        d->wander_from = steps > 1 ? 2 * dice() - 1 : d->wander_to;
        d->wander_to = 2 * dice() - 1;
        d->wander_began += steps * d->set.wander;
    }
    done = (double)(time - d->wander_began) / (double)d->set.wander;
    return (int64_t)((d->wander_from + (d->wander_to - d->wander_from) * done)
                     * (double)d->set.jitter);
}

/* Mark "congestion experienced" (RFC 3168); false when the sender does not speak ECN. */
static bool mark_congestion(struct packet *packet, bool is_ethernet)
{
    uint32_t skipped = is_ethernet ? ETH_HLEN : 0, sum;
    uint8_t *ip = packet->data + skipped;

    if (packet->length < skipped + SHORTEST_HEADER_BYTES)
        return false;
    if (is_ethernet && !(ip[-2] == 0x08 && ip[-1] == 0x00) && !(ip[-2] == 0x86 && ip[-1] == 0xdd))
        return false;
    if (ip[0] >> 4 == 6) {
        if (!(ip[1] & 0x30))
            return false;
        ip[1] |= 0x30;
        return true;
    }
    if (ip[0] >> 4 != 4 || !(ip[1] & 3))
        return false;
    /* RFC 1624: the new checksum follows from the old one and the word that changes. */
    sum = ((uint32_t)(ip[10] << 8 | ip[11]) ^ 0xffff) + ((uint32_t)(ip[0] << 8 | ip[1]) ^ 0xffff);
    ip[1] |= 3;
    sum += (uint32_t)(ip[0] << 8 | ip[1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ((sum & 0xffff) + (sum >> 16)) ^ 0xffff;
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    return true;
}

/* Whether CoDel would drop the packet that leaves the queue at `time` (RFC 8289 section 5). */
static bool codel_drops(struct direction *d, const struct packet *packet, int64_t time)
{
    bool may_drop = false;

    if (time - packet->time < d->set.codel_target || d->queued_bytes <= mtu)
        d->first_above = 0;
    else if (!d->first_above)
        d->first_above = time + d->set.codel_interval;
    else
        may_drop = time >= d->first_above;
    if (!may_drop) {
        d->is_dropping = false;
        return false;
    }
    if (d->is_dropping) {
        if (time < d->drop_next)
            return false;
        d->drop_count++;
        d->drop_next += (int64_t)((double)d->set.codel_interval / sqrt(d->drop_count));
    } else {
        uint32_t more = d->drop_count - d->last_drop_count;
        bool is_recent = time - d->drop_next < 16 * d->set.codel_interval;

        d->is_dropping = true;
        d->drop_count = more > 1 && is_recent ? more : 1;
        d->last_drop_count = d->drop_count;
        d->drop_next = time + (int64_t)((double)d->set.codel_interval / sqrt(d->drop_count));
    }
    return true;
}

/* Whether the packet at the head of the queue, whose turn is at `time`, is sent. */
static bool is_sent(struct direction *d, struct packet *packet, int64_t time)
{
    if (!d->from->has_carrier) {
        d->count.unplugged++;
        return false;
    }
    if (!d->set.has_codel || !codel_drops(d, packet, time))
        return true;
    if (mark_congestion(packet, d->from->is_ethernet)) {
        d->count.marked++;
        return true;
    }
    d->count.codel_dropped++;
    return false;
}

/* Send everything from the queue into the delay line whose turn comes up to `time`. */
void transmit(struct direction *d, int64_t time)
{
    while (d->queued) {
        struct packet *packet = d->queue[d->queue_head];
        int64_t start = d->idle_at > packet->time ? d->idle_at : packet->time, departure;

        if (start > time)
            return;
        queue_pop(d);
        if (!is_sent(d, packet, start)) {
            free(packet);
            continue;
        }
        d->idle_at = start;
        if (d->set.rate > 0)
            d->idle_at += (int64_t)((double)(packet->length + d->set.overhead) * 8e9 / d->set.rate);
        /* Half a tick is lost on average at the arrival, and another at the departure. */
        departure = d->idle_at + jitter(d, d->idle_at);
        departure += d->set.delay > tick ? d->set.delay - tick : 0;
        if (departure < d->idle_at)
            departure = d->idle_at;
        if (!d->set.reorder && departure < d->last_departure)
            departure = d->last_departure;
        d->last_departure = departure;
        packet->time = departure;
        line_push(d, packet);
    }
}

static bool is_lost(struct direction *d)
{
    double chance = d->set.loss;

    if (d->set.has_burst) {
        double in_state;

        if (dice() < (d->is_bad ? d->set.to_good : d->set.to_bad))
            d->is_bad = !d->is_bad;
        in_state = d->is_bad ? d->set.loss_bad : d->set.loss_good;
        chance += in_state - chance * in_state;
    }
    return chance > 0 && dice() < chance;
}

void arrive(struct direction *d, const uint8_t *data, uint32_t length, int64_t time)
{
    int copies = 1;

    d->count.packets_in++;
    d->count.bytes_in += length;
    if (d->set.hole) {
        d->count.swallowed++;
        return;
    }
    if (is_lost(d)) {
        d->count.lost++;
        return;
    }
    if (d->set.duplicate > 0 && dice() < d->set.duplicate)
        copies++;
    while (copies--) {
        bool is_full = d->set.rate > 0 && d->queued_bytes + length + d->set.overhead > d->set.limit;
        struct packet *packet;

        if (is_full || d->queued + d->flying >= MAX_HELD_PACKETS) {
            d->count.overflowed++;
            continue;
        }
        packet = malloc(sizeof *packet + length);
        if (!packet)
            die("out of memory");
        packet->time = time;
        packet->number = next_number++;
        packet->length = length;
        memcpy(packet->data, data, length);
        queue_push(d, packet);
    }
}

/* Let everything out of the delay line whose time has come. */
void depart(struct direction *d, int64_t time)
{
    struct packet *run[MAX_COALESCED];
    int count = 0;

    while (d->flying && d->line[0]->time <= time) {
        struct packet *packet = line_pop(d);

        if (d->set.hole || !d->to->has_carrier) {
            if (d->set.hole)
                d->count.swallowed++;
            else
                d->count.unplugged++;
            free(packet);
            continue;
        }
        if (count && !may_join(d->to, run, count, packet)) {
            deliver(d, run, count);
            count = 0;
        }
        run[count++] = packet;
    }
    if (count)
        deliver(d, run, count);
}

/* When something has to be done although no packet arrives. */
int64_t next_due(void)
{
    int64_t due = NEVER;

    for (int i = 0; i < 2; i++) {
        const struct direction *d = &directions[i];

        if (d->flying && d->line[0]->time < due)
            due = d->line[0]->time;
        if (d->queued && d->idle_at < due)
            due = d->idle_at;
    }
    return due;
}
