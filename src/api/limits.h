// Every limit of the wire, with its default. docs/limits.md lists them for people; passing one gives a 4xx (or 503
// where waiting cures it) whose message names the field below. Plain values, read-only after start.
#pragma once

#include <chrono>
#include <cstddef>

namespace quern::api {

struct Limits {
  // ---- connections (server/) ----
  size_t max_connections = 12000;           // further ones get 503 and are closed; some 30 KiB each while idle
  size_t max_header_bytes = 64 * 1024;      // request line and headers together; passing it is 431
  size_t max_body_bytes = 64ULL << 20;      // as sent; passing it is 413
  size_t max_inflated_bytes = 64ULL << 20;  // after gzip or deflate; passing it is 413
  size_t max_bodies_bytes = 1ULL << 30;     // all bodies being received or parsed at once; passing it is 503
  size_t max_pipelined_bytes = 256 * 1024;  // sent before the running answer ended; passing it closes the connection
  size_t max_unsent_bytes = 4ULL << 20;     // of a stream waiting for a slow reader; passing it cancels and closes
  std::chrono::milliseconds header_timeout{20'000};      // first byte of a request to the end of its headers
  std::chrono::milliseconds body_idle_timeout{30'000};   // between two pieces of a body
  std::chrono::milliseconds body_timeout{600'000};       // whole body
  std::chrono::milliseconds keep_alive_timeout{90'000};  // idle between requests
  std::chrono::milliseconds write_timeout{60'000};       // no byte accepted by the peer for this long

  // ---- requests ----
  size_t max_requests = 1024;                            // being answered at once; passing it is 503 with retry-after
  size_t max_pending_event_bytes = 8ULL << 20;           // engine events of one request not yet turned into text
  std::chrono::milliseconds keep_alive_interval{5'000};  // silence in a stream before something is sent

  // ---- what is kept ----
  std::chrono::milliseconds response_retention = std::chrono::hours(7 * 24);  // responses and stored chat completions
  size_t max_stored_bytes = 256ULL << 20;                                     // of these; the oldest make room

  // ---- files and batches ----
  size_t max_file_bytes = 500ULL << 20;                                    // of one upload; passing it is 413
  size_t max_files = 10'000;                                               // of one key
  uint64_t max_files_bytes = 100ULL << 30;                                 // of one key, together
  int max_uploads = 8;                                                     // at once; passing it is 503
  std::chrono::milliseconds file_retention = std::chrono::hours(30 * 24);  // files, and batches after their end
  size_t max_batch_lines = 50'000;
  size_t max_batch_line_bytes = 6ULL << 20;
  size_t max_open_batches = 100;  // of one key, not over yet
  int batch_parallel = 4;         // requests of batches computed at once, while nobody waits for an answer

  // ---- JSON and its contents ----
  int max_json_depth = 128;
  size_t max_json_values = 2'000'000;  // values of one body; each takes up to about 100 bytes of memory
  size_t max_messages = 20'000;
  size_t max_content_parts = 4'096;  // per message
  size_t max_tools = 512;
  size_t max_tool_calls = 1'024;  // per message
  size_t max_stops = 64;          // stop strings and stop ids together
  size_t max_stop_bytes = 4'096;  // of one stop string
  size_t max_prompts = 128;       // of one completions request
  size_t max_choices = 128;       // prompts times n (or best_of)
  size_t max_logit_bias = 1'024;
  int max_top_logprobs = 20;
};

}  // namespace quern::api
