/*
 * linkem: a network link emulator in user space, for kernels without netem.
 *
 * Joins two interfaces, A and B, by a full-duplex link. Each direction ("fwd" is A to B, "rev" is
 * B to A) is a pipeline of its own:
 *
 *   arrival > black hole? > random and burst loss > duplication > queue (tail-drop, maybe CoDel)
 *           > serialisation at the rate > delay with jitter > black hole? > departure
 *
 * All times in the pipeline are computed in virtual nanoseconds. So rate and queueing are exact on
 * average however coarsely this process is scheduled; only arrival and departure are rounded to
 * its wake-ups (option -t), which the configured delay makes up for.
 *
 * USAGE   linkem -a SPEC -b SPEC -s SOCKET [-t TICK_US] [-m MTU] [-n SEED] [-R] [-G] [COMMAND...]
 *
 *   SPEC  tun:NAME[@NETNS]   create a TUN device (layer 3)
 *         tap:NAME[@NETNS]   create a TAP device (layer 2)
 *         veth:NAME[@NETNS]  use one end of an existing veth pair (layer 2); its peer must not
 *                            offload: ethtool -K PEER tx off tso off gso off
 *         NETNS is the file of a network namespace, such as /proc/PID/ns/net.
 *   -s    listen for commands on this Unix stream socket: one line each, then the answer
 *   -n    begin the random numbers here: the same losses again for the same packets
 *   -R    real-time scheduling: accurate on a busy machine
 *   -G    give departing UDP datagrams of one flow to the kernel together (up to 16), like the GRO
 *         of a network card; TUN devices only, Linux 6.2. Sockets still get them one by one unless
 *         they ask for UDP_GRO. Saves a third of the processor time.
 *
 *   COMMAND, several in one line:
 *     {fwd|rev|both} KEY VALUE [KEY VALUE]...
 *       rate       bits per second with suffix k, M or G; 0 is unlimited     (default 0)
 *       limit      bytes the queue holds, suffix k or M                      (256k)
 *       delay      one way; suffix us, ms or s                               (0ms)
 *       jitter     the delay varies by so much up and down                   (0ms)
 *       wander     time in which the jitter moves to a new random value;
 *                  0 draws one for each packet                               (20ms)
 *       reorder    0|1: whether jitter may reorder packets                   (0)
 *       loss       percent lost at random                                    (0)
 *       burst      P,R[,G,B] or off: Gilbert-Elliott model, in percent: P and R are the chances to
 *                  go from good to bad and back at each packet, G and B the losses in the good
 *                  (default 0) and in the bad state (default 100)
 *       duplicate  percent that arrive twice                                 (0)
 *       codel      TARGET[,INTERVAL] or off: RFC 8289, marks CE where it may, else drops
 *       overhead   bytes to account for each packet on top of its own        (0)
 *       hole       0|1: everything vanishes without a word, what is under way as well
 *     carrier {a|b|both} {0|1}     an end's carrier (TUN and TAP)
 *     stats                        one line of counters for each direction
 *     quit
 */
#define _GNU_SOURCE
#include "linkem.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define REAL_TIME_PRIORITY 10

struct side sides[2];
struct direction directions[2];
int64_t tick = 200000;
int mtu = 1500;
bool coalesces;
bool is_over;

static volatile sig_atomic_t is_interrupted;

void die(const char *format, ...)
{
    int code = errno;
    va_list arguments;

    va_start(arguments, format);
    fputs("linkem: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, code ? ": %s\n" : "\n", strerror(code));
    exit(1);
}

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static void run(int listener)
{
    int waiter = epoll_create1(EPOLL_CLOEXEC), fds[] = { sides[0].fd, sides[1].fd, listener };
    struct epoll_event events[3];
    sigset_t nothing;
    int64_t woken = 0, time = now();

    sigemptyset(&nothing);
    for (uint32_t i = 0; i < 3; i++) {
        events[0] = (struct epoll_event) { .events = EPOLLIN, .data.u32 = i };
        if (epoll_ctl(waiter, EPOLL_CTL_ADD, fds[i], &events[0]) < 0)
            die("epoll");
    }
    while (!is_over && !is_interrupted) {
        int64_t due = next_due(), pause = woken + tick - time;
        struct timespec wait = { 0, pause };
        int ready;

        if (pause > 0) { /* at most one wake-up each tick */
            nanosleep(&wait, NULL);
            time = now();
        }
        wait = (struct timespec) { 0 };
        if (due != NEVER && due > time)
            wait = (struct timespec) { (due - time) / SECOND, (due - time) % SECOND };
        ready = epoll_pwait2(waiter, events, 3, due == NEVER ? NULL : &wait, &nothing);
        woken = time = now();
        /* What arrives now must find the queue as it is now. */
        for (int i = 0; i < 2; i++)
            transmit(&directions[i], time);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u32 == 2)
                serve(listener);
            else
                receive(&directions[events[i].data.u32], time);
        }
        for (int i = 0; i < 2; i++) {
            transmit(&directions[i], time);
            depart(&directions[i], time);
        }
        time = now();
    }
}

static void end(int signal_number)
{
    (void)signal_number;
    is_interrupted = 1;
}

static long long number(const char *text, long long least, long long most)
{
    char *rest;
    long long value = strtoll(text, &rest, 10);

    errno = 0;
    if (*rest || rest == text || value < least || value > most)
        die("'%s' is not between %lld and %lld", text, least, most);
    return value;
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = end };
    struct sched_param urgency = { .sched_priority = REAL_TIME_PRIORITY };
    char *specs[2] = { NULL, NULL }, *path = NULL, line[MAX_COMMAND_BYTES] = "";
    uint64_t start = (uint64_t)now();
    bool is_real_time = false;
    sigset_t endings;
    int option;

    while ((option = getopt(argc, argv, "+a:b:s:t:m:n:RG")) != -1) {
        switch (option) {
        case 'a': specs[0] = optarg; break;
        case 'b': specs[1] = optarg; break;
        case 's': path = optarg; break;
        case 't': tick = number(optarg, 1, 100000) * 1000; break;
        case 'm': mtu = (int)number(optarg, 68, 65535); break;
        case 'n': start = (uint64_t)number(optarg, 0, INT32_MAX); break;
        case 'R': is_real_time = true; break;
        case 'G': coalesces = true; break;
        default: return 2;
        }
    }
    if (!specs[0] || !specs[1] || !path) {
        fputs("usage: linkem -a SPEC -b SPEC -s SOCKET [-t TICK_US] [-m MTU] [-n SEED] [-R] [-G]"
              " [COMMAND...]\n", stderr);
        return 2;
    }
    for (size_t used = 0; optind < argc; optind++) {
        used += (size_t)snprintf(line + used, sizeof line - used, "%s ", argv[optind]);
        errno = 0;
        if (used >= sizeof line)
            die("commands are too long");
    }
    seed(start);
    attach_sides(specs);
    if (*line && !command(line, stderr))
        return 2;
    /* These come through in epoll_pwait2 only: none can be missed before it. */
    sigemptyset(&endings);
    sigaddset(&endings, SIGTERM);
    sigaddset(&endings, SIGINT);
    sigprocmask(SIG_BLOCK, &endings, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1000UL, 0, 0, 0);
    if (is_real_time && sched_setscheduler(0, SCHED_FIFO, &urgency) < 0)
        fprintf(stderr, "linkem: no real-time scheduling: %s\n", strerror(errno));
    run(listen_at(path));
    unlink(path);
    return 0;
}
