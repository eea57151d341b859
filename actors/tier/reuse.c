//  actors/tier/reuse.c - when blocks are used again, see reuse.h
#include "actors/tier/reuse.h"

#include <czmq.h>
#include <math.h>

#define CLASSES UMBP_REUSE_CLASSES
#define AGES UMBP_REUSE_AGES
#define SLOTS UMBP_REUSE_SLOTS
#define AGE_BITS 6                      //  The first step of age is 64 uses
#define SLOTS_PER_BLOCKS 32             //  Slots for as many uses as there are blocks
#define LIVES_MIN 50                    //  With fewer nothing is known
#define LEARN_EVERY 2048                //  Uses, at least, from one sum to the next
#define FORGET_AFTER 256                //  Uses for each block, after which the past counts half

struct umbp_reuse {
    uint64_t now, blocks;
    unsigned shift;                     //  A slot is 2^shift uses
    uint64_t learn_at, forget_at;
    double ends[CLASSES][AGES];         //  Lives that ended, by age
    double begins[CLASSES][SLOTS];      //  Lives that began, by slot
    double before[CLASSES];             //  ... and before these slots
    double worth[CLASSES][AGES];
    double edges[AGES + 1];             //  Ages at which steps begin
};

umbp_reuse_t *umbp_reuse_new (void)
{
    umbp_reuse_t *self = zmalloc (sizeof (umbp_reuse_t));
    self->shift = AGE_BITS;
    for (unsigned step = 1; step <= AGES; step++)
        self->edges[step] = (1 << AGE_BITS) * exp2 ((step - 1) / 4.0);
    self->learn_at = LEARN_EVERY;
    self->forget_at = UINT64_MAX;
    return self;
}

void umbp_reuse_destroy (umbp_reuse_t **self_p)
{
    freen (*self_p);
}

//  Four steps for each doubling, by the two bits behind the first: the n-th begins near edges[n]
static unsigned s_step (uint64_t age)
{
    if (age < 1 << AGE_BITS)
        return 0;
    static const double quarters[] = { 1.189207115, 1.414213562, 1.681792831 };
    int high = 63 - __builtin_clzll (age);
    double part = (double) age / (double) (UINT64_C (1) << high);
    unsigned quarter = (part >= quarters[0]) + (part >= quarters[1]) + (part >= quarters[2]);
    unsigned step = 1 + 4 * (unsigned) (high - AGE_BITS) + quarter;
    return step < AGES ? step : AGES - 1;
}

uint64_t umbp_reuse_slot (const umbp_reuse_t *self, uint64_t time)
{
    uint64_t slot = time >> self->shift, first = umbp_reuse_first_slot (self);
    return slot > first ? slot : first;
}

uint64_t umbp_reuse_first_slot (const umbp_reuse_t *self)
{
    uint64_t last = self->now >> self->shift;
    return last >= SLOTS ? last - SLOTS + 1 : 0;
}

//  Slots of twice the length: two become one
static void s_lengthen (umbp_reuse_t *self)
{
    uint64_t first = umbp_reuse_first_slot (self), last = self->now >> self->shift;
    for (unsigned kind = 0; kind < CLASSES; kind++) {
        double longer[SLOTS] = { 0 };
        for (uint64_t slot = first; slot <= last; slot++)
            longer[slot / 2 % SLOTS] += self->begins[kind][slot % SLOTS];
        memcpy (self->begins[kind], longer, sizeof longer);
    }
    self->shift++;
}

int umbp_reuse_scale (umbp_reuse_t *self, uint64_t blocks)
{
    unsigned before = self->shift;
    self->blocks = blocks;
    while (blocks >> self->shift > SLOTS_PER_BLOCKS)
        s_lengthen (self);
    if (self->forget_at == UINT64_MAX)
        self->forget_at = self->now + FORGET_AFTER * (blocks + LEARN_EVERY);
    return self->shift > before;
}

//  Lives that began at least so long ago, for each step of age
static void s_old_enough (const umbp_reuse_t *self, unsigned kind, double *lives)
{
    uint64_t slot = umbp_reuse_first_slot (self);
    double sum = self->before[kind];
    for (unsigned step = AGES; step-- > 0;) {
        double age = self->edges[step + 1];
        uint64_t until = age < (double) self->now ? self->now - (uint64_t) age : 0;
        for (; slot < until >> self->shift; slot++)
            sum += self->begins[kind][slot % SLOTS];
        lives[step] = sum;
    }
}

static void s_learn (umbp_reuse_t *self, unsigned kind)
{
    double lives[AGES], chance[AGES], alive[AGES + 1] = { 1 };
    s_old_enough (self, kind, lives);
    for (unsigned step = 0; step < AGES; step++) {
        chance[step] = lives[step] >= LIVES_MIN ? self->ends[kind][step] / lives[step] : 0;
        chance[step] = fmin (chance[step], alive[step]);
        alive[step + 1] = alive[step] - chance[step];
    }
    for (unsigned from = 0; from < AGES; from++) {
        double hits = 0, time = 0, best = 0;
        for (unsigned step = from; step < AGES; step++) {
            hits += chance[step];
            time +=
                (alive[step] + alive[step + 1]) / 2 * (self->edges[step + 1] - self->edges[step]);
            if (time > 0 && hits / time > best)
                best = hits / time;
        }
        self->worth[kind][from] = best;
    }
}

static void s_forget (umbp_reuse_t *self, unsigned kind)
{
    for (unsigned step = 0; step < AGES; step++)
        self->ends[kind][step] /= 2;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        self->begins[kind][slot] /= 2;
    self->before[kind] /= 2;
}

//  Slots that are left for good make room for the new one
static void s_new_slot (umbp_reuse_t *self)
{
    uint64_t slot = self->now >> self->shift;
    for (unsigned kind = 0; kind < CLASSES; kind++) {
        self->before[kind] += self->begins[kind][slot % SLOTS];
        self->begins[kind][slot % SLOTS] = 0;
    }
}

uint64_t umbp_reuse_tick (umbp_reuse_t *self)
{
    self->now++;
    if (self->now >> self->shift != (self->now - 1) >> self->shift)
        s_new_slot (self);
    if (self->now >= self->learn_at) {
        for (unsigned kind = 0; kind < CLASSES; kind++)
            s_learn (self, kind);
        self->learn_at = self->now + LEARN_EVERY + self->blocks / 16;
    }
    if (self->now >= self->forget_at) {
        for (unsigned kind = 0; kind < CLASSES; kind++)
            s_forget (self, kind);
        self->forget_at = self->now + FORGET_AFTER * (self->blocks + LEARN_EVERY);
    }
    return self->now;
}

uint64_t umbp_reuse_now (const umbp_reuse_t *self)
{
    return self->now;
}

void umbp_reuse_begin (umbp_reuse_t *self, unsigned kind)
{
    self->begins[kind][(self->now >> self->shift) % SLOTS]++;
}

void umbp_reuse_end (umbp_reuse_t *self, unsigned kind, uint64_t began)
{
    self->ends[kind][s_step (self->now - began)]++;
}

uint64_t umbp_reuse_age (const umbp_reuse_t *self, uint64_t slot)
{
    uint64_t middle = (slot << self->shift) + (UINT64_C (1) << self->shift) / 2;
    return self->now > middle ? self->now - middle : 0;
}

double umbp_reuse_worth (const umbp_reuse_t *self, unsigned kind, uint64_t slot)
{
    return self->worth[kind][s_step (umbp_reuse_age (self, slot))];
}
