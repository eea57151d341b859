//  actors/tier/advice.c - what clients say of blocks that they will read soon, or never again. No promise, and nobody
//  answers: what will be read comes up, if a read would have brought it up, and leaves as late as if it had been read;
//  what will not is the first to leave, and goes below while nothing else moves, so that nobody waits for it then.
#include "actors/tier/manager_self.h"

#include "cluster/origin.h"

typedef size_t (victims_fn) (umbp_store_t *store, size_t max, uint32_t *items);

static bool s_is_cold (umbp_manager_t *self, uint32_t place)
{
    const umbp_block_t *block = umbp_store_block (self->store, self->advice.cold[place].item);
    return block->state == UMBP_BLOCK_LIVE && block->cold
           && block->token == self->advice.cold[place].token;
}

//  Forget those that left, or were read all the same
static void s_forget (umbp_manager_t *self)
{
    umbp_advice_t *advice = &self->advice;
    uint32_t kept = 0;
    for (uint32_t place = 0; place < advice->cold_count; place++)
        if (s_is_cold (self, place))
            advice->cold[kept++] = advice->cold[place];
    advice->cold_count = kept;
}

static void s_need (umbp_manager_t *self, uint32_t item)
{
    umbp_store_touch (self->store, item, self->tick);
    if (self->depot)                    //  Also in a storm; what is in memory it counts as read once
        umbp_store_block (self->store, item)->hit = true;
    umbp_manager_promote (self, item);
}

static void s_cool (umbp_manager_t *self, uint32_t item)
{
    umbp_advice_t *advice = &self->advice;
    umbp_block_t *block = umbp_store_block (self->store, item);
    block->hit = false;
    if (self->depot)                    //  Cleaning asks whether it is worth a copy
        umbp_store_is_used (self->store, item);
    if (!block->cold && !block->foreign && advice->cold_count < UMBP_COLD_MAX) {
        advice->cold[advice->cold_count].item = item;
        advice->cold[advice->cold_count++].token = block->token;
        block->cold = true;
    }
    umbp_manager_prepare (self, item);
}

//  Tail before head: a prefix outlives its suffix
void umbp_manager_advise (umbp_manager_t *self, const umbp_mail_t *mail)
{
    const umbp_msg_touch_t *say = &mail->msg->touch;
    uint32_t items[UMBP_BATCH_MAX];
    umbp_user_t user;
    umbp_origin_user (mail->origin, &user);
    if (user.kind == UMBP_USER_CLIENT || mail->origin->door)
        return;                         //  It asks its router
    size_t offset = 0;
    for (size_t index = 0; index < say->keys.count; index++) {
        umbp_bytes_t key = umbp_column_next (&say->keys, index, &offset);
        items[index] = umbp_store_find (self->store, key.data, key.size);
    }
    self->tick++;
    if (say->advice == UMBP_ADVICE_COLD)
        s_forget (self);
    for (size_t index = say->keys.count; index-- > 0;) {
        if (items[index] == UMBP_STORE_NONE)
            continue;
        if (say->advice == UMBP_ADVICE_NEED)
            s_need (self, items[index]);
        else if (say->advice == UMBP_ADVICE_COLD)
            s_cool (self, items[index]);
        self->advice.needs += say->advice == UMBP_ADVICE_NEED;
        self->advice.colds += say->advice == UMBP_ADVICE_COLD;
    }
}

static size_t s_cold_first (umbp_manager_t *self, victims_fn *victims, size_t max, uint32_t *items)
{
    const umbp_advice_t *advice = &self->advice;
    size_t count = 0;
    if (advice->cold_count == 0)
        return victims (self->store, max, items);
    s_forget (self);
    for (uint32_t place = 0; place < advice->cold_count && count < max; place++) {
        umbp_block_t *block = umbp_store_block (self->store, advice->cold[place].item);
        if (block->leaving || block->holds > 0)
            continue;
        block->leaving = true;          //  Not to be named twice
        items[count++] = advice->cold[place].item;
    }
    size_t others = 0;
    if (count < max)
        others = victims (self->store, max - count, items + count);
    for (size_t index = 0; index < count; index++)
        umbp_store_block (self->store, items[index])->leaving = false;
    return count + others;
}

size_t umbp_manager_victims (umbp_manager_t *self, size_t max, uint32_t *items)
{
    return s_cold_first (self, umbp_store_victims, max, items);
}

size_t umbp_manager_peek (umbp_manager_t *self, size_t max, uint32_t *items)
{
    return s_cold_first (self, umbp_store_peek, max, items);
}

void umbp_manager_stat_advice (const umbp_manager_t *self, umbp_gauges_t *gauges)
{
    umbp_gauges_add (gauges, "advised_needed", self->advice.needs);
    umbp_gauges_add (gauges, "advised_cold", self->advice.colds);
}
