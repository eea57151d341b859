//  cluster/quotas.c - how many bytes of each tier each tenant may use. See quotas.h. The file is
//  read line by line, and not by zconfig, which does not say which line is wrong.
#include "cluster/quotas.h"

#include <czmq.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "proto/error.h"

#define LINE_ROOM 512
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

typedef struct {
    char tenant[UMBP_NAME_MAX + 1];
    uint64_t limits[UMBP_QUOTA_TIERS];
    unsigned qos;
    bool has_qos;                       //  The file said it
} row_t;

struct umbp_quotas {
    size_t count;
    row_t rows[UMBP_TENANTS_MAX];
};

static const char *const s_tiers[UMBP_QUOTA_TIERS] = { "", "hbm", "dram", "nvme", "shared" };

umbp_quotas_t *umbp_quotas_new (void)
{
    return zmalloc (sizeof (umbp_quotas_t));
}

void umbp_quotas_destroy (umbp_quotas_t **self_p)
{
    assert (self_p);
    freen (*self_p);
}

static const row_t *s_find (const umbp_quotas_t *self, umbp_text_t tenant)
{
    for (size_t index = 0; index < self->count; index++)
        if (umbp_text_is (tenant, self->rows[index].tenant))
            return &self->rows[index];
    return NULL;
}

//  The row of a tenant, new or known; NULL if there are too many
static row_t *s_row (umbp_quotas_t *self, const char *tenant)
{
    const row_t *known = s_find (self, umbp_text (tenant));
    if (known)
        return &self->rows[known - self->rows];
    if (self->count == UMBP_TENANTS_MAX)
        return NULL;
    row_t *row = &self->rows[self->count++];
    snprintf (row->tenant, sizeof row->tenant, "%s", tenant);
    row->qos = UMBP_QOS_MEDIUM;
    for (size_t tier = 0; tier < UMBP_QUOTA_TIERS; tier++)
        row->limits[tier] = UMBP_QUOTA_NONE;
    return row;
}

int umbp_quotas_set (umbp_quotas_t *self, const char *tenant, unsigned tier, uint64_t bytes)
{
    row_t *row = s_row (self, tenant);
    if (!row)
        return UMBP_ENOSPC;
    row->limits[tier] = bytes;
    return 0;
}

int umbp_quotas_set_qos (umbp_quotas_t *self, const char *tenant, unsigned qos)
{
    row_t *row = s_row (self, tenant);
    if (!row)
        return UMBP_ENOSPC;
    row->qos = qos < UMBP_QOS_COUNT ? qos : UMBP_QOS_CRITICAL;
    return 0;
}

umbp_quotas_t *umbp_quotas_copy (const umbp_quotas_t *self)
{
    umbp_quotas_t *copy = umbp_quotas_new ();
    *copy = *self;
    return copy;
}

//  What is said of a tenant, itself or among others; NULL: nothing
static const row_t *s_row_of (const umbp_quotas_t *self, umbp_text_t tenant)
{
    const row_t *row = s_find (self, tenant);
    return row || tenant.size == 0 ? row : s_find (self, umbp_text (UMBP_QUOTA_OTHERS));
}

uint64_t umbp_quotas_limit (const umbp_quotas_t *self, umbp_text_t tenant, unsigned tier)
{
    const row_t *row = s_row_of (self, tenant);
    return row ? row->limits[tier] : UMBP_QUOTA_NONE;
}

unsigned umbp_quotas_qos (const umbp_quotas_t *self, umbp_text_t tenant)
{
    const row_t *row = s_row_of (self, tenant);
    return row ? row->qos : UMBP_QOS_MEDIUM;
}

const char *umbp_qos_name (unsigned qos)
{
    static const char *const names[UMBP_QOS_COUNT] = { "low", "medium", "high", "critical" };
    return qos < UMBP_QOS_COUNT ? names[qos] : "?";
}

const char *umbp_quotas_at (const umbp_quotas_t *self, size_t index, unsigned tier, uint64_t *bytes)
{
    if (index >= self->count)
        return NULL;
    *bytes = self->rows[index].limits[tier];
    return self->rows[index].tenant;
}

//  ------------------------------------------------------------------------------------------------
//  The file

typedef struct {
    const char *path;
    unsigned line;
    char *why;
    size_t why_size;
    row_t *row;                         //  Of the tenant above
    umbp_quotas_t *quotas;
} reader_t;

static int s_wrong (const reader_t *reader, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static int s_wrong (const reader_t *reader, const char *format, ...)
{
    char what[256];
    va_list args;
    va_start (args, format);
    vsnprintf (what, sizeof what, format, args);
    va_end (args);
    if (reader->why)
        snprintf (reader->why, reader->why_size, "%.300s:%u: %s", reader->path, reader->line, what);
    return UMBP_EINVAL;
}

//  "20GiB" -> bytes. Returns false if it is no size.
static bool s_take_bytes (const char *text, uint64_t *bytes)
{
    static const char *const units[] = { "", "KiB", "MiB", "GiB", "TiB" };
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    uint64_t number = strtoull (text, &end, 10);
    for (unsigned unit = 0; errno == 0 && unit < sizeof units / sizeof *units; unit++)
        if (streq (end, units[unit]) || (unit == 0 && streq (end, "B"))) {
            *bytes = number << 10 * unit;
            return *bytes >> 10 * unit == number && *bytes != UMBP_QUOTA_NONE;
        }
    return false;
}

//  name = value: cut into both, in place. Returns false if it is none.
static bool s_split (char *text, char **value)
{
    char *equals = strchr (text, '=');
    if (!equals)
        return false;
    *value = equals + 1 + strspn (equals + 1, " \t");
    while (equals > text && (equals[-1] == ' ' || equals[-1] == '\t'))
        equals--;
    *equals = 0;
    size_t size = strlen (*value);
    if (size > 1 && (**value == '"' || **value == '\'') && (*value)[size - 1] == **value) {
        (*value)[size - 1] = 0;
        (*value)++;
    }
    return true;
}

static int s_take_tenant (reader_t *reader, const char *name, const char *tenant)
{
    size_t size = strlen (tenant);
    if (strneq (name, "tenant"))
        return s_wrong (reader, "unknown: %.64s; allowed: tenant = NAME", name);
    if (strneq (tenant, UMBP_QUOTA_OTHERS)
        && (size > UMBP_NAME_MAX || strspn (tenant, NAME_CHARS) != size))
        return s_wrong (reader,
                        "tenant: allowed are %d of A-Z a-z 0-9 . _ -, or * for all that are not "
                        "named, or \"\" for the default tenant",
                        UMBP_NAME_MAX);
    if (s_find (reader->quotas, umbp_text (tenant)))
        return s_wrong (reader, "tenant %s was named before: say it once", tenant);
    reader->row = s_row (reader->quotas, tenant);
    return reader->row ? 0 : s_wrong (reader, "at most %d tenants can be named", UMBP_TENANTS_MAX);
}

static int s_take_qos (reader_t *reader, const char *text)
{
    unsigned qos = 0;
    if (!reader->row)
        return s_wrong (reader, "qos: whose? A line tenant = NAME goes before it");
    if (reader->row->has_qos)
        return s_wrong (reader, "qos was said before for this tenant: say it once");
    while (qos < UMBP_QOS_COUNT && strneq (text, umbp_qos_name (qos)))
        qos++;
    if (qos == UMBP_QOS_COUNT)
        return s_wrong (reader, "qos: unknown: %.64s; allowed: low, medium, high, critical", text);
    reader->row->qos = qos;
    reader->row->has_qos = true;
    return 0;
}

static int s_take_limit (reader_t *reader, const char *name, const char *text)
{
    unsigned tier = 1;
    if (streq (name, "qos"))
        return s_take_qos (reader, text);
    while (tier < UMBP_QUOTA_TIERS && strneq (name, s_tiers[tier]))
        tier++;
    if (tier == UMBP_QUOTA_TIERS)
        return s_wrong (reader, "unknown tier: %.64s; allowed: hbm, dram, nvme, shared", name);
    if (!reader->row)
        return s_wrong (reader, "%s: whose? A line tenant = NAME goes before it", name);
    if (reader->row->limits[tier] != UMBP_QUOTA_NONE)
        return s_wrong (reader, "%s was said before for this tenant: say it once", name);
    if (!s_take_bytes (text, &reader->row->limits[tier]))
        return s_wrong (reader, "%s: not a size: %.64s; allowed: 0, 500MiB, 20GiB", name, text);
    return 0;
}

static int s_take_line (reader_t *reader, char *line)
{
    char *value, *end = line + strcspn (line, "#\r\n");
    while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = 0;
    char *text = line + strspn (line, " \t");
    if (!*text)
        return 0;
    if (!s_split (text, &value))
        return s_wrong (reader, "not NAME = VALUE: %.64s", text);
    return text == line ? s_take_tenant (reader, text, value) : s_take_limit (reader, text, value);
}

umbp_quotas_t *umbp_quotas_read (const char *path, char *why, size_t size)
{
    reader_t reader = { .path = path, .why = why, .why_size = size };
    char line[LINE_ROOM];
    FILE *file = fopen (path, "r");
    if (!file) {
        snprintf (why, size, "%.300s: cannot be read: %s", path, strerror (errno));
        return NULL;
    }
    reader.quotas = umbp_quotas_new ();
    int rc = 0;
    while (rc == 0 && fgets (line, sizeof line, file)) {
        reader.line++;
        if (strlen (line) == sizeof line - 1 && line[sizeof line - 2] != '\n')
            rc = s_wrong (&reader, "longer than %d bytes", LINE_ROOM - 2);
        else
            rc = s_take_line (&reader, line);
    }
    if (rc == 0 && ferror (file))
        rc = s_wrong (&reader, "cannot be read: %s", strerror (errno));
    fclose (file);
    if (rc < 0)
        umbp_quotas_destroy (&reader.quotas);
    return reader.quotas;
}

uint64_t umbp_quotas_stamp (const char *path)
{
    struct stat info;
    if (!path || !*path)
        return 1;
    if (stat (path, &info) == -1)
        return 0;
    const uint64_t facts[] = { (uint64_t) info.st_ino, (uint64_t) info.st_size,
                               (uint64_t) info.st_mtim.tv_sec, (uint64_t) info.st_mtim.tv_nsec };
    return XXH3_64bits (facts, sizeof facts) | 2;
}
