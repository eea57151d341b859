//  cluster/endpoint.c - checks and resolves "tcp://host:port". See endpoint.h for the contract.
#include "cluster/endpoint.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

#define SCHEME "tcp://"
#define SCHEME_SIZE (sizeof SCHEME - 1)
#define HOST_MAX 253                    //  Bytes in a name of the DNS
#define NAME_SERVER_S 1                 //  How long one try with one name server may last

typedef struct {
    umbp_text_t host;                   //  Without brackets
    bool brackets;
    unsigned port;
} parts_t;

static bool s_is_digit (char c)
{
    return c >= '0' && c <= '9';
}

static bool s_is_host_char (char c, bool brackets)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter || s_is_digit (c) || c == '.')
        return true;
    return brackets ? c == ':' || c == '%' : c == '-' || c == '_';
}

static bool s_port (const char *digits, size_t count, unsigned *port)
{
    *port = 0;
    for (size_t index = 0; index < count; index++) {
        if (!s_is_digit (digits[index]))
            return false;
        *port = *port * 10 + (unsigned) (digits[index] - '0');
    }
    return count >= 1 && count <= 5 && *port >= 1 && *port <= 65535;
}

static bool s_split (umbp_text_t text, parts_t *parts)
{
    if (text.size <= SCHEME_SIZE || text.size > UMBP_TEXT_MAX
        || memcmp (text.data, SCHEME, SCHEME_SIZE) != 0)
        return false;
    const char *at = text.data + SCHEME_SIZE, *end = text.data + text.size;
    const char *colon = memrchr (at, ':', (size_t) (end - at));
    if (!colon || !s_port (colon + 1, (size_t) (end - colon - 1), &parts->port))
        return false;
    parts->brackets = *at == '[';
    if (parts->brackets && (colon - at < 3 || colon[-1] != ']'))
        return false;
    parts->host = (umbp_text_t) { at, (uint32_t) (colon - at) };
    if (parts->brackets)
        parts->host = (umbp_text_t) { at + 1, (uint32_t) (colon - at - 2) };
    if (parts->host.size == 0 || parts->host.size > HOST_MAX
        || umbp_text_is (parts->host, "0.0.0.0") || umbp_text_is (parts->host, "::"))
        return false;
    for (size_t index = 0; index < parts->host.size; index++)
        if (!s_is_host_char (parts->host.data[index], parts->brackets))
            return false;
    return true;
}

bool umbp_endpoint_ok (umbp_text_t endpoint)
{
    parts_t parts;
    return s_split (endpoint, &parts);
}

//  The IPv4 address of a name as text, which is what ZeroMQ connects to unless told otherwise
static int s_lookup (const char *host, char *out, size_t size)
{
    if (!(_res.options & RES_INIT))
        res_init ();                    //  Of this thread: a dead name server costs little time
    _res.retrans = NAME_SERVER_S;
    _res.retry = 1;
    struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int rc = getaddrinfo (host, NULL, &hints, &found);
    if (rc != 0)
        return rc == EAI_AGAIN || rc == EAI_SYSTEM ? UMBP_EAGAIN : UMBP_ENOENT;
    rc = getnameinfo (found->ai_addr, found->ai_addrlen, out, (socklen_t) size, NULL, 0,
                      NI_NUMERICHOST);
    freeaddrinfo (found);
    return rc == 0 ? 0 : UMBP_ENOENT;
}

int umbp_endpoint_resolve (const char *endpoint, char *out, size_t size)
{
    parts_t parts;
    if (!s_split (umbp_text (endpoint), &parts))
        return UMBP_EINVAL;
    char host[HOST_MAX + 1], address[INET6_ADDRSTRLEN];
    umbp_text_copy (parts.host, host, sizeof host);
    int used;
    if (parts.brackets)
        used = snprintf (out, size, "%s", endpoint);
    else {
        int rc = s_lookup (host, address, sizeof address);
        if (rc < 0)
            return rc;
        used = snprintf (out, size, SCHEME "%s:%u", address, parts.port);
    }
    return used >= 0 && (size_t) used < size ? 0 : UMBP_ETOOBIG;
}

bool umbp_endpoint_is_loopback (const char *where)
{
    static const char *const names[] = { "localhost", "lo", "::1", "[::1]" };
    char host[HOST_MAX + 1];
    bool endpoint = strncmp (where, SCHEME, SCHEME_SIZE) == 0;
    const char *from = endpoint ? where + SCHEME_SIZE : where;
    const char *colon = endpoint ? strrchr (from, ':') : NULL;
    size_t size = colon ? (size_t) (colon - from) : strlen (from);
    umbp_text_copy ((umbp_text_t) { from, (uint32_t) size }, host, sizeof host);
    for (size_t index = 0; index < sizeof names / sizeof *names; index++)
        if (strcmp (host, names[index]) == 0)
            return true;
    struct in_addr address;
    return inet_pton (AF_INET, host, &address) == 1 && ntohl (address.s_addr) >> 24 == 127;
}

umbp_text_t umbp_endpoint_next (const char **list)
{
    const char *from = *list + strspn (*list, ", \t\n");
    size_t size = strcspn (from, ", \t\n");
    *list = from + size;
    return (umbp_text_t) { from, (uint32_t) size };
}
