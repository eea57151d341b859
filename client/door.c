//  client/door.c - ways of a lane to actors of nodes on this host. See lane.h.
#include "client/rdma.h"

#include <unistd.h>

#include "cluster/bulk/clock.h"

#define RETRY_MS 1000                   //  Between two tries to open a door
#define OPEN_MS 100                     //  For one try

//  Where a node of this host has its doors, NULL if it has none that we may use
static const char *s_folder (const umbp_lane_t *lane, const char *node)
{
    if (!lane->pool->shm || !lane->cluster)
        return NULL;
    int member = umbp_topology_find (lane->cluster->topology, umbp_text (node));
    return member >= 0 && lane->cluster->here[member]
               ? umbp_topology_member (lane->cluster->topology, (size_t) member)->doors
               : NULL;
}

//  Number of its entry; UMBP_NO_DOOR if there is none
static int s_find (const umbp_lane_t *lane, const char *actor, const char *node)
{
    for (size_t index = 0; index < lane->door_count; index++)
        if (streq (lane->doors[index].actor, actor) && streq (lane->doors[index].node, node))
            return (int) index;
    return UMBP_NO_DOOR;
}

//  The same, made on first use of a node of this host; UMBP_NO_DOOR if there is no room for it
static int s_entry (umbp_lane_t *lane, const char *actor, const char *node)
{
    int number = s_find (lane, actor, node);
    if (number != UMBP_NO_DOOR)
        return number;
    if (lane->door_count == UMBP_DOORS_MAX || !s_folder (lane, node))
        return UMBP_NO_DOOR;
    umbp_door_t *door = &lane->doors[lane->door_count];
    *door = (umbp_door_t) { .fd = -1 };
    snprintf (door->actor, sizeof door->actor, "%s", actor);
    snprintf (door->node, sizeof door->node, "%s", node);
    return (int) lane->door_count++;
}

static void s_open (umbp_lane_t *lane, umbp_door_t *door)
{
    int64_t now_ms = umbp_clock_ms (), left = lane->deadline_ms - now_ms;
    const char *folder = now_ms >= door->retry_ms ? s_folder (lane, door->node) : NULL;
    if (!folder || left <= 0)
        return;
    door->retry_ms = now_ms + RETRY_MS;
    char path[UMBP_TEXT_MAX + UMBP_NAME_MAX + 8];
    snprintf (path, sizeof path, "%s/%s.sock", folder, door->actor);
    int fd = umbp_shm_connect (path, left < OPEN_MS ? (int) left : OPEN_MS, NULL);
    if (fd >= 0)
        door->fd = fd;
}

//  Number of the entry if its door is open now
static int s_opened (const umbp_lane_t *lane, int number)
{
    return number != UMBP_NO_DOOR && lane->doors[number].fd >= 0 ? number : UMBP_NO_DOOR;
}

int umbp_door_open (umbp_lane_t *lane, const char *actor, const char *node)
{
    int number = lane->pool->shm ? s_entry (lane, actor, node) : UMBP_NO_DOOR;
    if (number != UMBP_NO_DOOR && lane->doors[number].fd == -1)
        s_open (lane, &lane->doors[number]);
    return s_opened (lane, number);
}

int umbp_door_find (umbp_lane_t *lane, const char *actor, const char *node)
{
    if (!lane->pool->shm)
        return UMBP_NO_DOOR;
    if (streq (actor, "router") || streq (actor, "index"))
        return umbp_door_open (lane, actor, node);
    //  A tier manager's is opened to borrow its memory (memory.c), others have none
    return s_opened (lane, s_find (lane, actor, node));
}

//  What the door lends ends too, and somebody may still look at it. What was parked before is given back, but for the memory
//  that the call remembers from its start.
static void s_park (umbp_lane_t *lane, umbp_door_t *door)
{
    if (!lane->kept && door->parked == lane->near) {
        lane->kept = door->parked;
        door->parked = NULL;
    }
    umbp_pool_return_memory (lane->pool, &door->parked);
    door->parked = door->memory;
    door->memory = NULL;
    lane->bereaved = true;
}

static void s_close (umbp_lane_t *lane, umbp_door_t *door)
{
    if (door->fd == -1)
        return;
    close (door->fd);
    door->fd = -1;
    door->open = 0;
    for (size_t index = 0; index < lane->question_count; index++) {
        umbp_question_t *question = &lane->questions[index];
        if (question->door == door - lane->doors && !question->lost) {
            question->lost = true;
            lane->lost_count++;
        }
    }
    if (door->memory)
        s_park (lane, door);
}

void umbp_door_close (umbp_lane_t *lane, int number)
{
    umbp_door_t *door = &lane->doors[number];
    bool tied = door->memory;
    s_close (lane, door);
    lane->doubts = true;
    if (tied)
        umbp_lane_renew (lane);
}

//  Doors that the session is tied to go with it
void umbp_lane_renew (umbp_lane_t *lane)
{
    for (size_t index = 0; index < lane->door_count; index++)
        if (lane->doors[index].memory)
            s_close (lane, &lane->doors[index]);
    umbp_lane_drop_bulks (lane);
    umbp_rdma_drop (lane);
    lane->session = umbp_lane_draw ();
}
