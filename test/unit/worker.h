//  test/unit/worker.h - a folder of state files, and a program to write them as others would
#ifndef UMBP_TEST_WORKER_H
#define UMBP_TEST_WORKER_H

#include <CUnit/Basic.h>
#include <czmq.h>
#include <dirent.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[64];                 //  Of this test, empty again for each

static inline const char *folder_path (const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf (path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

static inline void folder_empty (const char *path)
{
    DIR *dir = opendir (path);
    for (struct dirent *entry = dir ? readdir (dir) : NULL; entry; entry = readdir (dir)) {
        char name[PATH_MAX + 256];
        struct stat info;
        snprintf (name, sizeof name, "%.4000s/%.255s", path, entry->d_name);
        if (streq (entry->d_name, ".") || streq (entry->d_name, "..") || lstat (name, &info) == -1)
            continue;
        if (S_ISDIR (info.st_mode)) {
            folder_empty (name);
            rmdir (name);
        } else
            unlink (name);
    }
    if (dir)
        closedir (dir);
}

static inline void folder_begin (void)
{
    snprintf (folder, sizeof folder, "/tmp/umbp-worker-XXXXXX");
    CU_ASSERT_FATAL (mkdtemp (folder) != NULL);
}

static inline void folder_end (void)
{
    folder_empty (folder);
    rmdir (folder);
}

//  As an editor does that writes beside it and renames
static inline void folder_put (const char *name, const char *text)
{
    const char *path = folder_path (name), *fresh = folder_path ("editor's");
    FILE *file = fopen (fresh, "w");
    CU_ASSERT_FATAL (file != NULL && fputs (text, file) >= 0 && fclose (file) == 0);
    CU_ASSERT_FATAL (rename (fresh, path) == 0);
}

//  As one that writes over it
static inline void folder_put_inplace (const char *name, const char *text)
{
    FILE *file = fopen (folder_path (name), "w");
    CU_ASSERT_FATAL (file != NULL && fputs (text, file) >= 0 && fclose (file) == 0);
}

static inline json_t *folder_get (const char *name)
{
    return json_load_file (folder_path (name), 0, NULL);
}

static inline bool folder_has (const char *name)
{
    struct stat info;
    return lstat (folder_path (name), &info) == 0;
}

//  Files whose names begin so
static inline size_t folder_count (const char *prefix)
{
    size_t count = 0;
    DIR *dir = opendir (folder);
    for (struct dirent *entry = dir ? readdir (dir) : NULL; entry; entry = readdir (dir))
        count += strncmp (entry->d_name, prefix, strlen (prefix)) == 0;
    if (dir)
        closedir (dir);
    return count;
}

//  Five keys, as the first of these programs had them
#define SEED_EXAMPLE                                                                               \
    "[\n  {\n    \"WorkerUID\": \"worker-1\",\n    \"Namespace\": \"\",\n"                         \
    "    \"WorkerName\": \"my-worker\",\n    \"AllocatedDevices\": [\"gpu-uuid-0\"],\n"            \
    "    \"Status\": \"Running\"\n  }\n]\n"

//  All keys, as the last one has them, null where Go has nothing, and some that nobody knows
#define FULL_RECORD                                                                                \
    "[null, {\"WorkerUID\": \"w-full\", \"Namespace\": \"ns\", \"WorkerName\": \"full\","          \
    " \"AllocatedDevices\": [\"GPU-A\", \"gpu-b\"], \"Status\": \"Pending\", \"QoS\": \"high\","   \
    " \"IsolationMode\": \"hard\", \"Requests\": {\"tflops\": \"0\", \"compute\": \"0\","          \
    " \"vram\": \"0\"}, \"Limits\": {\"tflops\": \"78\", \"compute\": \"0\","                      \
    " \"vram\": \"24Gi\"}, \"WorkloadName\": \"load\", \"WorkloadNamespace\": \"ns\","             \
    " \"PartitionTemplateID\": \"\", \"Labels\": {\"a\": \"b\"}, \"Annotations\": null,"           \
    " \"WorkerRunningInfo\": null, \"DeletedAt\": 0,"                                              \
    " \"Unheard\": {\"of\": [1, 2.5, \"\\u00e9\"]}}, 17, {\"NoUid\": true}]\n"

#endif
