//  proto/scope.c - keys of tenants. See scope.h.
#include "proto/scope.h"

#include <assert.h>

size_t umbp_scope_write (const char *tenant, uint8_t *out)
{
    size_t size = strlen (tenant);
    assert (size <= UMBP_NAME_MAX);
    memcpy (out, UMBP_SCOPE_MARK, UMBP_SCOPE_MARK_SIZE);
    out[UMBP_SCOPE_MARK_SIZE] = (uint8_t) size;
    memcpy (out + UMBP_SCOPE_HEAD, tenant, size);
    return UMBP_SCOPE_HEAD + size;
}

//  Whether any item of the default tenant looks as if it had a scope
static bool s_has_marks (umbp_column_t in)
{
    size_t offset = 0;
    for (size_t index = 0; index < in.count; index++) {
        umbp_bytes_t item = umbp_column_next (&in, index, &offset);
        if (umbp_scope_is_marked (item.data, item.size))
            return true;
    }
    return false;
}

umbp_column_t umbp_scope_column (umbp_column_t in, const char *tenant, uint8_t *bytes,
                                 uint16_t *sizes)
{
    if (!*tenant && !s_has_marks (in))
        return in;
    uint8_t scope[UMBP_SCOPE_MAX];
    size_t scope_size = umbp_scope_write (tenant, scope), offset = 0;
    umbp_column_t out = { bytes, sizes, 0, in.count };
    for (size_t index = 0; index < in.count; index++) {
        umbp_bytes_t item = umbp_column_next (&in, index, &offset);
        size_t before = *tenant || umbp_scope_is_marked (item.data, item.size) ? scope_size : 0;
        memcpy (bytes + out.size, scope, before);
        memcpy (bytes + out.size + before, item.data, item.size);
        sizes[index] = (uint16_t) (before + item.size);
        out.size += sizes[index];
    }
    return out;
}
