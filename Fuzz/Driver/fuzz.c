// What libFuzzer calls. In C, because a Swift executable has a main of its own, and libFuzzer brings one.
#include <stddef.h>
#include <stdint.h>

void vlm_fuzz_start(void);
void vlm_fuzz_input(const uint8_t *bytes, size_t count);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    vlm_fuzz_start();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    vlm_fuzz_input(bytes, count);
    return 0;
}
