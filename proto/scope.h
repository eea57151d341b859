//  proto/scope.h - keys of tenants. Inside the cluster a key is kept with the name of its tenant in
//  front of it, its scope: mark, size of the name, name, key. So the same key of two tenants is two
//  keys, wherever it travels, also through nodes that know nothing of tenants. A key of the default
//  tenant stays as it is; only one that begins with the mark itself gets a scope with an empty
//  name, so that no client can speak of another tenant's keys whatever bytes it chooses.
//  Nothing here allocates, blocks or has state.
#ifndef UMBP_SCOPE_H
#define UMBP_SCOPE_H

#include "proto/types.h"

#define UMBP_SCOPE_MARK "\xffumbp-t\xfe"    //  No text has these bytes
#define UMBP_SCOPE_MARK_SIZE 8
#define UMBP_SCOPE_HEAD (UMBP_SCOPE_MARK_SIZE + 1)

static inline bool umbp_scope_is_marked (const uint8_t *key, size_t size)
{
    return size >= UMBP_SCOPE_MARK_SIZE && key[0] == 0xff
           && memcmp (key, UMBP_SCOPE_MARK, UMBP_SCOPE_MARK_SIZE) == 0;
}

//  Bytes in front of a key as it is kept, 0: there are none
static inline size_t umbp_scope_size (const uint8_t *key, size_t size)
{
    if (!umbp_scope_is_marked (key, size) || size < UMBP_SCOPE_HEAD)
        return 0;
    size_t scope = UMBP_SCOPE_HEAD + (size_t) key[UMBP_SCOPE_MARK_SIZE];
    return scope <= UMBP_SCOPE_MAX && scope < size ? scope : 0;
}

//  Whose a key is; empty: of the default tenant
static inline umbp_text_t umbp_scope_tenant (const uint8_t *key, size_t size)
{
    size_t scope = umbp_scope_size (key, size);
    if (scope == 0)
        return (umbp_text_t) { "", 0 };
    return (umbp_text_t) { (const char *) key + UMBP_SCOPE_HEAD,
                          (uint32_t) (scope - UMBP_SCOPE_HEAD) };
}

//  The key as its client said it: what its place on the ring is made of
static inline umbp_bytes_t umbp_scope_bare (const uint8_t *key, size_t size)
{
    size_t scope = umbp_scope_size (key, size);
    return (umbp_bytes_t) { key + scope, (uint32_t) (size - scope) };
}

//  Write the scope of a tenant's keys to out, of UMBP_SCOPE_MAX bytes. Returns its size.
size_t umbp_scope_write (const char *tenant, uint8_t *out);

//  The keys of a client as they are kept. bytes has room for in->size and UMBP_SCOPE_MAX for each
//  item, sizes for each item; they are not touched where nothing changes, and then in is returned.
umbp_column_t umbp_scope_column (umbp_column_t in, const char *tenant, uint8_t *bytes,
                                 uint16_t *sizes);

#endif
