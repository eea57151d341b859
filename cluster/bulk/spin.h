//  cluster/bulk/spin.h - whether a thread that waits for a message had better look again and again
//  for a moment, or sleep at once. State and rules of one thread: it is told what happened and when,
//  looks at no clock itself, and never blocks.
//
//  To spin for as long as a wake-up costs is never worse than twice the best (Karlin, Manasse,
//  McGeoch, Owicki: Competitive randomized algorithms for nonuniform problems, 1990), as long as the
//  core is ours alone. Two rules see to the rest:
//
//  - Somebody else wants the core. A scheduler that shares fairly counts what a thread spins as its
//    share, and the more so if it yields: then it waits for whole time slices when it has work to do.
//    A look that took as long as a slice shows that. The thread then sleeps instead for a rest, which
//    grows each time, as Ethernet backs off (Metcalfe, Boggs, 1976), and is shorter again once many
//    spins in a row went well.
//  - Messages come too far apart. As KVM's halt polling does (Documentation/virt/kvm/halt-polling.rst),
//    a score goes up with each message that came soon, and down with each that did not, also while
//    the thread sleeps at once: so spinning comes back as soon as it would have paid.
#ifndef UMBP_SPIN_H
#define UMBP_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define UMBP_SPIN_LOST_US 500           //  A look that took longer: others used the core
#define UMBP_SPIN_WAKE_US 100           //  What a wake-up may take on top of the wait itself
#define UMBP_SPIN_REST_MIN_US 4000
#define UMBP_SPIN_REST_MAX_US 1024000
#define UMBP_SPIN_REST_FACTOR 2         //  From one rest to the next
#define UMBP_SPIN_REWARD 64             //  So many messages in a row while spinning: one step back
#define UMBP_SPIN_SCORE_MAX 16          //  Where it begins; at 0 spinning ends
#define UMBP_SPIN_SCORE_BACK 8          //  ... and from here on it is back
#define UMBP_SPIN_GAIN 2                //  Of a message that came soon; one that did not costs 1

//  All times are those of one clock that does not jump, in microseconds
typedef struct {
    uint32_t max_us;                    //  Spin so long at most; 0: never
    uint32_t rest_us;                   //  How long the next rest is
    uint32_t row;                       //  Spins that paid since a rest was taken
    uint32_t score;
    bool off;                           //  The score went down to 0, and is not back yet
    bool spinning, waiting;             //  Waiting: for a message, spinning or asleep
    int64_t begun_us, last_us;          //  Of the wait; of its last look
    int64_t rest_end_us;
    uint64_t spent_us;                  //  CPU time for looks in vain, those apart that others took part in
    uint64_t paid, vain,
        rests; //  Spins that ended with a message; without; since others were there
} umbp_spin_t;

void umbp_spin_init (umbp_spin_t *self, uint32_t max_us);

//  Nothing is there any more. Returns whether to look again, or sleep at once.
bool umbp_spin_begin (umbp_spin_t *self, int64_t now_us);

//  Once more nothing was there. Returns whether to look again, or sleep.
bool umbp_spin_again (umbp_spin_t *self, int64_t now_us);

//  A message is there. Costs nothing unless it ends a wait.
void umbp_spin_found (umbp_spin_t *self, int64_t now_us);

//  Whether umbp_spin_found has anything to learn: else nobody need look at a clock
static inline bool umbp_spin_waits (const umbp_spin_t *self)
{
    return self->waiting;
}

#endif
