#include "api/metrics.h"

#include <fmt/core.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <atomic>
#include <cstdio>

#include "api/served_model.h"

namespace quern::api {

namespace {

namespace pm = prometheus;

const pm::Histogram::BucketBoundaries kSeconds = {0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1,   2.5,
                                                  5,     10,   30,   60,  120,  300, 600, 1800};

void AddEndpoint(pm::Registry& now, const std::string& model, const engine::EndpointStats& endpoint) {
  const pm::Labels labels = {{"model", model}, {"upstream", endpoint.name}};
  const auto gauge = [&](const char* name, const char* help, double value) {
    pm::BuildGauge().Name(name).Help(help).Register(now).Add(labels).Set(value);
  };
  const auto counter = [&](const char* name, const char* help, uint64_t value) {
    pm::BuildCounter().Name(name).Help(help).Register(now).Add(labels).Increment(static_cast<double>(value));
  };
  gauge("quern_upstream_up", "1 while the upstream is asked, 0 while it rests after failures.", endpoint.healthy);
  gauge("quern_upstream_running", "Requests at the upstream.", endpoint.n_running);
  counter("quern_upstream_requests_total", "Attempts at the upstream.", endpoint.n_requests);
  counter("quern_upstream_failures_total", "Attempts that failed.", endpoint.n_failures);
}

}  // namespace

struct Metrics::Impl {
  pm::Registry registry;
  pm::Family<pm::Counter>& requests = pm::BuildCounter()
                                          .Name("quern_requests_total")
                                          .Help("Requests answered, by route and HTTP status.")
                                          .Register(registry);
  pm::Family<pm::Histogram>& seconds = pm::BuildHistogram()
                                           .Name("quern_request_seconds")
                                           .Help("Time from request to its last byte handed over.")
                                           .Register(registry);
  pm::Family<pm::Histogram>& first_token = pm::BuildHistogram()
                                               .Name("quern_first_token_seconds")
                                               .Help("Time from request to its first token.")
                                               .Register(registry);
  pm::Family<pm::Counter>& tokens =
      pm::BuildCounter().Name("quern_tokens_total").Help("Tokens billed, by route and kind.").Register(registry);
  pm::Gauge& connections =
      pm::BuildGauge().Name("quern_connections").Help("Open connections.").Register(registry).Add({});
  pm::Counter& keep_failures = pm::BuildCounter()
                                   .Name("quern_keep_failures_total")
                                   .Help("Answers that were to be kept and could not be.")
                                   .Register(registry)
                                   .Add({});
  std::atomic<int> n_active{0};
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::RequestBegan() { impl_->n_active.fetch_add(1, std::memory_order_relaxed); }
void Metrics::RequestEnded() { impl_->n_active.fetch_sub(1, std::memory_order_relaxed); }
int Metrics::n_active() const { return impl_->n_active.load(std::memory_order_relaxed); }

void Metrics::CountRequest(std::string_view route, int status, double seconds) {
  impl_->requests.Add({{"route", std::string(route)}, {"status", std::to_string(status)}}).Increment();
  impl_->seconds.Add({{"route", std::string(route)}}, kSeconds).Observe(seconds);
}

void Metrics::CountTokens(std::string_view route, int n_prompt, int n_cached, int n_generated) {
  const std::string label(route);
  impl_->tokens.Add({{"route", label}, {"kind", "prompt"}}).Increment(n_prompt);
  impl_->tokens.Add({{"route", label}, {"kind", "cached"}}).Increment(n_cached);
  impl_->tokens.Add({{"route", label}, {"kind", "generated"}}).Increment(n_generated);
}

void Metrics::ObserveFirstToken(std::string_view route, double seconds) {
  impl_->first_token.Add({{"route", std::string(route)}}, kSeconds).Observe(seconds);
}

void Metrics::SetConnections(size_t n_open) { impl_->connections.Set(static_cast<double>(n_open)); }

void Metrics::CountKeepFailure(const Status& error) {
  impl_->keep_failures.Increment();
  fmt::print(stderr, "an answer could not be kept: {}\n", error.ToString());
}

std::string Metrics::Render(const ModelRegistry& models) const {
  // Backends keep their own totals, so they are copied into a registry of the moment rather than kept twice.
  pm::Registry now;
  pm::BuildGauge().Name("quern_requests_active").Help("Requests being answered.").Register(now).Add({}).Set(n_active());
  struct Figure {
    const char* name;
    const char* help;
    double (*read)(const engine::BackendStats&);
  };
  static constexpr Figure kGauges[] = {
      {"quern_generations_running", "Sequences with state.",
       [](const engine::BackendStats& s) { return double(s.n_running); }},
      {"quern_generations_waiting", "Sequences queued.",
       [](const engine::BackendStats& s) { return double(s.n_waiting); }},
      {"quern_kv_bytes_used", "Bytes of KV storage in use.",
       [](const engine::BackendStats& s) { return double(s.kv_bytes_used); }},
      {"quern_kv_bytes_total", "Bytes of KV storage.",
       [](const engine::BackendStats& s) { return double(s.kv_bytes_total); }},
  };
  static constexpr Figure kCounters[] = {
      {"quern_engine_prompt_tokens_total", "Prompt tokens read.",
       [](const engine::BackendStats& s) { return double(s.n_prompt_tokens); }},
      {"quern_engine_generated_tokens_total", "Tokens sampled.",
       [](const engine::BackendStats& s) { return double(s.n_generated_tokens); }},
      {"quern_engine_prompt_seconds_total", "Time spent reading prompts.",
       [](const engine::BackendStats& s) { return s.prompt_seconds; }},
      {"quern_engine_generate_seconds_total", "Time spent generating.",
       [](const engine::BackendStats& s) { return s.generate_seconds; }},
      {"quern_engine_finished_total", "Generations that ended by themselves.",
       [](const engine::BackendStats& s) { return double(s.n_finished); }},
      {"quern_engine_cancelled_total", "Generations that were cancelled.",
       [](const engine::BackendStats& s) { return double(s.n_cancelled); }},
      {"quern_engine_failed_total", "Generations that failed.",
       [](const engine::BackendStats& s) { return double(s.n_failed); }},
  };
  for (const auto& model : models.models()) {
    const engine::BackendStats stats = model->backend->stats();
    const pm::Labels labels = {{"model", model->id}};
    for (const Figure& f : kGauges)
      pm::BuildGauge().Name(f.name).Help(f.help).Register(now).Add(labels).Set(f.read(stats));
    for (const Figure& f : kCounters) {
      pm::BuildCounter().Name(f.name).Help(f.help).Register(now).Add(labels).Increment(f.read(stats));
    }
    for (const engine::EndpointStats& endpoint : stats.endpoints) AddEndpoint(now, model->id, endpoint);
  }
  const pm::TextSerializer text;
  return text.Serialize(impl_->registry.Collect()) + text.Serialize(now.Collect());
}

}  // namespace quern::api
