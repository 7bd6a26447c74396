/* Commands: reading them from a socket, carrying them out, answering. */
#define _GNU_SOURCE
#include "linkem.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_WORDS 64

enum kind { AMOUNT, DURATION, SHARE, SWITCH };

/* Read one number with its suffix; false when it is none, or out of bounds. */
static bool parse(enum kind kind, const char **text, double *value)
{
    static const struct { const char *name; double factor; } suffixes[][4] = {
        [AMOUNT] = { { "k", 1e3 }, { "M", 1e6 }, { "G", 1e9 } },
        [DURATION] = { { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 } },
    };
    double factor = kind == DURATION ? 1e6 : kind == SHARE ? 0.01 : 1;
    double most = kind == SHARE || kind == SWITCH ? 1 : kind == DURATION ? 3600e9 : 1e12;
    char *end;

    *value = strtod(*text, &end);
    if (end == *text)
        return false;
    *text = end;
    for (int i = 0; (kind == AMOUNT || kind == DURATION) && suffixes[kind][i].name; i++) {
        size_t length = strlen(suffixes[kind][i].name);

        if (!strncmp(*text, suffixes[kind][i].name, length)) {
            factor = suffixes[kind][i].factor;
            *text += length;
            break;
        }
    }
    *value *= factor;
    return *value >= 0 && *value <= most; /* false for NaN as well */
}

/* Read up to `count` numbers with commas between; the number found, or -1. */
static int parse_list(enum kind kind, const char *text, double *values, int count)
{
    int found = 0;

    do {
        if (found == count || !parse(kind, &text, &values[found++]))
            return -1;
    } while (*text == ',' && text++);
    return *text ? -1 : found;
}

static bool set_burst(struct direction *d, const char *text)
{
    double values[4] = { 0, 0, 0, 1 };

    d->set.has_burst = d->is_bad = false;
    if (!strcmp(text, "off"))
        return true;
    if (parse_list(SHARE, text, values, 4) < 2)
        return false;
    d->set.has_burst = true;
    d->set.to_bad = values[0];
    d->set.to_good = values[1];
    d->set.loss_good = values[2];
    d->set.loss_bad = values[3];
    return true;
}

static bool set_codel(struct direction *d, const char *text)
{
    double values[2] = { 0, 100e6 };

    d->set.has_codel = d->is_dropping = false;
    if (!strcmp(text, "off"))
        return true;
    if (parse_list(DURATION, text, values, 2) < 1)
        return false;
    d->set.has_codel = true;
    d->set.codel_target = (int64_t)values[0];
    d->set.codel_interval = (int64_t)values[1];
    d->first_above = d->drop_count = d->last_drop_count = 0;
    return true;
}

static bool set_key(struct direction *d, const char *key, const char *text)
{
    static const struct { const char *name; enum kind kind; size_t field; } keys[] = {
        { "rate", AMOUNT, offsetof(struct settings, rate) },
        { "limit", AMOUNT, offsetof(struct settings, limit) },
        { "overhead", AMOUNT, offsetof(struct settings, overhead) },
        { "delay", DURATION, offsetof(struct settings, delay) },
        { "jitter", DURATION, offsetof(struct settings, jitter) },
        { "wander", DURATION, offsetof(struct settings, wander) },
        { "loss", SHARE, offsetof(struct settings, loss) },
        { "duplicate", SHARE, offsetof(struct settings, duplicate) },
        { "reorder", SWITCH, offsetof(struct settings, reorder) },
        { "hole", SWITCH, offsetof(struct settings, hole) },
    };
    double value;

    if (!strcmp(key, "burst"))
        return set_burst(d, text);
    if (!strcmp(key, "codel"))
        return set_codel(d, text);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char *field = (char *)&d->set + keys[i].field;

        if (strcmp(key, keys[i].name))
            continue;
        if (parse_list(keys[i].kind, text, &value, 1) != 1)
            return false;
        if (keys[i].kind == SWITCH)
            *(bool *)field = value > 0;
        else if (keys[i].kind == SHARE || !strcmp(key, "rate"))
            *(double *)field = value;
        else
            *(int64_t *)field = (int64_t)value;
        return true;
    }
    return false;
}

static void print_counters(const struct direction *d, const char *name, FILE *out)
{
    const struct counters *c = &d->count;
    const struct { const char *name; uint64_t value; } columns[] = {
        { "packets_in", c->packets_in }, { "bytes_in", c->bytes_in },
        { "packets_out", c->packets_out }, { "bytes_out", c->bytes_out },
        { "queued", d->queued }, { "flying", d->flying },
        { "longest_queue", (uint64_t)c->longest_queue }, { "lost", c->lost },
        { "overflowed", c->overflowed }, { "codel_dropped", c->codel_dropped },
        { "marked", c->marked }, { "swallowed", c->swallowed },
        { "unplugged", c->unplugged }, { "unwritten", c->unwritten },
    };

    fputs(name, out);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        fprintf(out, " %s=%llu", columns[i].name, (unsigned long long)columns[i].value);
    fputc('\n', out);
}

/* Carry out one command of `words`; how many it took, 0 when it cannot be. */
static int carry_out(char **words, int count, int *chosen, FILE *out)
{
    static const char *const names[] = { "", "fwd", "rev", "both" };

    if (!strcmp(words[0], "quit")) {
        is_over = 1;
        return 1;
    }
    if (!strcmp(words[0], "stats")) {
        print_counters(&directions[0], "fwd", out);
        print_counters(&directions[1], "rev", out);
        return 1;
    }
    if (!strcmp(words[0], "carrier"))
        return count > 2 && set_carrier(words[1], words[2]) ? 3 : 0;
    for (int i = 1; i < 4; i++) {
        if (!strcmp(words[0], names[i])) {
            *chosen = i;
            return 1;
        }
    }
    if (!*chosen || count < 2)
        return 0;
    for (int i = 0; i < 2; i++)
        if (*chosen & 1 << i && !set_key(&directions[i], words[0], words[1]))
            return 0;
    return 2;
}

/* Carry out a line of commands, up to the first that cannot be, and answer. */
bool command(char *line, FILE *out)
{
    char *words[MAX_WORDS], *rest;
    int count = 0, chosen = 0;

    for (char *word = strtok_r(line, " \r\n", &rest); word; word = strtok_r(NULL, " \r\n", &rest)) {
        if (count == MAX_WORDS) {
            fputs("error: too many words\n", out);
            return false;
        }
        words[count++] = word;
    }
    for (int at = 0; at < count;) {
        int taken = carry_out(words + at, count - at, &chosen, out);

        if (!taken) {
            fprintf(out, "error: %s %s\n", words[at], at + 1 < count ? words[at + 1] : "");
            return false;
        }
        at += taken;
    }
    fputs("ok\n", out);
    return true;
}

/* Answer one caller; one that says nothing must not hold up the packets for long. */
void serve(int listener)
{
    struct timeval patience = { 0, 20000 };
    char line[MAX_COMMAND_BYTES];
    size_t length = 0;
    ssize_t more;
    FILE *out;
    int caller = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (caller < 0)
        return;
    setsockopt(caller, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(caller, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    while (length < sizeof line - 1 && !memchr(line, '\n', length)
           && (more = read(caller, line + length, sizeof line - 1 - length)) > 0)
        length += (size_t)more;
    out = fdopen(caller, "w");
    if (!out) {
        close(caller);
        return;
    }
    line[length] = 0;
    if (memchr(line, '\n', length))
        command(line, out);
    else
        fputs("error: no end of line\n", out);
    fclose(out);
}

int listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    errno = 0;
    if (strlen(path) >= sizeof address.sun_path)
        die("socket path '%s' is too long", path);
    strcpy(address.sun_path, path);
    unlink(path);
    if (listener < 0 || bind(listener, (void *)&address, sizeof address) < 0 || listen(listener, 8))
        die("%s", path);
    return listener;
}
