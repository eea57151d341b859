//  actors/tier/landlord.c - tenants of a tier: room within a quota, whose slots and leases are whose, and what is
//  told of them. A tenant over its limit makes room with its own blocks; what is still held, and blocks of
//  others, stay. The limits are those of the file that the gate reads (cluster/quotas.h).
#include "actors/tier/manager_self.h"
#include "cluster/origin.h"

#define ROOM_BATCH 256                  //  Own blocks that leave for one reservation; more in the next try

//  --------------------------------------------------------------------------------------------------
//  Room

//  Let own blocks go until so many bytes more fit. Returns how many bytes too much are left.
static uint64_t s_let_go (umbp_manager_t *self, uint16_t row, uint64_t bytes)
{
    uint32_t victims[ROOM_BATCH];
    umbp_tenants_t *tenants = umbp_store_tenants (self->store);
    size_t count = umbp_store_own_victims (self->store, row, ROOM_BATCH, victims);
    for (size_t index = 0; index < count; index++) {
        if (umbp_tenants_excess (tenants, row, bytes) == 0)
            break;
        umbp_tenants_at (tenants, row)->evicted++;
        self->evicted++;
        umbp_manager_evict (self, victims[index]);
    }
    if (count > 0)
        umbp_announce_send (self->announce);
    return umbp_tenants_excess (tenants, row, bytes);
}

int umbp_manager_make_room (umbp_manager_t *self, umbp_text_t tenant, uint32_t size)
{
    umbp_tenants_t *tenants = umbp_store_tenants (self->store);
    uint64_t bytes = umbp_store_bytes (self->store, size), excess = 0;
    uint16_t row = umbp_tenants_row (tenants, tenant);
    if (row == UMBP_TENANT_NONE)
        return UMBP_EQUOTA;             //  More tenants than the table has rows
    umbp_tenant_t *who = umbp_tenants_at (tenants, row);
    uint64_t before = who->evicted;
    if (bytes <= who->limit && (excess = s_let_go (self, row, bytes)) == 0)
        return 0;
    bool soon = bytes <= who->limit && (who->evicted > before || excess <= who->doomed);
    if (soon)
        return UMBP_EAGAIN;             //  More can leave, or what left is free when its readers are done
    who->refused++;
    self->over_quota++;
    return UMBP_EQUOTA;
}

//  Limits that were lowered are met bit by bit
void umbp_manager_trim_tenants (umbp_manager_t *self)
{
    umbp_tenants_t *tenants = umbp_store_tenants (self->store);
    for (uint16_t row = 0; row < UMBP_TENANTS_MAX; row++) {
        const umbp_tenant_t *who = umbp_tenants_at (tenants, row);
        if (who->used && who->limit != UMBP_QUOTA_NONE && who->bytes > who->limit)
            s_let_go (self, row, 0);
    }
}

//  --------------------------------------------------------------------------------------------------
//  Whose is what

umbp_sight_t umbp_manager_sight (umbp_manager_t *self, const umbp_origin_t *origin)
{
    umbp_user_t user;
    const char *tenant = umbp_origin_tenant (origin, self->tenant, &user);
    bool ours = user.kind == UMBP_USER_LOCAL && !user.link && origin->door == 0;
    if (ours || user.kind == UMBP_USER_NODE || user.kind == UMBP_USER_ANYONE)
        return (umbp_sight_t) { .all = true };
    return (umbp_sight_t) {
        .row = umbp_tenants_find (umbp_store_tenants (self->store), umbp_text (tenant))
    };
}

bool umbp_manager_sees (umbp_manager_t *self, umbp_sight_t sight, uint32_t item)
{
    if (sight.all || umbp_store_block (self->store, item)->tenant == sight.row)
        return true;
    self->not_theirs++;
    return false;
}

//  --------------------------------------------------------------------------------------------------
//  Messages

//  From this node's gate, when the file has changed
void umbp_manager_on_quotas (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    const umbp_msg_quotas_t *ask = &mail->msg->quotas;
    if (mail->origin->door || mail->origin->origin_size) {
        umbp_post_refuse (self->post, mail->origin, UMBP_EDENIED, "type",
                          "from this node only: see security/tenants");
        return;
    }
    umbp_quotas_t *quotas = umbp_quotas_new ();
    size_t offset = 0;
    for (size_t index = 0; index < ask->names.count; index++) {
        char name[UMBP_NAME_MAX + 1];
        umbp_bytes_t item = umbp_column_next (&ask->names, index, &offset);
        umbp_text_copy ((umbp_text_t) { (const char *) item.data, item.size }, name, sizeof name);
        umbp_quotas_set (quotas, name, self->args.tier, umbp_u64s_at (ask->limits, index));
        if (ask->qos.count > index)
            umbp_quotas_set_qos (quotas, name, umbp_u8s_at (ask->qos, index));
    }
    umbp_store_set_quotas (self->store, &quotas, self->args.tier);
    umbp_post_answer_status (self->post, mail->origin, UMBP_OK);
}

//  A client with a certificate hears of its own tenant; who may open our doors, and nodes, of all
void umbp_manager_on_tenants (void *owner, const umbp_mail_t *mail)
{
    umbp_manager_t *self = owner;
    umbp_tenants_t *tenants = umbp_store_tenants (self->store);
    umbp_user_t user;
    umbp_origin_user (mail->origin, &user);
    uint16_t only = umbp_tenants_find (tenants, umbp_text (user.tenant));
    uint64_t columns[5][UMBP_TENANTS_MAX];
    uint16_t sizes[UMBP_TENANTS_MAX];
    uint8_t names[UMBP_TENANTS_MAX * UMBP_NAME_MAX];
    umbp_column_t column = { names, sizes, 0, 0 };
    for (uint16_t row = 0; row < UMBP_TENANTS_MAX; row++) {
        const umbp_tenant_t *who = umbp_tenants_at (tenants, row);
        if (!who->used || (user.kind == UMBP_USER_CLIENT && row != only))
            continue;
        size_t size = strlen (who->name);
        memcpy (names + column.size, who->name, size);
        column.size += (uint32_t) size;
        columns[0][column.count] = who->bytes;
        columns[1][column.count] = who->limit;
        columns[2][column.count] = who->blocks;
        columns[3][column.count] = who->refused;
        columns[4][column.count] = who->evicted;
        sizes[column.count++] = (uint16_t) size;
    }
    umbp_msg_t answer;
    umbp_msg_init (&answer, UMBP_MSG_tenants_ok, 0);
    umbp_msg_tenants_ok_t *ok = &answer.tenants_ok;
    ok->names = column;
    ok->useds = (umbp_u64s_t) { columns[0], column.count };
    ok->limits = (umbp_u64s_t) { columns[1], column.count };
    ok->blocks = (umbp_u64s_t) { columns[2], column.count };
    ok->refused = (umbp_u64s_t) { columns[3], column.count };
    ok->evicted = (umbp_u64s_t) { columns[4], column.count };
    umbp_post_answer (self->post, mail->origin, &answer, NULL, 0);
}
