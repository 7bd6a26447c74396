/* Giving packets to the kernel: one by one, or a run of UDP datagrams in one piece. */
#include "linkem.h"

#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum { IPV4_HEADER_BYTES = 20, IPV6_HEADER_BYTES = 40, UDP_HEADER_BYTES = 8 };

/* Bytes of the IP and UDP headers of a packet that could be coalesced with others, else 0. */
static uint32_t udp_headers(const struct packet *packet)
{
    const uint8_t *ip = packet->data;
    uint32_t v4 = IPV4_HEADER_BYTES + UDP_HEADER_BYTES, v6 = IPV6_HEADER_BYTES + UDP_HEADER_BYTES;
    bool is_fragment = (ip[6] & 0x3f) || ip[7];

    if (packet->length > v4 && ip[0] == 0x45 && ip[9] == IPPROTO_UDP && !is_fragment
        && (uint32_t)(ip[2] << 8 | ip[3]) == packet->length)
        return v4;
    if (packet->length > v6 && ip[0] >> 4 == 6 && ip[6] == IPPROTO_UDP
        && (uint32_t)(ip[4] << 8 | ip[5]) + IPV6_HEADER_BYTES == packet->length)
        return v6;
    return 0;
}

/* Whether addresses, ports, class and hop limit agree; lengths, ID and checksums may differ. */
static bool is_same_flow(const struct packet *a, const struct packet *b)
{
    const uint8_t *x = a->data, *y = b->data;

    if (x[0] >> 4 == 4)
        return x[1] == y[1] && x[8] == y[8] && !memcmp(x + 12, y + 12, 12);
    return !memcmp(x, y, 4) && !memcmp(x + 6, y + 6, 38);
}

/* Whether `packet` may follow those in `run`: only the last of a run may be shorter. */
bool may_join(const struct side *to, struct packet *const *run, int count,
                     const struct packet *packet)
{
    uint32_t headers = to->has_offload ? udp_headers(run[0]) : 0;

    return headers && count < MAX_COALESCED && udp_headers(packet) == headers
        && run[count - 1]->length == run[0]->length && packet->length <= run[0]->length
        && is_same_flow(run[0], packet);
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* One's complement sum of `count` bytes, an even number, and a start value. */
static uint32_t sum16(uint32_t sum, const uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i + 1 < count; i += 2)
        sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* Write the headers of one large UDP packet and say to the kernel how to split it again. */
static void describe_run(struct packet *const *run, int count, uint8_t *head,
                         struct virtio_net_hdr *offload)
{
    uint32_t headers = udp_headers(run[0]), total = headers, udp = headers - UDP_HEADER_BYTES;

    for (int i = 0; i < count; i++)
        total += run[i]->length - headers;
    memcpy(head, run[0]->data, headers);
    put16(head + udp + 4, total - udp);
    /* The kernel completes the UDP checksum from the sum of the pseudo header. */
    if (udp == IPV4_HEADER_BYTES) {
        put16(head + 2, total);
        put16(head + 10, 0);
        put16(head + 10, ~sum16(0, head, IPV4_HEADER_BYTES));
        put16(head + udp + 6, sum16(IPPROTO_UDP + total - udp, head + 12, 8));
    } else {
        put16(head + 4, total - udp);
        put16(head + udp + 6, sum16(IPPROTO_UDP + total - udp, head + 8, 32));
    }
    *offload = (struct virtio_net_hdr) {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
        .hdr_len = (uint16_t)headers,
        .gso_size = (uint16_t)(run[0]->length - headers),
        .csum_start = (uint16_t)udp,
        .csum_offset = 6,
    };
}

/* Give a run of packets to the kernel, in one piece, and free them. */
void deliver(struct direction *d, struct packet **run, int count)
{
    struct virtio_net_hdr offload = { 0 };
    uint8_t head[IPV6_HEADER_BYTES + UDP_HEADER_BYTES];
    struct iovec parts[2 + MAX_COALESCED];
    uint32_t skipped = 0;
    int used = 0;

    if (d->to->has_offload)
        parts[used++] = (struct iovec) { &offload, sizeof offload };
    if (count > 1) {
        describe_run(run, count, head, &offload);
        skipped = offload.hdr_len;
        parts[used++] = (struct iovec) { head, skipped };
    }
    for (int i = 0; i < count; i++)
        parts[used++] = (struct iovec) { run[i]->data + skipped, run[i]->length - skipped };
    if (writev(d->to->fd, parts, used) < 0) {
        d->count.unwritten += (uint64_t)count; /* the interface is down, or gone */
    } else {
        d->count.packets_out += (uint64_t)count;
        for (int i = 0; i < count; i++)
            d->count.bytes_out += run[i]->length;
    }
    for (int i = 0; i < count; i++)
        free(run[i]);
}
