/* The two ends: TUN and TAP devices of our own, or one end of somebody's veth pair. */
#define _GNU_SOURCE
#include "linkem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_PACKET_BYTES 65536
#define MAX_READS 512              /* from one side in a row, so that the other gets its turn */
#define DEVICE_QUEUE_PACKETS 20000 /* the kernel must not drop what we have not yet seen */
#define SOCKET_BUFFER_BYTES (16 << 20)

static void open_device(struct side *side, struct ifreq *request, int control)
{
    side->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    side->is_device = true;
    side->has_offload = coalesces && !side->is_ethernet;
    request->ifr_flags = (short)((side->is_ethernet ? IFF_TAP : IFF_TUN) | IFF_NO_PI
                                 | (side->has_offload ? IFF_VNET_HDR : 0));
    if (side->fd < 0 || ioctl(side->fd, TUNSETIFF, request) < 0)
        die("cannot create %s", side->name);
    request->ifr_qlen = DEVICE_QUEUE_PACKETS;
    if (ioctl(control, SIOCSIFTXQLEN, request) < 0)
        die("queue of %s", side->name);
    request->ifr_mtu = mtu;
    if (ioctl(control, SIOCSIFMTU, request) < 0)
        die("MTU %d of %s", mtu, side->name);
}

static void open_packet_socket(struct side *side)
{
    struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
    int one = 1, bytes = SOCKET_BUFFER_BYTES;

    side->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (side->fd < 0)
        die("packet socket");
    setsockopt(side->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
    setsockopt(side->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
    setsockopt(side->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(side->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    address.sll_ifindex = (int)if_nametoindex(side->name);
    if (!address.sll_ifindex || bind(side->fd, (void *)&address, sizeof address) < 0)
        die("cannot use %s", side->name);
}

static void enter_namespace(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        die("network namespace %s", path);
    close(fd);
}

static void attach(struct side *side, char *spec)
{
    char *name = strchr(spec, ':'), *namespace = strchr(spec, '@');
    struct ifreq request;
    int control;

    errno = 0;
    if (!name)
        die("no kind in interface '%s'", spec);
    *name++ = 0;
    if (namespace) {
        *namespace++ = 0;
        enter_namespace(namespace);
    }
    if (strlen(name) >= sizeof side->name)
        die("interface name '%s' is too long", name);
    memset(&request, 0, sizeof request);
    strcpy(side->name, name);
    strcpy(request.ifr_name, name);
    side->has_carrier = true;
    side->is_ethernet = strcmp(spec, "tun") != 0;
    control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (!strcmp(spec, "veth"))
        open_packet_socket(side);
    else if (!strcmp(spec, "tun") || !strcmp(spec, "tap"))
        open_device(side, &request, control);
    else
        die("no interface kind '%s'", spec);
    if (ioctl(control, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags |= IFF_UP;
        ioctl(control, SIOCSIFFLAGS, &request);
    }
    close(control);
}

void attach_sides(char *const *specs)
{
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    for (int i = 0; i < 2; i++) {
        attach(&sides[i], specs[i]);
        if (home < 0 || setns(home, CLONE_NEWNET) < 0)
            die("cannot return to the own namespace");
        directions[i].from = &sides[i];
        directions[i].to = &sides[!i];
        directions[i].set.limit = 256000;
        directions[i].set.wander = 20 * MILLISECOND;
    }
    close(home);
    errno = 0;
    if (sides[0].is_ethernet != sides[1].is_ethernet)
        die("a layer 2 and a layer 3 interface cannot be joined");
}

void receive(struct direction *d, int64_t time)
{
    static uint8_t buffer[sizeof(struct virtio_net_hdr) + MAX_PACKET_BYTES];
    ssize_t skipped = d->from->has_offload ? sizeof(struct virtio_net_hdr) : 0;

    for (int i = 0; i < MAX_READS; i++) {
        ssize_t length = read(d->from->fd, buffer, sizeof buffer);

        if (length < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
            die("%s", d->from->name);
        if (length <= skipped)
            return;
        arrive(d, buffer + skipped, (uint32_t)(length - skipped), time);
    }
}

bool set_carrier(const char *which, const char *text)
{
    int on = !strcmp(text, "1");
    bool is_known = !strcmp(which, "a") || !strcmp(which, "b") || !strcmp(which, "both");

    if (!is_known || (!on && strcmp(text, "0")))
        return false;
    for (int i = 0; i < 2; i++) {
        if (strcmp(which, "both") && which[0] != 'a' + i)
            continue;
        if (!sides[i].is_device || ioctl(sides[i].fd, TUNSETCARRIER, &on) < 0)
            return false;
        sides[i].has_carrier = on;
    }
    return true;
}
