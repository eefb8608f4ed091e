// C face of the Rust libraries that we build on: minijinja (chat templates) and llguidance (grammars to token masks).
// Everything is bytes with a length. Outcomes and their texts are owned by the caller, who frees the text with
// quern_text_free whether or not the call succeeded. Nothing here throws, unwinds or prints; a panic inside is code 3.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint8_t* data;  // never null; not zero-terminated
  size_t size;
  size_t capacity;
} quern_text;

enum {
  QUERN_OK = 0,
  QUERN_INVALID = 1,   // the template, grammar or input is wrong
  QUERN_LIMIT = 2,     // a limit was reached; the text names it
  QUERN_INTERNAL = 3,  // a bug behind this face
};

typedef struct {
  int32_t code;
  uint32_t line;    // of the template, counted from 1; 0 when not known
  quern_text text;  // the result, or a sentence about the failure
} quern_outcome;

void quern_text_free(quern_text text);

// ---- Templates: immutable, thread-safe after construction ----

typedef struct quern_template quern_template;

typedef struct {
  uint64_t steps;       // instructions of one rendering, about 50 ns each; 2,000,000 or fewer (see template.rs)
  uint32_t recursion;   // macros and loops inside each other, at most 500
  size_t output_bytes;  // of the rendered text
} quern_template_limits;

// *out is null on failure.
quern_outcome quern_template_new(const uint8_t* source, size_t source_bytes, const quern_template_limits* limits,
                                 quern_template** out);
// context: one JSON object, the template's variables. Keys keep their order; integers of any size stay exact.
quern_outcome quern_template_render(const quern_template* self, const uint8_t* context, size_t context_bytes);
void quern_template_free(quern_template* self);

// ---- Grammars ----

typedef struct quern_vocabulary quern_vocabulary;  // thread-safe after construction
typedef struct quern_matcher quern_matcher;        // one caller at a time; keeps what it needs of the vocabulary

// llguidance's ParserLimits; 0 keeps its default.
typedef struct {
  size_t max_items_in_row;      // default 2000
  uint64_t initial_lexer_fuel;  // default 1,000,000
  uint64_t step_lexer_fuel;     // default 200,000
  size_t step_max_items;        // default 50,000
  size_t max_lexer_states;      // default 250,000; 1-2 kB each
  size_t max_grammar_size;      // default 500,000
} quern_grammar_limits;

// words: the bytes of all tokens back to back; ends[i]: where token i ends in them. A token without bytes is never
// allowed; a special token's bytes start with 0xFF. eos: the token that ends a text.
quern_outcome quern_vocabulary_new(const uint8_t* words, const size_t* ends, size_t n_tokens, uint32_t eos,
                                   const quern_grammar_limits* limits, quern_vocabulary** out);
void quern_vocabulary_free(quern_vocabulary* self);

// kind: "json_schema", "regex" or "lark". *out is null on failure; QUERN_LIMIT when one of the limits was in the way.
quern_outcome quern_matcher_new(const quern_vocabulary* vocabulary, const uint8_t* kind, size_t kind_bytes,
                                const uint8_t* grammar, size_t grammar_bytes, quern_matcher** out);
// A matcher in the same state that shares nothing with self: the two may be used at the same time. *out is null on
// failure.
quern_outcome quern_matcher_clone(const quern_matcher* self, quern_matcher** out);
// After a failure of the next three every further call on the matcher fails: it never allows too much.
// Bit i of mask (word i/32) is set when token i may come next. n_words >= (n_tokens + 31) / 32.
quern_outcome quern_matcher_mask(quern_matcher* self, uint32_t* mask, size_t n_words);
quern_outcome quern_matcher_consume(quern_matcher* self, uint32_t token);
// *accepting: 1 when the text so far may end here.
quern_outcome quern_matcher_accepting(quern_matcher* self, uint8_t* accepting);
void quern_matcher_free(quern_matcher* self);

#ifdef __cplusplus
}
#endif
