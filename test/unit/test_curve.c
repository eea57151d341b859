//  test/unit/test_curve.c - certificates: made, read, refused, and put together to keyrings
#include "cluster/curve.h"

#include "test/unit/certs.h"

#include <unistd.h>

static char s_why[2048];

static void test_makes_pairs (void)
{
    umbp_curve_words_t words = { .name = "alice", .endpoint = "tcp://10.0.0.1:7710" };
    const char *path = certs_make ("alice.cert", words);
    char secret[256];
    snprintf (secret, sizeof secret, "%s_secret", path);
    struct stat info;
    CU_ASSERT (stat (secret, &info) == 0 && (info.st_mode & 0777) == 0600);
    umbp_curve_cert_t cert, again;
    uint8_t key[UMBP_CURVE_KEY], zero[UMBP_CURVE_KEY] = { 0 };
    CU_ASSERT (umbp_curve_read_own (path, &cert, key, s_why, sizeof s_why) == 0);
    CU_ASSERT (memcmp (key, zero, sizeof key) != 0);
    CU_ASSERT_STRING_EQUAL (cert.words.name, "alice");
    CU_ASSERT_STRING_EQUAL (cert.words.endpoint, "tcp://10.0.0.1:7710");

    //  Nothing is overwritten, and each of both parts alone is enough for that
    CU_ASSERT (umbp_curve_make (path, &words, s_why, sizeof s_why) == UMBP_EEXIST);
    CU_ASSERT (strstr (s_why, "alice.cert") != NULL);
    unlink (path);
    CU_ASSERT (umbp_curve_make (path, &words, s_why, sizeof s_why) == UMBP_EEXIST);
    unlink (secret);
    CU_ASSERT (umbp_curve_make (path, &words, s_why, sizeof s_why) == 0);
    CU_ASSERT (umbp_curve_read (path, &again, s_why, sizeof s_why) == 0);
    CU_ASSERT (memcmp (cert.public_key, again.public_key, UMBP_CURVE_KEY) != 0);
    CU_ASSERT (umbp_curve_make (certs_path ("no/such/folder"), &words, s_why, sizeof s_why)
               == UMBP_EIO);
}

static void test_names (void)
{
    umbp_curve_cert_t cert;
    umbp_curve_read (certs_make ("bob smith.cert", (umbp_curve_words_t){ 0 }), &cert, s_why,
                     sizeof s_why);
    CU_ASSERT_STRING_EQUAL (cert.words.name, "bob_smith");
    umbp_curve_read (certs_make ("x", (umbp_curve_words_t){ .node = "node-7" }), &cert, s_why,
                     sizeof s_why);
    CU_ASSERT_STRING_EQUAL (cert.words.name, "node-7");
    CU_ASSERT_STRING_EQUAL (cert.words.node, "node-7");
    static const umbp_curve_words_t wrong[] = {
        { .name = "a b" }, { .node = "x/y" }, { .endpoint = "host:7710" },
        { .endpoint = "tcp://host" }, { .endpoint = "tcp://host:77x" }, { .endpoint = "tcp://:1" },
        { .endpoint = "tcp://a:1,udp://b:2" },
    };
    for (size_t index = 0; index < sizeof wrong / sizeof *wrong; index++)
        CU_ASSERT (umbp_curve_make (certs_path ("wrong"), &wrong[index], s_why, sizeof s_why)
                   == UMBP_EINVAL);
    CU_ASSERT (access (certs_path ("wrong"), F_OK) == -1);
}

//  A key as text, and one letter too few, one that is none of Z85
#define KEY "dXKKJCe6bg6SNRI/aqjbxfUO/g5TcNp-iNER<>BN"

static void test_refuses_files (void)
{
    static const struct {
        const char *text, *why;
    } wrong[] = {
        { "", "not a certificate" },
        { "\001\002 rubbish\n\n    x", "not a certificate" },
        { "curve\n    secret-key = \"" KEY "\"\n", "no public-key" },
        { "curve\n    public-key = \"dXKK\"\n", "no public-key" },
        { "curve\n    public-key = \"~XKKJCe6bg6SNRI/aqjbxfUO/g5TcNp-iNER<>BN\"\n", "no public-key" },
        { "metadata\n    name = \"a b\"\ncurve\n    public-key = \"" KEY "\"\n", "name, node and tenant" },
        { "metadata\n    tenant = \"a b\"\ncurve\n    public-key = \"" KEY "\"\n",
          "name, node and tenant" },
        { "metadata\n    endpoint = \"7710\"\ncurve\n    public-key = \"" KEY "\"\n", "endpoint" },
    };
    umbp_curve_cert_t cert;
    for (size_t index = 0; index < sizeof wrong / sizeof *wrong; index++) {
        const char *path = certs_path ("bad.cert");
        certs_write (path, wrong[index].text);
        CU_ASSERT (umbp_curve_read (path, &cert, s_why, sizeof s_why) == UMBP_EINVAL);
        CU_ASSERT (strstr (s_why, wrong[index].why) != NULL);
        CU_ASSERT (strstr (s_why, "bad.cert") != NULL);
    }
    CU_ASSERT (umbp_curve_read (certs_path ("none"), &cert, s_why, sizeof s_why) == UMBP_ENOENT);
    CU_ASSERT (umbp_curve_read (certs_room, &cert, s_why, sizeof s_why) == UMBP_EINVAL);
    certs_write (certs_path ("fine.cert"), "curve\n    public-key = \"" KEY "\"\n");
    CU_ASSERT (umbp_curve_read (certs_path ("fine.cert"), &cert, s_why, sizeof s_why) == 0);
    CU_ASSERT_STRING_EQUAL (cert.words.name, "fine");
}

static void test_refuses_secrets (void)
{
    umbp_curve_cert_t cert;
    uint8_t key[UMBP_CURVE_KEY];
    const char *path = certs_make ("carol.cert", (umbp_curve_words_t){ 0 });
    char secret[256], other[256];
    snprintf (secret, sizeof secret, "%s_secret", path);
    chmod (secret, 0644);
    CU_ASSERT (umbp_curve_read_own (path, &cert, key, s_why, sizeof s_why) == UMBP_EDENIED);
    CU_ASSERT (strstr (s_why, "chmod 600") != NULL);
    chmod (secret, 0640);               //  A group may, as where files are mounted for one
    CU_ASSERT (umbp_curve_read_own (path, &cert, key, s_why, sizeof s_why) == 0);
    certs_write (secret, "curve\n    public-key = \"" KEY "\"\n");
    CU_ASSERT (umbp_curve_read_own (path, &cert, key, s_why, sizeof s_why) == UMBP_EINVAL);
    CU_ASSERT (strstr (s_why, "no secret-key") != NULL);
    snprintf (other, sizeof other, "%s_secret",
              certs_make ("dave.cert", (umbp_curve_words_t){ 0 }));
    CU_ASSERT (rename (other, secret) == 0);
    CU_ASSERT (umbp_curve_read_own (path, &cert, key, s_why, sizeof s_why) == UMBP_EINVAL);
    CU_ASSERT (strstr (s_why, "other half") != NULL);
    unlink (secret);
    CU_ASSERT (umbp_curve_read_own (path, &cert, key, s_why, sizeof s_why) == UMBP_ENOENT);
}

static void test_client_keys (void)
{
    umbp_curve_t curve;
    const char *folder = certs_folder ("servers"),
               *own = certs_make ("own", (umbp_curve_words_t){ 0 });
    const char *end = "tcp://10.0.0.1:7710";
    certs_make ("servers/a", (umbp_curve_words_t){ .endpoint = "tcp://10.0.0.1:7710" });
    certs_make ("servers/b", (umbp_curve_words_t){ .endpoint = "tcp://10.0.0.2:*" });
    CU_ASSERT (umbp_curve_client (&curve, NULL, "", end, s_why, sizeof s_why) == 0 && !curve.on);
    CU_ASSERT (umbp_curve_client (&curve, own, NULL, end, s_why, sizeof s_why) == UMBP_EINVAL);
    CU_ASSERT (strstr (s_why, "the server's is missing") != NULL && !curve.on);
    CU_ASSERT (umbp_curve_client (&curve, "", own, end, s_why, sizeof s_why) == UMBP_EINVAL);
    CU_ASSERT (umbp_curve_client (&curve, own, folder, end, s_why, sizeof s_why) == 0 && curve.on);
    umbp_curve_cert_t cert;
    umbp_curve_read (certs_path ("servers/a"), &cert, s_why, sizeof s_why);
    CU_ASSERT (memcmp (curve.server_key, cert.public_key, UMBP_CURVE_KEY) == 0);
    CU_ASSERT (umbp_curve_client (&curve, own, folder, "tcp://10.0.0.3:1", s_why, sizeof s_why)
               == UMBP_ENOENT);
    CU_ASSERT (!curve.on && strstr (s_why, "10.0.0.3") != NULL);
    CU_ASSERT (umbp_curve_client (&curve, own, certs_path ("servers/b"), end, s_why, sizeof s_why)
               == 0);                   //  A file is taken at its word
}

static void test_serves (void)
{
    umbp_curve_words_t words = { .endpoint = "tcp://10.0.0.1:7710, tcp://[::1]:*,tcp://host:*" };
    CU_ASSERT (umbp_curve_serves (&words, "tcp://10.0.0.1:7710"));
    CU_ASSERT (!umbp_curve_serves (&words, "tcp://10.0.0.1:7711"));
    CU_ASSERT (!umbp_curve_serves (&words, "tcp://10.0.0.1:77100"));
    CU_ASSERT (umbp_curve_serves (&words, "tcp://[::1]:5"));
    CU_ASSERT (umbp_curve_serves (&words, "tcp://host:1"));
    CU_ASSERT (!umbp_curve_serves (&words, "tcp://host2:1"));
    CU_ASSERT (!umbp_curve_serves (&(umbp_curve_words_t){ 0 }, "tcp://host:1"));
}

static void test_keyring (void)
{
    const char *nodes = certs_folder ("nodes"), *clients = certs_folder ("clients");
    umbp_keyring_t *ring = umbp_keyring_new ();
    certs_make ("nodes/a", (umbp_curve_words_t){ .node = "a", .endpoint = "tcp://10.0.0.1:*" });
    certs_make ("nodes/b", (umbp_curve_words_t){ .node = "b", .endpoint = "tcp://10.0.0.2:1" });
    certs_make ("clients/c", (umbp_curve_words_t){ .endpoint = "tcp://10.0.0.3:1" });
    certs_write (certs_path ("clients/rubbish"), "rubbish\n");
    certs_write (certs_path ("clients/.hidden"), "rubbish\n");
    certs_hand_out (certs_path ("nodes/a"), certs_path ("clients/also-a"));
    CU_ASSERT (umbp_keyring_add_folder (ring, nodes, UMBP_PASS_NODE, s_why, sizeof s_why) == 0);
    CU_ASSERT (umbp_keyring_add_folder (ring, clients, UMBP_PASS_CLIENT, s_why, sizeof s_why) == 1);
    CU_ASSERT (strstr (s_why, "clients/rubbish") != NULL);
    CU_ASSERT (
        umbp_keyring_add_folder (ring, certs_path ("none"), UMBP_PASS_NODE, s_why, sizeof s_why)
        == UMBP_EIO);
    size_t count;
    const umbp_pass_t *passes = umbp_keyring_passes (ring, &count);
    CU_ASSERT_FATAL (count == 3);       //  a once, as a node
    for (size_t index = 0; index < count; index++)
        CU_ASSERT (umbp_keyring_find (ring, passes[index].cert.public_key) == &passes[index]);
    uint8_t nobody[UMBP_CURVE_KEY] = { 7 };
    CU_ASSERT_PTR_NULL (umbp_keyring_find (ring, nobody));

    CU_ASSERT_STRING_EQUAL (umbp_keyring_at (ring, "tcp://10.0.0.1:99")->cert.words.node, "a");
    CU_ASSERT_STRING_EQUAL (umbp_keyring_at (ring, "tcp://10.0.0.2:1")->cert.words.node, "b");
    CU_ASSERT_PTR_NULL (umbp_keyring_at (ring, "tcp://10.0.0.2:2"));
    CU_ASSERT_PTR_NULL (umbp_keyring_at (ring, "tcp://10.0.0.3:1"));    //  Of a client
    umbp_pass_t shared = { .role = UMBP_PASS_NODE, .cert.public_key = { 1 } };
    umbp_keyring_add (ring, &shared);
    CU_ASSERT (umbp_keyring_at (ring, "tcp://10.0.0.2:2")->cert.public_key[0] == 1);
    shared.cert.public_key[0] = 2;
    umbp_keyring_add (ring, &shared);
    CU_ASSERT_PTR_NULL (umbp_keyring_at (ring, "tcp://10.0.0.2:2"));    //  Which of both?
    umbp_keyring_destroy (&ring);
    CU_ASSERT_PTR_NULL (ring);
}

static void test_full_keyring (void)
{
    umbp_keyring_t *ring = umbp_keyring_new ();
    umbp_pass_t pass = { .role = UMBP_PASS_CLIENT };
    for (unsigned index = 0; index < UMBP_PASSES_MAX; index++) {
        pass.cert.public_key[0] = (uint8_t) index;
        pass.cert.public_key[1] = (uint8_t) (index >> 8);
        CU_ASSERT (umbp_keyring_add (ring, &pass) == 0);
    }
    CU_ASSERT (umbp_keyring_add (ring, &pass) == 0);    //  It is there
    pass.cert.public_key[2] = 1;
    CU_ASSERT (umbp_keyring_add (ring, &pass) == UMBP_EAGAIN);
    umbp_keyring_destroy (&ring);
}

static void test_stamps (void)
{
    const char *folder = certs_folder ("stamps");
    CU_ASSERT (umbp_keyring_stamp ("") == 1 && umbp_keyring_stamp (NULL) == 1);
    CU_ASSERT (umbp_keyring_stamp (certs_path ("none")) == 0);
    uint64_t empty = umbp_keyring_stamp (folder);
    certs_write (certs_path ("stamps/a"), "a");
    uint64_t one = umbp_keyring_stamp (folder);
    certs_write (certs_path ("stamps/b_secret"), "b");
    CU_ASSERT (empty != one && umbp_keyring_stamp (folder) == one);
    certs_write (certs_path ("stamps/a"), "aa");
    uint64_t other = umbp_keyring_stamp (folder);
    CU_ASSERT (other != one && other != empty);
    unlink (certs_path ("stamps/a"));
    CU_ASSERT (umbp_keyring_stamp (folder) == empty);
}

int main (void)
{
    alarm (120);
    CU_initialize_registry ();
    CU_pSuite suite = CU_add_suite ("curve", certs_start, certs_stop);
    CU_ADD_TEST (suite, test_makes_pairs);
    CU_ADD_TEST (suite, test_names);
    CU_ADD_TEST (suite, test_refuses_files);
    CU_ADD_TEST (suite, test_refuses_secrets);
    CU_ADD_TEST (suite, test_client_keys);
    CU_ADD_TEST (suite, test_serves);
    CU_ADD_TEST (suite, test_keyring);
    CU_ADD_TEST (suite, test_full_keyring);
    CU_ADD_TEST (suite, test_stamps);
    CU_basic_set_mode (CU_BRM_VERBOSE);
    CU_basic_run_tests ();
    return CU_get_number_of_failures () > 0;
}
