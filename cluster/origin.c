//  cluster/origin.c - the way back of a message, and who began it. See origin.h for the contract.
#include "cluster/origin.h"

#define ID_MAX 40                       //  Bytes in the name of a sender
#define KIND_CLIENT 'c'
#define KIND_NODE 'n'                   //  With a certificate that several may share
#define KIND_BOUND 'N'                  //  With one of its own

size_t umbp_origin_push (const umbp_origin_entry_t *entry, uint8_t *out)
{
    bool secure = entry->side == UMBP_SIDE_SECURE;
    size_t head = 2 + entry->id_size + (secure ? 1 + entry->user_size : 0);
    if (entry->id_size > ID_MAX || entry->user_size > UMBP_ORIGIN_USER_MAX
        || head + entry->rest_size > UMBP_ORIGIN_MAX)
        return 0;
    uint8_t *at = out;
    *at++ = (uint8_t) entry->side;
    *at++ = (uint8_t) entry->id_size;
    memcpy (at, entry->id, entry->id_size);
    at += entry->id_size;
    if (secure) {
        *at++ = (uint8_t) entry->user_size;
        memcpy (at, entry->user, entry->user_size);
        at += entry->user_size;
    }
    if (entry->rest_size)
        memcpy (at, entry->rest, entry->rest_size);
    return head + entry->rest_size;
}

bool umbp_origin_pop (const uint8_t *origin, size_t size, umbp_origin_entry_t *entry)
{
    *entry = (umbp_origin_entry_t){ 0 };
    if (size < 2 || size < 2u + origin[1])
        return false;
    entry->side = (char) origin[0];
    entry->id_size = origin[1];
    entry->id = origin + 2;
    size_t used = 2 + entry->id_size;
    if (entry->side == UMBP_SIDE_SECURE) {
        if (size < used + 1 || size < used + 1 + origin[used])
            return false;
        entry->user_size = origin[used];
        entry->user = origin + used + 1;
        used += 1 + entry->user_size;
    }
    entry->rest = origin + used;
    entry->rest_size = size - used;
    return true;
}

size_t umbp_origin_write_user (const umbp_pass_t *pass, uint8_t *out)
{
    const umbp_curve_words_t *words = &pass->cert.words;
    bool bound = pass->role == UMBP_PASS_NODE && *words->node;
    const char *name = bound ? words->node : words->name;
    out[0] = bound ? KIND_BOUND : pass->role == UMBP_PASS_NODE ? KIND_NODE : KIND_CLIENT;
    size_t size = strlen (name);
    memcpy (out + 1, name, size);
    size_t tenant_size = pass->role == UMBP_PASS_CLIENT ? strlen (words->tenant) : 0;
    if (tenant_size == 0)
        return 1 + size;
    out[1 + size] = 0;
    memcpy (out + 2 + size, words->tenant, tenant_size);
    return 2 + size + tenant_size;
}

//  What links wrote of a user
static void s_read_user (const umbp_origin_entry_t *entry, umbp_user_t *user)
{
    const char *name = (const char *) entry->user + 1;
    size_t size = entry->user_size - 1, name_size = strnlen (name, size);
    user->kind = entry->user[0] == KIND_CLIENT ? UMBP_USER_CLIENT : UMBP_USER_NODE;
    user->bound = entry->user[0] == KIND_BOUND;
    umbp_text_copy ((umbp_text_t){ name, (uint32_t) name_size }, user->name, sizeof user->name);
    *user->tenant = 0;
    if (name_size + 1 < size && user->kind == UMBP_USER_CLIENT)
        umbp_text_copy ((umbp_text_t){ name + name_size + 1, (uint32_t) (size - name_size - 1) },
                        user->tenant, sizeof user->tenant);
}

void umbp_origin_user (const umbp_origin_t *origin, umbp_user_t *user)
{
    umbp_origin_entry_t entry;
    const uint8_t *at = origin->origin;
    size_t size = origin->origin_size;
    *user = (umbp_user_t){ .kind = UMBP_USER_LOCAL, .link = origin->origin_size > 0 };
    if (origin->door != 0 || !umbp_origin_pop (at, size, &entry) || entry.side == UMBP_SIDE_LOCAL)
        return;
    user->kind = UMBP_USER_ANYONE;
    //  What lies below a node's entry is its word on who asked it; nothing there, or itself: the node
    while (entry.side == UMBP_SIDE_SECURE && entry.user_size > 0) {
        s_read_user (&entry, user);
        if (user->kind == UMBP_USER_CLIENT
            || !umbp_origin_pop (entry.rest, entry.rest_size, &entry))
            return;
    }
}

const char *umbp_origin_tenant (const umbp_origin_t *origin, const char *home, umbp_user_t *user)
{
    umbp_origin_user (origin, user);
    return user->kind == UMBP_USER_LOCAL ? home : user->tenant;
}
