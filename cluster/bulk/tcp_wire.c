//  cluster/bulk/tcp_wire.c - what is said on a bulk connection. See tcp_wire.h.
#include "cluster/bulk/tcp_wire.h"

#include "proto/error.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

static void s_put16 (uint8_t *wire, uint16_t value)
{
    value = htole16 (value);
    memcpy (wire, &value, sizeof value);
}

static void s_put32 (uint8_t *wire, uint32_t value)
{
    value = htole32 (value);
    memcpy (wire, &value, sizeof value);
}

static void s_put64 (uint8_t *wire, uint64_t value)
{
    value = htole64 (value);
    memcpy (wire, &value, sizeof value);
}

static uint16_t s_get16 (const uint8_t *wire)
{
    uint16_t value;
    memcpy (&value, wire, sizeof value);
    return le16toh (value);
}

static uint32_t s_get32 (const uint8_t *wire)
{
    uint32_t value;
    memcpy (&value, wire, sizeof value);
    return le32toh (value);
}

static uint64_t s_get64 (const uint8_t *wire)
{
    uint64_t value;
    memcpy (&value, wire, sizeof value);
    return le64toh (value);
}

static bool s_is_op (uint8_t op)
{
    return op == UMBP_BULK_READ || op == UMBP_BULK_WRITE;
}

void umbp_bulk_hello_pack (const umbp_bulk_hello_t *self, uint8_t *wire)
{
    s_put32 (wire, UMBP_BULK_MAGIC);
    s_put16 (wire + 4, self->version);
    s_put16 (wire + 6, 0);
    s_put64 (wire + 8, self->session);
}

int umbp_bulk_hello_unpack (umbp_bulk_hello_t *self, const uint8_t *wire)
{
    if (s_get32 (wire) != UMBP_BULK_MAGIC || s_get16 (wire + 6) != 0)
        return UMBP_EPROTO;
    *self = (umbp_bulk_hello_t) { .version = s_get16 (wire + 4), .session = s_get64 (wire + 8) };
    return 0;
}

void umbp_bulk_welcome_pack (const umbp_bulk_welcome_t *self, uint8_t *wire)
{
    s_put32 (wire, UMBP_BULK_MAGIC);
    s_put16 (wire + 4, self->version);
    s_put16 (wire + 6, 0);
    s_put32 (wire + 8, self->status);
    s_put32 (wire + 12, 0);
    s_put64 (wire + 16, self->size_max);
}

int umbp_bulk_welcome_unpack (umbp_bulk_welcome_t *self, const uint8_t *wire)
{
    if (s_get32 (wire) != UMBP_BULK_MAGIC || s_get16 (wire + 6) != 0 || s_get32 (wire + 12) != 0)
        return UMBP_EPROTO;
    *self = (umbp_bulk_welcome_t) {
        .version = s_get16 (wire + 4),
        .status = (int32_t) s_get32 (wire + 8),
        .size_max = s_get64 (wire + 16),
    };
    return self->status <= 0 ? 0 : UMBP_EPROTO;
}

void umbp_bulk_request_pack (const umbp_bulk_request_t *self, uint8_t *wire)
{
    s_put16 (wire, UMBP_BULK_MARK_REQUEST);
    wire[2] = self->op;
    wire[3] = 0;
    s_put32 (wire + 4, self->tag);
    s_put64 (wire + 8, self->token);
    s_put64 (wire + 16, self->offset);
    s_put64 (wire + 24, self->size);
    s_put32 (wire + 32, self->item);
    s_put32 (wire + 36, 0);
}

int umbp_bulk_request_unpack (umbp_bulk_request_t *self, const uint8_t *wire)
{
    if (s_get16 (wire) != UMBP_BULK_MARK_REQUEST || !s_is_op (wire[2]) || wire[3] != 0
        || s_get32 (wire + 36) != 0)
        return UMBP_EPROTO;
    *self = (umbp_bulk_request_t) {
        .op = wire[2],
        .tag = s_get32 (wire + 4),
        .item = s_get32 (wire + 32),
        .token = s_get64 (wire + 8),
        .offset = s_get64 (wire + 16),
        .size = s_get64 (wire + 24),
    };
    return 0;
}

void umbp_bulk_reply_pack (const umbp_bulk_reply_t *self, uint8_t *wire)
{
    s_put16 (wire, UMBP_BULK_MARK_REPLY);
    wire[2] = self->op;
    wire[3] = 0;
    s_put32 (wire + 4, self->tag);
    s_put32 (wire + 8, self->status);
    s_put32 (wire + 12, 0);
    s_put64 (wire + 16, self->size);
}

int umbp_bulk_reply_unpack (umbp_bulk_reply_t *self, const uint8_t *wire)
{
    if (s_get16 (wire) != UMBP_BULK_MARK_REPLY || !s_is_op (wire[2]) || wire[3] != 0
        || s_get32 (wire + 12) != 0)
        return UMBP_EPROTO;
    *self = (umbp_bulk_reply_t) {
        .op = wire[2],
        .tag = s_get32 (wire + 4),
        .status = (int32_t) s_get32 (wire + 8),
        .size = s_get64 (wire + 16),
    };
    return self->status <= 0 ? 0 : UMBP_EPROTO;
}
