//  actors/tier/journal.h - what happened to the memory of a tier, as numbered events: who took how much and gave
//  it back, what left, when there was none. The last UMBP_JOURNAL_EVENTS are kept; who reads on from a number
//  sees by the first one that is left whether some were missed.
//
//  The bytes that a tenant uses are the sum of its ALLOC less the sum of its FREE, since the start; or since a
//  count of the tenants that names the number of its next event (usage_ok.next). All other kinds only tell.
//  A value: one owner, no thread, allocates in umbp_journal_new alone; the memory is touched as events come.
#ifndef UMBP_JOURNAL_H
#define UMBP_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "proto/types.h"

#define UMBP_JOURNAL_EVENTS 65536       //  Kept; 96 bytes each

//  The numbers go on the wire: add, never renumber
typedef enum {
    UMBP_EVENT_ALLOC = 1,               //  mem.alloc: bytes of pages, charged to the tenant
    UMBP_EVENT_FREE = 2,                //  mem.free: refunded
    UMBP_EVENT_EVICT = 3,               //  mem.evict: bytes that are asked back for want of room
    UMBP_EVENT_FULL = 4,                //  mem.full: a reservation of so many bytes found no room
    UMBP_EVENT_SUSPEND = 5,             //  mem.suspend: the tenant takes no new room
    UMBP_EVENT_RESUME = 6,              //  mem.resume
    UMBP_EVENT_CAPACITY = 7,            //  mem.capacity: the tier has so many bytes now
    UMBP_EVENT_LEVEL = 8,               //  mem.level: pressure on this node is so high, 0 to 4
    UMBP_EVENT_MOVE = 9,                //  mem.move: bytes that lie elsewhere in this tier now
} umbp_event_t;
#define UMBP_EVENT_KINDS 10

typedef struct {
    uint64_t time_us;                   //  Of the wall clock
    uint64_t amount;
    uint8_t kind;
    char tenant[UMBP_NAME_MAX + 1];     //  Empty: the default one, or none
} umbp_journal_row_t;

typedef struct umbp_journal umbp_journal_t;

umbp_journal_t *umbp_journal_new (void);
void umbp_journal_destroy (umbp_journal_t **self_p);

//  The tenant has room for UMBP_NAME_MAX + 1 bytes, as those of tenants.h have
void umbp_journal_add (umbp_journal_t *self, umbp_event_t kind,
                       const char tenant[UMBP_NAME_MAX + 1], uint64_t amount);

//  Number of the oldest event that is kept, and of the next one to come. Numbers begin with 1.
uint64_t umbp_journal_first (const umbp_journal_t *self);
uint64_t umbp_journal_next (const umbp_journal_t *self);

//  An event by its number, NULL unless it is kept; good until the next add
const umbp_journal_row_t *umbp_journal_at (const umbp_journal_t *self, uint64_t number);

//  "mem.alloc", "mem.?" for what we do not know
const char *umbp_event_name (unsigned kind);

#endif
