/* plain_examples.h: the examples over ranks that may have any extents, whose integers may be any. Tests that choose
 * extents and data by themselves run these; tests/examples_test.c runs every example. */
#ifndef ATTUNE_TESTS_PLAIN_EXAMPLES_H
#define ATTUNE_TESTS_PLAIN_EXAMPLES_H

static const char *const plain_example[] = {
        "examples/alibi_softcap.att",    "examples/cross_attention.att", "examples/document_mask.att",
        "examples/flash_causal_gqa.att", "examples/h2o_column_sums.att", "examples/layernorm_gemm.att",
        "examples/row_entropy.att",      "examples/sigmoid_attention.att", "examples/sliding_window_sink.att"};

#define PLAIN_EXAMPLES (sizeof plain_example / sizeof *plain_example)

#endif
