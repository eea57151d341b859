//  test/accel/amd_smi.c - stands in for AMD SMI: two sockets of one card each. fake_release 6 or 7
//  changes the layout of structures as releases did.
//  SONAME libamd_smi.so
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int fake_release = 6, fake_gone;
static char s_sockets[2], s_cards[2];

int amdsmi_init (uint64_t flags)
{
    return flags == 2 ? 0 : 1;
}
int amdsmi_shut_down (void)
{
    return 0;
}

int amdsmi_get_socket_handles (uint32_t *count, void **out)
{
    *count = 2;
    out[0] = &s_sockets[0];
    out[1] = &s_sockets[1];
    return 0;
}

int amdsmi_get_processor_handles (void *socket, uint32_t *count, void **out)
{
    size_t card = (size_t) ((char *) socket - s_sockets);
    *count = fake_gone && card == 1 ? 0 : 1;
    out[0] = &s_cards[card];
    return 0;
}

int amdsmi_get_gpu_device_bdf (void *card, uint64_t *out)
{
    *out =
        card == &s_cards[0] ? 0xc100 : UINT64_C (1) << 16 | 0xe208; //  0000:c1:00.0, 0001:e2:01.0
    return 0;
}

int amdsmi_get_gpu_memory_total (void *card, int type, uint64_t *out)
{
    (void) card;
    *out = UINT64_C (192) << 30;
    return type;
}

int amdsmi_get_gpu_memory_usage (void *card, int type, uint64_t *out)
{
    (void) card;
    *out = UINT64_C (5) << 30;
    return type;
}

int amdsmi_topo_get_numa_node_number (void *card, uint32_t *out)
{
    *out = card == &s_cards[0] ? 0 : 3;
    return 0;
}

int amdsmi_get_temp_metric (void *card, int sensor, int metric, int64_t *out)
{
    (void) card;
    *out = 57;                          //  Degrees, not thousandths
    return sensor == 1 && metric == 0 ? 0 : 2;
}

int amdsmi_get_gpu_activity (void *card, uint32_t *out)
{
    (void) card;
    memset (out, 0, 64);
    out[0] = 88;
    return 0;
}

int amdsmi_get_power_info (void *card, void *out)
{
    (void) card;
    uint32_t old[2] = { 0xffffffff, 407 };              //  current: not told, average
    uint64_t fresh[2] = { 407, 0xffffffff };
    memcpy (out, fake_release == 6 ? (void *) old : (void *) fresh,
            fake_release == 6 ? sizeof old : sizeof fresh);
    return 0;
}

int amdsmi_get_gpu_pci_throughput (void *card, uint64_t *sent, uint64_t *received, uint64_t *packet)
{
    (void) card;
    *sent = 10;
    *received = 20;
    *packet = 256;
    return 0;
}

int amdsmi_get_gpu_asic_info (void *card, char *out)
{
    (void) card;
    snprintf (out, fake_release == 6 ? 64 : 256, "AMD Instinct MI300X");
    memset (out + (fake_release == 6 ? 64 : 256), 7, 512);
    return 0;
}

int amdsmi_get_gpu_driver_info (void *card, char *out)
{
    (void) card;
    snprintf (out, 64, "6.8.5");
    return 0;
}

int amdsmi_topo_get_link_type (void *one, void *other, uint64_t *hops, int *type)
{
    (void) one;
    (void) other;
    *hops = 1;
    *type = 2;                          //  xGMI
    return 0;
}
