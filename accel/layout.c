//  accel/layout.c - tells layouts of accelerator libraries apart and reads them. See layout.h.
#include "accel/layout.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "accel/abi.h"

#define MEMORY_MIN (UINT64_C (1) << 20)
#define MEMORY_MAX (UINT64_C (64) << 40)
#define NUMA_MAX 1023
#define PCIE_GEN_MAX 8
#define TFLOPS_MAX 1e9

static const struct {
    size_t stride;
    unsigned low, high;                 //  Generations
} s_strides[] = {
    { sizeof (umbp_abi_device1_t), 1, 1 },
    { sizeof (umbp_abi_device2_t), 2, 3 },
    { sizeof (umbp_abi_device4_t), 4, 4 },
    { sizeof (umbp_abi_device5_t), 5, 5 },
};

size_t umbp_layout_written (const void *buffer, size_t size)
{
    const uint8_t *bytes = buffer;
    while (size > 0 && bytes[size - 1] == UMBP_LAYOUT_BLANK)
        size--;
    return size;
}

int umbp_layout_stride (const void *buffer, size_t size, char why[UMBP_LAYOUT_WHY_MAX])
{
    size_t written = umbp_layout_written (buffer, size);
    for (size_t row = 0; row < sizeof s_strides / sizeof *s_strides; row++)
        if (s_strides[row].stride == written)
            return (int) written;
    snprintf (why, UMBP_LAYOUT_WHY_MAX,
              "it wrote %zu bytes for one device; known layouts have 20896, 20912, 20976 and "
              "53688: rebuild it for one of these",
              written);
    return UMBP_ENOTSUP;
}

unsigned umbp_layout_generation (size_t stride, unsigned at_least)
{
    for (size_t row = 0; row < sizeof s_strides / sizeof *s_strides; row++) {
        unsigned low = s_strides[row].low, high = s_strides[row].high;
        if (s_strides[row].stride != stride)
            continue;
        //  Names changed twice, after the first and the second generation
        if (at_least < 3)
            return low <= at_least && at_least <= high ? at_least : 0;
        return high >= 3 ? high : 0;
    }
    return 0;
}

//  --------------------------------------------------------------------------------------------------
//  Texts

bool umbp_layout_text (const char *from, size_t size, char *out, size_t out_size)
{
    size_t length = strnlen (from, size);
    if (length == size || length >= out_size)
        return false;
    for (size_t index = 0; index < length; index++)
        if ((unsigned char) from[index] < 0x20 || (unsigned char) from[index] > 0x7e)
            return false;
    memcpy (out, from, length);
    memset (out + length, 0, out_size - length);
    return true;
}

void umbp_layout_key (const char *uuid, char key[UMBP_DEVICE_UUID_MAX])
{
    size_t index = 0;
    for (; index < UMBP_DEVICE_UUID_MAX - 1 && uuid[index]; index++)
        key[index] = (char) tolower ((unsigned char) uuid[index]);
    memset (key + index, 0, UMBP_DEVICE_UUID_MAX - index);
}

//  --------------------------------------------------------------------------------------------------
//  Devices

static int s_refuse (char why[UMBP_LAYOUT_WHY_MAX], const char *field, const char *what)
{
    snprintf (why, UMBP_LAYOUT_WHY_MAX, "%s %s: this is no layout that we know", field, what);
    return UMBP_EINVAL;
}

//  The front of any record as the last generation has it. Records need not be aligned in a buffer.
static void s_read_basic (size_t stride, const char *record, umbp_abi_basic5_t *basic,
                          size_t *basic_size)
{
    memset (basic, 0, sizeof *basic);
    if (stride == sizeof (umbp_abi_device1_t)) {
        umbp_abi_basic1_t old;
        memcpy (&old, record, sizeof old);
        memcpy (basic, &old, offsetof (umbp_abi_basic1_t, driver));
        memcpy (basic->driver, old.driver, sizeof old.driver);
        memcpy (basic->firmware, old.firmware, sizeof old.firmware);
        memcpy (&basic->index, &old.index, sizeof old - offsetof (umbp_abi_basic1_t, index));
        *basic_size = sizeof old;
    } else if (stride == sizeof (umbp_abi_device5_t)) {
        memcpy (basic, record, sizeof *basic);
        *basic_size = sizeof *basic;
    } else {
        umbp_abi_basic2_t old;
        memcpy (&old, record, sizeof old);
        memcpy (basic, &old, offsetof (umbp_abi_basic2_t, index));
        memcpy (&basic->index, &old.index, sizeof old - offsetof (umbp_abi_basic2_t, index));
        *basic_size = sizeof old;
    }
}

static int s_check_basic (const umbp_abi_basic5_t *basic, umbp_device_t *out,
                          char why[UMBP_LAYOUT_WHY_MAX])
{
    if (!umbp_layout_text (basic->uuid, sizeof basic->uuid, out->uuid, sizeof out->uuid)
        || !*out->uuid)
        return s_refuse (why, "uuid", "is empty, too long or not printable");
    if (!umbp_layout_text (basic->vendor, sizeof basic->vendor, out->vendor, sizeof out->vendor)
        || !umbp_layout_text (basic->model, sizeof basic->model, out->model, sizeof out->model)
        || !umbp_layout_text (basic->driver, sizeof basic->driver, out->driver, sizeof out->driver)
        || !umbp_layout_text (basic->firmware, sizeof basic->firmware, out->firmware,
                              sizeof out->firmware)
        || !umbp_layout_text (basic->node, sizeof basic->node, out->node, sizeof out->node))
        return s_refuse (why, "vendor, model, driver, firmware or node", "is not printable");
    if (basic->numa < -1 || basic->numa > NUMA_MAX)
        return s_refuse (why, "numa node", "is not within -1..1023");
    if (basic->memory_bytes < MEMORY_MIN || basic->memory_bytes > MEMORY_MAX)
        return s_refuse (why, "memory", "is not within 1 MiB..64 TiB");
    if (basic->pcie_gen > PCIE_GEN_MAX)
        return s_refuse (why, "PCIe generation", "is above 8");
    if (!isfinite (basic->tflops) || basic->tflops < 0 || basic->tflops > TFLOPS_MAX)
        return s_refuse (why, "TFLOPS", "are no such number");
    return 0;
}

//  Properties that are not texts are left out: a device is not refused for a curious clock
static void s_read_properties (const char *at, size_t count, umbp_device_t *out)
{
    for (size_t row = 0; row < count; row++) {
        const char *property = at + row * sizeof (umbp_abi_property_t);
        umbp_device_property_t *to = &out->properties[out->property_count];
        if (umbp_layout_text (property, sizeof to->key, to->key, sizeof to->key) && *to->key
            && umbp_layout_text (property + sizeof to->key, sizeof to->value, to->value,
                                 sizeof to->value))
            out->property_count++;
        else
            memset (to, 0, sizeof *to);
    }
}

//  In memory a bool may be any byte
static uint32_t s_caps (const uint8_t *flags)
{
    uint32_t caps = 0;
    for (unsigned bit = 0; bit < 6; bit++)
        caps |= flags[bit] ? 1u << bit : 0;
    return caps;
}

int umbp_layout_device (size_t stride, const void *record, umbp_device_t *out,
                        char why[UMBP_LAYOUT_WHY_MAX])
{
    umbp_abi_basic5_t basic;
    size_t at, count;
    memset (out, 0, sizeof *out);
    s_read_basic (stride, record, &basic, &at);
    int rc = s_check_basic (&basic, out, why);
    if (rc < 0)
        return rc;
    const char *properties = (const char *) record + at;
    memcpy (&count, properties + offsetof (umbp_abi_properties_t, count), sizeof count);
    if (count > UMBP_ABI_PROPERTIES_MAX)
        return s_refuse (why, "count of properties", "is above 64");
    umbp_layout_key (out->uuid, out->key);
    out->index = basic.index;
    out->numa = basic.numa;
    out->memory_bytes = basic.memory_bytes;
    out->units = basic.units;
    out->gflops = (uint64_t) (basic.tflops * 1000 + 0.5);
    out->pcie_gen = basic.pcie_gen;
    out->pcie_width = basic.pcie_width;
    s_read_properties (properties, count, out);
    const uint8_t *caps = (const uint8_t *) properties + sizeof (umbp_abi_properties_t);
    out->caps = s_caps (caps);
    memcpy (&out->partitions_max, caps + offsetof (umbp_abi_caps_t, partitions_max), 4);
    memcpy (&out->workers_max, caps + offsetof (umbp_abi_caps_t, workers_max), 4);
    return 0;
}

//  --------------------------------------------------------------------------------------------------
//  Topology

//  The sizes of one of the two layouts
typedef struct {
    size_t peer, row, count_at, size;
} shape_t;

static const shape_t s_shapes[] = {
    { sizeof (umbp_abi_peer_t), sizeof (umbp_abi_row_t), offsetof (umbp_abi_topology_t, count),
      sizeof (umbp_abi_topology_t) },
    { sizeof (umbp_abi_wide_peer_t), sizeof (umbp_abi_wide_row_t),
      offsetof (umbp_abi_wide_topology_t, count), sizeof (umbp_abi_wide_topology_t) },
};

static const umbp_device_t *s_find (const umbp_device_t *devices, size_t count, const char *key)
{
    for (size_t index = 0; index < count; index++)
        if (strcmp (devices[index].key, key) == 0)
            return &devices[index];
    return NULL;
}

static const umbp_device_t *s_find_uuid (const umbp_device_t *devices, size_t count,
                                         const char *uuid)
{
    char text[UMBP_DEVICE_UUID_MAX], key[UMBP_DEVICE_UUID_MAX];
    if (!umbp_layout_text (uuid, UMBP_ABI_UUID_MAX, text, sizeof text))
        return NULL;
    umbp_layout_key (text, key);
    return s_find (devices, count, key);
}

//  One row. Returns how many peers it added, or -1 if it is not as it has to be.
static int s_read_row (const shape_t *shape, const char *row, const umbp_device_t *devices,
                       size_t device_count, umbp_device_peer_t *out, size_t max)
{
    size_t peers, used = 0;
    const umbp_device_t *self = s_find_uuid (devices, device_count, row);
    memcpy (&peers, row + shape->row - sizeof peers, sizeof peers);
    if (!self || peers > UMBP_ABI_PEERS_MAX)
        return -1;
    for (size_t index = 0; index < peers; index++) {
        const char *peer = row + offsetof (umbp_abi_row_t, peers) + index * shape->peer;
        const umbp_device_t *other = s_find_uuid (devices, device_count, peer);
        int32_t level;
        memcpy (&level, peer + offsetof (umbp_abi_peer_t, level), sizeof level);
        if (!other || level < 0 || level > UMBP_ABI_UNKNOWN)
            return -1;
        if (other == self || level == UMBP_ABI_SELF)
            continue;
        if (used == max)
            return -1;
        memcpy (out[used].one, self->key, sizeof self->key);
        memcpy (out[used].other, other->key, sizeof other->key);
        out[used++].level = (uint8_t) level;
    }
    return (int) used;
}

int umbp_layout_topology (const void *buffer, size_t size, const umbp_device_t *devices,
                          size_t device_count, umbp_device_peer_t *out, size_t max,
                          char why[UMBP_LAYOUT_WHY_MAX])
{
    size_t written = umbp_layout_written (buffer, size), count, used = 0;
    for (size_t index = 0; index < sizeof s_shapes / sizeof *s_shapes; index++) {
        const shape_t *shape = &s_shapes[index];
        if (written != shape->size)
            continue;
        memcpy (&count, (const char *) buffer + shape->count_at, sizeof count);
        if (count > UMBP_ABI_DEVICES_MAX)
            break;
        for (size_t row = 0; row < count; row++) {
            int rc = s_read_row (shape, (const char *) buffer + row * shape->row, devices,
                                 device_count, out + used, max - used);
            if (rc < 0) {
                snprintf (why, UMBP_LAYOUT_WHY_MAX,
                          "row %zu names an unknown device or level: the topology is dropped", row);
                return UMBP_EINVAL;
            }
            used += (size_t) rc;
        }
        return (int) used;
    }
    snprintf (why, UMBP_LAYOUT_WHY_MAX,
              "it wrote %zu bytes of topology; known layouts have 300040 and 332808: dropped",
              written);
    return UMBP_EINVAL;
}
