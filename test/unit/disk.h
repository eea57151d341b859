//  test/unit/disk.h - a folder that stands for a disk, and a node that has it
#ifndef UMBP_TEST_DISK_H
#define UMBP_TEST_DISK_H

#include <dirent.h>

#include "test/unit/gauge.h"
#include "test/unit/nodes.h"

//  The folder, and the files in it
static inline void disk_erase (const char *folder)
{
    DIR *dir = opendir (folder);
    char path[512];
    for (struct dirent *entry; dir && (entry = readdir (dir));) {
        snprintf (path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink (path);
    }
    if (dir)
        closedir (dir);
    rmdir (folder);
}

#endif
