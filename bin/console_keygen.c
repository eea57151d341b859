//  bin/console_keygen.c - the console's command that makes certificates. It asks no node.
#include "bin/console.h"

#include "cluster/curve.h"

#define FILE_DEFAULT "umbp.cert"

//  Returns false if a word does not fit
static bool s_take (char *to, size_t size, const char *word)
{
    return !word || (size_t) snprintf (to, size, "%s", word) < size;
}

int umbp_console_keygen (umbp_console_t *self, int argc, char **argv)
{
    (void) argc;
    (void) argv;
    const char *file = self->out ? self->out : FILE_DEFAULT;
    char why[UMBP_TEXT_MAX] = "", key[UMBP_CURVE_TEXT];
    umbp_curve_words_t words = { 0 };
    if (!s_take (words.tenant, sizeof words.tenant, self->tenant)
        || !s_take (words.name, sizeof words.name, self->name)
        || !s_take (words.node, sizeof words.node, self->node)
        || !s_take (words.endpoint, sizeof words.endpoint, self->at))
        return umbp_console_usage (
            self,
            "keygen: --name, --node, --tenant or --at is too long; allowed: %d "
            "bytes, --at %d",
            UMBP_NAME_MAX, UMBP_TEXT_MAX);
    int rc = umbp_curve_make (file, &words, why, sizeof why);
    if (rc == UMBP_EINVAL)
        return umbp_console_usage (self, "keygen: %s", why);
    umbp_curve_cert_t cert;
    if (rc == 0)
        rc = umbp_curve_read (file, &cert, why, sizeof why);
    if (rc < 0)
        return umbp_console_fail (self, rc, "keygen", why);
    umbp_curve_text (cert.public_key, key);
    json_t *doc =
        json_pack ("{s:o, s:s+, s:s, s:s}", "certificate", umbp_view_text (file, strlen (file)),
                   "secret", file, "_secret", "name", cert.words.name, "key", key);
    if (!umbp_console_json (self, doc))
        printf ("%s is for others; %s_secret is for its owner alone\nname=%s key=%s\n", file, file,
                cert.words.name, key);
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}
