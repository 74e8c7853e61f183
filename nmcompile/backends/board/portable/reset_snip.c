/* Puts a chip back to how a sample begins: no current, the first voltages, empty accumulators.
 *
 * NxSDK compiles this on the user's machine and runs it on the chip's management core, at the end
 * of every step that nmcompile_due says. The runner writes nmcompile_reset.h beside it: which
 * cores there are, when samples end, and the voltages that are not zero. Names of registers and
 * calls are those of nengo-loihi's snips/nengo_io.c.template and of Intel's public reset SNIPs
 * (intel-nrc-ecosystem/models, nxsdk_modules_ncl/dnn/snips).
 */
#include <stdint.h>
#include <string.h>

#include "nmcompile_reset.h"

#define COMPARTMENTS 1024
/* Two accumulators in each word of 32 bits. */
#define ACCUMULATOR_WORDS 4096
#define PHASE_IDLE 2
#define SOMA_OP 3

static const int core_ids[N_CORES] = CORE_IDS;
static const int32_t first_voltages[N_VOLTAGES + 1][3] = FIRST_VOLTAGES;

/* Whether a step is the last of a sample or one of the pause behind it. */
int nmcompile_due(runState *state) {
    int step = state->time_step % PERIOD;
    return step == 0 || step >= STEPS;
}

static void silence(NeuronCore *core) {
    CxState still = {.U = 0, .V = 0};
    MetaState idle = {.Phase0 = PHASE_IDLE, .SomaOp0 = SOMA_OP,
                      .Phase1 = PHASE_IDLE, .SomaOp1 = SOMA_OP,
                      .Phase2 = PHASE_IDLE, .SomaOp2 = SOMA_OP,
                      .Phase3 = PHASE_IDLE, .SomaOp3 = SOMA_OP};
    uint64_t still_word = 0;
    uint32_t idle_word = 0;
    memcpy(&still_word, &still, sizeof(still));
    memcpy(&idle_word, &idle, sizeof(idle));
    nx_fast_init64(core->cx_state, COMPARTMENTS, still_word);
    nx_fast_init32(core->dendrite_accum, ACCUMULATOR_WORDS, 0);
    nx_fast_init32(core->cx_meta_state, COMPARTMENTS / 4, idle_word);
}

void nmcompile_reset(runState *state) {
    (void)state;
    for (int k = 0; k < N_CORES; k++) {
        silence(NEURON_PTR((CoreId){.id = core_ids[k]}));
    }
    for (int k = 0; k < N_VOLTAGES; k++) {
        NeuronCore *core = NEURON_PTR((CoreId){.id = first_voltages[k][0]});
        core->cx_state[first_voltages[k][1]].V = first_voltages[k][2];
    }
}
