//  actors/tier/lends.h - blocks of tier:hbm that engines of this host read where they lie on the device. Part of the tier
//  manager: its messages, and a table of who holds which.
//
//  A lend is a lease through a door, and ends when it is let go, when that door closes, or with its time, lease_ttl_ms:
//  nobody can stop an engine in the middle of a read, so one that took longer has to ask afterwards whether the lease
//  still held, and throw away what it read if not. Until then the pages are neither freed nor written.
#ifndef UMBP_LENDS_H
#define UMBP_LENDS_H

#include "actors/tier/manager_self.h"
#include "actors/tier/vram.h"

#define UMBP_LENDS_MAX 1024             //  At a time, of UMBP_LENT_MAX blocks each

void umbp_manager_on_device_lease (void *owner, const umbp_mail_t *mail);
void umbp_manager_on_device_check (void *owner, const umbp_mail_t *mail);

void umbp_manager_end_lends_of (umbp_manager_t *self, uint64_t door);
void umbp_manager_expire_lends (umbp_manager_t *self, int64_t now);  //  Every tick
void umbp_manager_stat_lends (const umbp_manager_t *self, umbp_gauges_t *gauges);
void umbp_manager_end_lends (umbp_manager_t *self);  //  All, before the medium ends

#endif
