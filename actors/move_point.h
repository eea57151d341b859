//  actors/move_point.h - names of the states that a block passes on its way from one tier of a node to another, for tests
//  that end a process in each of them:
//
//    planned    it shall move (shift.c)
//    sent       its batch was given to the migrator
//    leased     the migrator may read it
//    reserved   ... and write it to pages, or log, of the other tier
//    copied     its bytes are there, and its checksum is right
//    published  the other tier has it: readers find it there
//    answered   its own tier knows that
//    retired    it left its own tier, if it had to
#ifndef UMBP_MOVE_POINT_H
#define UMBP_MOVE_POINT_H

//  Tests define it; nobody else does
void umbp_move_point (const char *state) __attribute__ ((weak));

static inline void umbp_move_pass (const char *state)
{
    if (umbp_move_point)
        umbp_move_point (state);
}

#endif
