//  actors/worker/launch.c - how a worker's process begins: its arguments, its environment, its log.
#include "actors/worker/self.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define PORT "<port>"                   //  Stands for one among the arguments

bool umbp_worker_has_process (const umbp_worker_record_t *record)
{
    const json_t *info = json_object_get (record->json, "WorkerRunningInfo");
    const char *type = umbp_record_text (info, "type");
    return *umbp_record_text (info, "executable") && (!*type || streq (type, "process"));
}

//  ------------------------------------------------------------------------------------------------
//  The log

//  Who calls himself "../x" is called ".._x" there
static void s_log_prefix (const char *uid, char *out, size_t size)
{
    snprintf (out, size, "worker-%s-", uid);
    for (char *at = out; *at; at++)
        if (!strchr ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *at))
            *at = '_';
}

static bool s_is_log (const char *name, const char *prefix)
{
    size_t size = strlen (prefix), digits;
    if (strncmp (name, prefix, size) != 0)
        return false;
    digits = strspn (name + size, "0123456789");
    return digits > 0 && streq (name + size + digits, ".log");
}

//  One older log goes, if there are too many. Returns whether one went.
static bool s_drop_oldest (const char *folder, const char *prefix)
{
    char oldest[NAME_MAX + 1] = "";
    size_t count = 0;
    DIR *dir = opendir (folder);
    for (struct dirent *entry = dir ? readdir (dir) : NULL; entry; entry = readdir (dir))
        if (s_is_log (entry->d_name, prefix)) {
            if (!count++ || strcmp (entry->d_name, oldest) < 0)
                snprintf (oldest, sizeof oldest, "%s", entry->d_name);
        }
    bool gone = count >= UMBP_WORKER_LOGS_MAX && unlinkat (dirfd (dir), oldest, 0) == 0;
    if (dir)
        closedir (dir);
    return gone;
}

static void s_log_path (const umbp_worker_t *self, const char *uid, char *out, size_t size)
{
    char prefix[UMBP_NAME_MAX + 16];
    struct timespec now;
    s_log_prefix (uid, prefix, sizeof prefix);
    mkdir (self->logs, 0700);           //  If that fails the log cannot be made, which is said
    while (s_drop_oldest (self->logs, prefix))
        ;
    clock_gettime (CLOCK_REALTIME, &now);
    snprintf (out, size, "%s/%s%lld%09ld.log", self->logs, prefix, (long long) now.tv_sec,
              now.tv_nsec);
}

//  ------------------------------------------------------------------------------------------------
//  Arguments and environment

//  A port of loopback that nobody has now. 0: none.
static unsigned s_free_port (void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool fine = fd != -1 && bind (fd, (struct sockaddr *) &address, size) == 0
                && getsockname (fd, (struct sockaddr *) &address, &size) == 0;
    if (fd != -1)
        close (fd);
    return fine ? ntohs (address.sin_port) : 0;
}

//  Ends with a NULL; the texts are the record's, or port's
static void s_arguments (umbp_worker_record_t *record, char **argv, char *port, size_t size)
{
    const json_t *info = json_object_get (record->json, "WorkerRunningInfo");
    const json_t *args = json_object_get (info, "args");
    size_t count = 0, index;
    json_t *arg;
    argv[count++] = (char *) umbp_record_text (info, "executable");
    json_array_foreach (args, index, arg)
    {
        argv[count] = (char *) json_string_value (arg);
        if (streq (argv[count], PORT)) {
            if (!record->port)
                record->port = s_free_port ();
            snprintf (port, size, "%u", record->port);
            argv[count] = port;
        }
        count++;
    }
    argv[count] = NULL;
}

static void s_set (void *arg, const char *name, const char *value)
{
    json_object_set_new (arg, name, json_string_nocheck (value));
}

//  Ours, without what is for this node alone and may be secret; then what the devices need, then
//  what the record says, then what we know the process by
static json_t *s_environment (umbp_worker_t *self, const umbp_worker_row_t *row)
{
    json_t *env = json_object ();
    const char *key;
    json_t *value;
    for (char **at = environ; *at; at++) {
        char name[256];
        size_t size = strcspn (*at, "=");
        if (size < sizeof name && (*at)[size] && strncmp (*at, "UMBP_", 5) != 0) {
            snprintf (name, sizeof name, "%.*s", (int) size, *at);
            json_object_set_new_nocheck (env, name, json_string_nocheck (*at + size + 1));
        }
    }
    umbp_allocator_env (self->allocator, &row->record, s_set, env);
    json_object_foreach (
        json_object_get (json_object_get (row->record.json, "WorkerRunningInfo"), "env"), key,
        value) json_object_set (env, key, value);
    s_set (env, UMBP_WORKER_ID, row->record.uid);
    s_set (env, UMBP_WORKER_HOME, self->folder);
    return env;
}

//  "NAME=VALUE" of each, then a NULL; free all of them
static char **s_strings (json_t *env)
{
    char **strings = zmalloc ((json_object_size (env) + 1) * sizeof *strings);
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach (env, key, value) count +=
        asprintf (&strings[count], "%s=%s", key, json_string_value (value)) >= 0;
    strings[count] = NULL;
    return strings;
}

int umbp_worker_launch (umbp_worker_t *self, umbp_worker_row_t *row, int64_t now, char *why,
                        size_t size)
{
    char *argv[UMBP_WORKER_ARGS_MAX + 2], port[16], log[PATH_MAX];
    s_arguments (&row->record, argv, port, sizeof port);
    s_log_path (self, row->record.uid, log, sizeof log);
    const char *folder =
        umbp_record_text (json_object_get (row->record.json, "WorkerRunningInfo"), "workingDir");
    json_t *env = s_environment (self, row);
    char **strings = s_strings (env);
    json_decref (env);
    int rc = umbp_process_start (row->process, argv, strings, *folder ? folder : NULL, log, now,
                                 why, size);
    for (char **at = strings; *at; at++)
        free (*at);
    free (strings);
    return rc;
}
