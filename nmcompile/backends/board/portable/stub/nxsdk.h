/* What reset_snip.c needs of NxSDK's header, for the virtual board, which compiles it with a C
 * compiler of this machine. Names are NxSDK's public ones, layouts are ours. */
#ifndef VIRTUAL_NXSDK_H
#define VIRTUAL_NXSDK_H

#include <stdint.h>

#define VIRTUAL_CORES 256

typedef struct {
    int32_t time_step;
} runState;

typedef struct {
    int32_t id;
} CoreId;

typedef struct {
    int32_t U;
    int32_t V;
} CxState;

typedef struct {
    uint32_t Phase0 : 3, SomaOp0 : 2, Phase1 : 3, SomaOp1 : 2;
    uint32_t Phase2 : 3, SomaOp2 : 2, Phase3 : 3, SomaOp3 : 2;
} MetaState;

typedef struct {
    CxState cx_state[1024];
    uint16_t dendrite_accum[8192];
    uint32_t cx_meta_state[256];
} NeuronCore;

NeuronCore *virtual_cores[VIRTUAL_CORES];

#define NEURON_PTR(core) (virtual_cores[(core).id])

static inline void nx_fast_init64(void *start, int words, uint64_t value) {
    for (int k = 0; k < words; k++) {
        ((uint64_t *)start)[k] = value;
    }
}

static inline void nx_fast_init32(void *start, int words, uint32_t value) {
    for (int k = 0; k < words; k++) {
        ((uint32_t *)start)[k] = value;
    }
}

#endif
