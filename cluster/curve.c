//  cluster/curve.c - keys of CURVE as CZMQ certificates. See curve.h for the contract.
#include "cluster/curve.h"

#include <czmq.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "cluster/keyring.h"
#include "proto/error.h"

#define FILE_MAX 65536                  //  Bytes in a certificate
#define PATH_ROOM 1024
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static int s_fail (int rc, char *why, size_t size, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

static int s_fail (int rc, char *why, size_t size, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    if (why)
        vsnprintf (why, size, format, args);
    va_end (args);
    return rc;
}

char *umbp_curve_text (const uint8_t *key, char *out)
{
    return zmq_z85_encode (out, key, UMBP_CURVE_KEY);
}

//  ------------------------------------------------------------------------------------------------
//  Words

static bool s_is_name (const char *name)
{
    size_t size = strlen (name);
    return size <= UMBP_NAME_MAX && strspn (name, NAME_CHARS) == size;
}

//  "tcp://host:" in front of the port. Returns its size, 0 if it is no endpoint.
static size_t s_host_size (umbp_text_t text)
{
    const char *colon = text.size ? memrchr (text.data, ':', text.size) : NULL;
    size_t size = colon ? (size_t) (colon - text.data) + 1 : 0;
    return size > strlen ("tcp://x") && memcmp (text.data, "tcp://", 6) == 0 ? size : 0;
}

static bool s_is_any_port (umbp_text_t text)
{
    return text.size > 2 && text.data[text.size - 1] == '*' && text.data[text.size - 2] == ':';
}

static umbp_text_t s_next (const char **list)
{
    const char *from = *list + strspn (*list, ", \t");
    size_t size = strcspn (from, ", \t");
    *list = from + size;
    return (umbp_text_t) { from, (uint32_t) size };
}

static bool s_is_endpoints (const char *list)
{
    if (strlen (list) > UMBP_TEXT_MAX)
        return false;
    for (umbp_text_t item = s_next (&list); item.size; item = s_next (&list)) {
        size_t host = s_host_size (item), port = item.size - host;
        if (host == 0 || port == 0
            || (!s_is_any_port (item) && strspn (item.data + host, "0123456789") < port))
            return false;
    }
    return true;
}

bool umbp_curve_serves (const umbp_curve_words_t *words, const char *endpoint)
{
    umbp_text_t asked = umbp_text (endpoint);
    size_t host = s_host_size (asked);
    const char *list = words->endpoint;
    for (umbp_text_t item = s_next (&list); item.size; item = s_next (&list)) {
        if (item.size == asked.size && memcmp (item.data, asked.data, asked.size) == 0)
            return true;
        if (s_is_any_port (item) && host == item.size - 1
            && memcmp (item.data, asked.data, host) == 0)
            return true;
    }
    return false;
}

//  ------------------------------------------------------------------------------------------------
//  Files

static bool s_take_key (zconfig_t *root, const char *path, uint8_t *key)
{
    const char *text = zconfig_get (root, path, NULL);
    return text && strlen (text) == UMBP_CURVE_TEXT - 1 && zmq_z85_decode (key, text);
}

//  Without words about a name, the file's own name is one: alice.cert is of alice
static void s_name_after (const char *path, char *out)
{
    const char *base = strrchr (path, '/');
    base = base ? base + 1 : path;
    size_t used = 0;
    for (const char *at = base; *at && used < UMBP_NAME_MAX; at++)
        out[used++] = strchr (NAME_CHARS, *at) ? *at : '_';
    out[used] = 0;
    char *dot = strrchr (out, '.');
    if (dot && dot != out)
        *dot = 0;
}

static int s_take_words (zconfig_t *root, const char *path, umbp_curve_words_t *words, char *why,
                         size_t size)
{
    const char *name = zconfig_get (root, "/metadata/name", ""),
               *node = zconfig_get (root, "/metadata/node", ""),
               *tenant = zconfig_get (root, "/metadata/tenant", ""),
               *endpoint = zconfig_get (root, "/metadata/endpoint", "");
    if (!s_is_name (name) || !s_is_name (node) || !s_is_name (tenant))
        return s_fail (
            UMBP_EINVAL, why, size,
            "%s: name, node and tenant in its metadata have at most %d of A-Z a-z 0-9 . _ -", path,
            UMBP_NAME_MAX);
    if (!s_is_endpoints (endpoint))
        return s_fail (UMBP_EINVAL, why, size,
                       "%s: endpoint in its metadata must be tcp://host:port,..., port * for any",
                       path);
    snprintf (words->node, sizeof words->node, "%s", node);
    snprintf (words->tenant, sizeof words->tenant, "%s", tenant);
    snprintf (words->endpoint, sizeof words->endpoint, "%s", endpoint);
    s_name_after (path, words->name);
    if (*name || *node)
        snprintf (words->name, sizeof words->name, "%s", *name ? name : node);
    return 0;
}

//  Not zconfig_load, which leaks a little for each file that is none, and such may lie there for long
static zconfig_t *s_parse (const char *path, size_t size)
{
    FILE *file = fopen (path, "r");
    char *text = zmalloc (size + 1);
    size_t used = file ? fread (text, 1, size, file) : 0;
    zconfig_t *root = used > 0 ? zconfig_str_load (text) : NULL;
    memset (text, 0, size);             //  It may be a secret
    free (text);
    if (file)
        fclose (file);
    return root;
}

//  The file as a tree. Returns NULL with *rc set if there is none.
static zconfig_t *s_load (const char *path, int *rc, char *why, size_t size)
{
    struct stat info;
    if (stat (path, &info) == -1 || access (path, R_OK) == -1) {
        *rc = s_fail (errno == ENOENT || errno == ENOTDIR ? UMBP_ENOENT : UMBP_EIO, why, size,
                      "%s: cannot be read: %s", path, strerror (errno));
        return NULL;
    }
    bool fits = S_ISREG (info.st_mode) && info.st_size > 0 && info.st_size <= FILE_MAX;
    zconfig_t *root = fits ? s_parse (path, (size_t) info.st_size) : NULL;
    if (!root)
        *rc =
            s_fail (UMBP_EINVAL, why, size, "%s: not a certificate, see umbp-console keygen", path);
    return root;
}

int umbp_curve_read (const char *path, umbp_curve_cert_t *cert, char *why, size_t size)
{
    int rc = 0;
    *cert = (umbp_curve_cert_t){ 0 };
    zconfig_t *root = s_load (path, &rc, why, size);
    if (!root)
        return rc;
    if (!s_take_key (root, "/curve/public-key", cert->public_key))
        rc = s_fail (UMBP_EINVAL, why, size,
                     "%s: not a certificate: it has no public-key, see umbp-console keygen", path);
    else
        rc = s_take_words (root, path, &cert->words, why, size);
    zconfig_destroy (&root);
    return rc;
}

//  Whether both are of one pair
static bool s_is_pair (const uint8_t *public_key, const uint8_t *secret_key)
{
    char secret[UMBP_CURVE_TEXT], expected[UMBP_CURVE_TEXT], given[UMBP_CURVE_TEXT];
    bool pair = zmq_curve_public (expected, umbp_curve_text (secret_key, secret)) == 0
                && streq (expected, umbp_curve_text (public_key, given));
    memset (secret, 0, sizeof secret);
    return pair;
}

int umbp_curve_read_own (const char *path, umbp_curve_cert_t *cert, uint8_t *secret_key, char *why,
                         size_t size)
{
    int rc = umbp_curve_read (path, cert, why, size);
    if (rc < 0)
        return rc;
    char secret_path[PATH_ROOM];
    snprintf (secret_path, sizeof secret_path, "%s_secret", path);
    zconfig_t *root = s_load (secret_path, &rc, why, size);
    if (!root)
        return rc;
    bool found = s_take_key (root, "/curve/secret-key", secret_key);
    zconfig_destroy (&root);
    struct stat info;
    if (!found)
        return s_fail (UMBP_EINVAL, why, size, "%s: it has no secret-key", secret_path);
    if (stat (secret_path, &info) == 0 && info.st_mode & (S_IROTH | S_IWOTH))
        return s_fail (UMBP_EDENIED, why, size,
                       "%s: every user of this host may read it: chmod 600, and if others were "
                       "there make a new pair",
                       secret_path);
    if (!s_is_pair (cert->public_key, secret_key))
        return s_fail (UMBP_EINVAL, why, size, "%s: its key is not the other half of %s",
                       secret_path, path);
    return 0;
}

//  ------------------------------------------------------------------------------------------------
//  For sockets

static bool s_is_folder (const char *path)
{
    struct stat info;
    return stat (path, &info) == 0 && S_ISDIR (info.st_mode);
}

//  The public key of whoever serves at an endpoint
static int s_server_key (const char *server, const char *endpoint, uint8_t *key, char *why,
                         size_t size)
{
    umbp_curve_cert_t cert;
    if (!s_is_folder (server)) {
        int rc = umbp_curve_read (server, &cert, why, size);
        memcpy (key, cert.public_key, UMBP_CURVE_KEY);
        return rc;
    }
    umbp_keyring_t *ring = umbp_keyring_new ();
    int rc = umbp_keyring_add_folder (ring, server, UMBP_PASS_NODE, why, size);
    const umbp_pass_t *pass = rc < 0 ? NULL : umbp_keyring_at (ring, endpoint);
    if (pass)
        memcpy (key, pass->cert.public_key, UMBP_CURVE_KEY);
    else if (rc >= 0)
        rc =
            s_fail (UMBP_ENOENT, why, size, "%s: no certificate in it is for %s", server, endpoint);
    umbp_keyring_destroy (&ring);
    return rc < 0 ? rc : 0;
}

int umbp_curve_client (umbp_curve_t *curve, const char *certificate, const char *server,
                       const char *endpoint, char *why, size_t size)
{
    *curve = (umbp_curve_t){ 0 };
    bool has_own = certificate && *certificate, has_server = server && *server;
    if (!has_own && !has_server)
        return 0;
    if (!has_own || !has_server)
        return s_fail (UMBP_EINVAL, why, size,
                       "a certificate of one's own and the server's go together: the %s is missing",
                       has_own ? "server's" : "own one");
    umbp_curve_cert_t cert;
    int rc = umbp_curve_read_own (certificate, &cert, curve->secret_key, why, size);
    if (rc == 0)
        rc = s_server_key (server, endpoint, curve->server_key, why, size);
    memcpy (curve->public_key, cert.public_key, UMBP_CURVE_KEY);
    curve->on = rc == 0;
    return rc;
}

bool umbp_curve_apply (const umbp_curve_t *curve, void *socket)
{
    if (!curve->on)
        return true;
    return zmq_setsockopt (socket, ZMQ_CURVE_PUBLICKEY, curve->public_key, UMBP_CURVE_KEY) == 0
           && zmq_setsockopt (socket, ZMQ_CURVE_SECRETKEY, curve->secret_key, UMBP_CURVE_KEY) == 0
           && zmq_setsockopt (socket, ZMQ_CURVE_SERVERKEY, curve->server_key, UMBP_CURVE_KEY) == 0;
}

//  ------------------------------------------------------------------------------------------------
//  Making one

static int s_save (zcert_t *cert, const char *path, const char *secret_path, char *why, size_t size)
{
    if (zcert_save (cert, path) == 0 && chmod (secret_path, S_IRUSR | S_IWUSR) == 0)
        return 0;
    return s_fail (UMBP_EIO, why, size, "%s: cannot be written: %s", path, strerror (errno));
}

int umbp_curve_make (const char *path, const umbp_curve_words_t *words, char *why, size_t size)
{
    char secret_path[PATH_ROOM];
    if (!s_is_name (words->name) || !s_is_name (words->node) || !s_is_name (words->tenant))
        return s_fail (UMBP_EINVAL, why, size,
                       "name, node, tenant: allowed are %d of A-Z a-z 0-9 . _ -", UMBP_NAME_MAX);
    if (!s_is_endpoints (words->endpoint))
        return s_fail (UMBP_EINVAL, why, size,
                       "endpoint: allowed are tcp://host:port,..., port * for any");
    if (snprintf (secret_path, sizeof secret_path, "%s_secret", path) >= (int) sizeof secret_path)
        return s_fail (UMBP_EINVAL, why, size, "%.80s...: too long a name", path);
    if (access (path, F_OK) == 0 || access (secret_path, F_OK) == 0)
        return s_fail (UMBP_EEXIST, why, size, "%s: there is one already, and it stays", path);
    zcert_t *cert = zcert_new ();
    if (!cert)
        return s_fail (UMBP_ENOTSUP, why, size, "this ZeroMQ was built without CURVE");
    if (*words->name)
        zcert_set_meta (cert, "name", "%s", words->name);
    if (*words->node)
        zcert_set_meta (cert, "node", "%s", words->node);
    if (*words->tenant)
        zcert_set_meta (cert, "tenant", "%s", words->tenant);
    if (*words->endpoint)
        zcert_set_meta (cert, "endpoint", "%s", words->endpoint);
    int rc = s_save (cert, path, secret_path, why, size);
    zcert_destroy (&cert);
    return rc;
}
